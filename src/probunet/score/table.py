"""From runs to `results/scores.csv`; over folds, to `summary.csv` and `comparison.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd

from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.metrics.calibration import Reliability, expected_calibration_error
from probunet.run import format_beta
from probunet.score.bootstrap import interval, resampled
from probunet.score.compare import compare
from probunet.score.order import ordered

SCORES = ["ged", "ged_unbiased", "hm_iou", "diversity", "max_dice"]
FURTHER = [
    "ncc",
    "ece",
    "reconstruction_iou",
]  # stand last, so that the columns before them keep their places
BINS = ["bin_pixels", "bin_predicted", "bin_marked"]  # lists, the fields of `Reliability`
RUN = ["dataset", "model", "beta", "fold", "seed"]
GROUP = ["dataset", "model", "beta", "n"]
PLAIN = "probabilistic_unet"  # the model whose deterministic rows are named just so
EQUAL = 1e-9  # scores of one fold that no run can change


def write_tables(
    scores: list[Path],
    output: Path,
    summary: Path,
    comparison: Path,
    bootstrap: int,
    seed: int = 0,
) -> None:
    """Write the table of runs, its summary and paired comparisons, as CSV with six decimals.

    The degenerate predictors are rows too, named under `model`. `deterministic` is the single best
    guess of the Probabilistic U-Net's run, `deterministic (<model>)` that of another model's;
    `empty` and `graders` stand once per data set and fold, their beta and seed left blank.

    Parameters
    ----------
    scores
        One Parquet file per run, as `score_run` writes them.
    output
        One row per run and n: means over the run's test images that have scores, and how many.
    summary
        One row per data set, model, beta and n, see `summarise`.
    comparison
        One row per data set, n and pair of predictors, see `compare`.
    bootstrap
        Resamplings of subjects behind the 95 % intervals.
    seed
        Of the resampling.

    Raises
    ------
    ProbunetError
        If a file holds no scores, a run is given twice, or runs of one fold were scored on
        different images.
    """
    images = _images(scores)
    images = images[images["ged"].notna()]  # those left out have no score
    _write(output, per_run(images))
    _write(summary, summarise(images, bootstrap, seed))
    _write(comparison, compare(images, bootstrap, seed))


def per_run(images: pd.DataFrame) -> pd.DataFrame:
    """Return means over the test images: one row per run, predictor and n.

    `ece` is that of all the images' pixels together. Images without an NCC have no part in `ncc`.

    Parameters
    ----------
    images
        One row per image, with the columns `RUN`, `n`, `subject`, `SCORES`, `FURTHER` and `BINS`.
    """
    groups = images.groupby([*RUN, "n"], dropna=False)
    table = groups[SCORES].mean()
    table["images"] = groups.size()
    table["subjects"] = groups["subject"].nunique()
    table["ncc"] = groups["ncc"].mean()
    table["ece"] = _pooled_ece(images, [*RUN, "n"])
    table["reconstruction_iou"] = groups["reconstruction_iou"].mean()
    return ordered(table.reset_index())


def summarise(images: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return means over folds: one row per data set, model, beta and n.

    `ged` and the other scores are means over the folds of each fold's mean over images and seeds;
    for `ece`, of each fold's over all pixels of its images and seeds together. `ged_sd` is the
    standard deviation over folds (n - 1 in the denominator; blank for one fold). `ged_low` and
    `ged_high` bound the 95 % percentile interval of a bootstrap over subjects, see `resampled`.
    """
    rows = []
    for key, group in images.groupby(GROUP, dropna=False):
        by_fold = group.groupby("fold")
        folds = by_fold[[*SCORES, "ncc", "reconstruction_iou"]].mean()
        low, high = interval(np.mean(list(resampled(group, bootstrap, seed).values()), axis=0))
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "folds": len(folds),
                "ged": folds["ged"].mean(),
                "ged_sd": folds["ged"].std(ddof=1),
                "ged_low": low,
                "ged_high": high,
                **folds[SCORES[1:]].mean(),
                "images": by_fold["row"].nunique().sum(),
                "subjects": by_fold["subject"].nunique().sum(),
                "ncc": folds["ncc"].mean(),
                "ece": _pooled_ece(group, ["fold"]).mean(),
                "reconstruction_iou": folds["reconstruction_iou"].mean(),
            }
        )
    return ordered(pd.DataFrame(rows))


def _pooled_ece(images: pd.DataFrame, by: list[str]) -> pd.Series:
    """Return the expected calibration error of each group's pixels together."""
    sums = {
        name: pd.DataFrame(np.stack(images[name].tolist()), index=images.index)
        .groupby([images[column] for column in by], dropna=False)
        .sum()
        for name in BINS
    }
    bins = Reliability(*(sums[name].to_numpy() for name in BINS))
    return pd.Series(expected_calibration_error(bins), index=sums[BINS[0]].index)


def _images(scores: list[Path]) -> pd.DataFrame:
    """Return all runs' images, the predictor's name under `model` unless it is the model."""
    if not scores:
        raise ProbunetError("no scores given: name the scores.parquet of at least one run.")
    tables = [_read(path).assign(file=number) for number, path in enumerate(scores)]
    images = pd.concat(tables, ignore_index=True)
    twice = images.duplicated([*RUN, "predictor", "n", "row"])
    if twice.any():
        run = images[twice].iloc[0]
        raise ProbunetError(
            f"the run {run['dataset']}/{run['model']}/beta-{format_beta(run['beta'])}/"
            f"fold-{run['fold']}/seed-{run['seed']} is given twice; name each run once."
        )
    named = images["predictor"].mask(
        (images["predictor"] == "deterministic") & (images["model"] != PLAIN),
        "deterministic (" + images["model"] + ")",
    )
    images["model"] = images["model"].where(images["predictor"] == "model", named)
    images["seed"] = images["seed"].astype("Int64")
    shared = images["model"].isin(["empty", "graders"])
    once = _once_per_fold(images[shared])
    return pd.concat([images[~shared], once], ignore_index=True)


def _read(path: Path) -> pd.DataFrame:
    needed = [*RUN, "predictor", "n", "row", "subject", *SCORES, *FURTHER, *BINS]
    try:
        return pd.read_parquet(path, columns=needed)
    except FileNotFoundError:
        raise ProbunetError(f"{path}: no such file; run `probunet score run` first.") from None
    except (OSError, ValueError, KeyError) as error:
        raise ProbunetError(
            f"{path}: not a run's scores ({error}); remove it and run `probunet score run` again."
        ) from None


def _once_per_fold(shared: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that all runs of a fold have in common, once, beta and seed blank."""
    fold = ["dataset", "model", "fold", "n"]
    runs = shared.groupby(fold)["file"].nunique()
    by_image = shared.groupby([*fold, "row"])[[*SCORES, *FURTHER]]
    times = by_image.size().groupby(fold).agg(["min", "max"])
    spread = (by_image.max() - by_image.min()).fillna(0)
    if not times.eq(runs, axis=0).all(axis=None) or (spread > EQUAL).any(axis=None):
        raise ProbunetError(
            "runs of one fold were scored on different images: they come from different stores "
            "or folds; run `probunet sample` and `probunet score run` again for all of them."
        )
    once = shared.drop_duplicates([*fold, "row"])
    return once.assign(beta=np.nan, seed=pd.array([pd.NA] * len(once), dtype="Int64"))


def _write(path: Path, table: pd.DataFrame) -> None:
    betas = {
        name: table[name].map(lambda value: "" if pd.isna(value) else format_beta(value))
        for name in ("beta", "other_beta")
        if name in table
    }
    numbers = table.select_dtypes("float").columns.difference([*betas])
    # adding 0 turns -0.0, which would print as such, into 0.0
    rounded = {name: table[name].round(6) + 0.0 for name in numbers}
    with written_whole(path) as aside:
        table.assign(**betas, **rounded).to_csv(aside, index=False, float_format="%.6f")
