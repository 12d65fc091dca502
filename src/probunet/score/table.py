"""Tables of all runs: `results/scores.csv`, `summary.csv` and `comparison.csv`."""

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
from probunet.scores import ABOUT, LATER, RUN, read_scores

SCORES = ["ged", "ged_unbiased", "hm_iou", "diversity", "max_dice"]
FURTHER = [
    "ncc",
    "ece",
    "reconstruction_iou",
    "ged_limit",
    "ncc_softmax",
]  # the last columns of a table
BINS = ["bin_pixels", "bin_predicted", "bin_marked"]  # lists, the fields of `Reliability`
GROUP = ["dataset", "model", "beta", "n"]
PLAIN = "probabilistic_unet"  # the predictor `deterministic` without a model's name is its own
EQUAL = 1e-9  # largest difference of scores that count as equal


def write_tables(
    scores: list[Path],
    output: Path,
    summary: Path,
    comparison: Path,
    bootstrap: int,
    seed: int = 0,
) -> None:
    """Write scores by run, their summary and paired comparisons, as CSV files with six decimals.

    Degenerate predictors are rows with their name as `model`: `deterministic` for a run of the
    Probabilistic U-Net, `deterministic (<model>)` for a run of another model; `empty` and `graders`
    once per data set and fold, with an empty beta and seed.

    Parameters
    ----------
    scores
        One Parquet file per run, written by `score_run`.
    output
        One row per run and n, see `per_run`.
    summary
        One row per data set, model, beta and n, see `summarise`.
    comparison
        One row per data set, n and pair of predictors, see `compare`.
    bootstrap
        Number of resamples of subjects for the 95 % intervals.
    seed
        Seed of the bootstrap.

    Raises
    ------
    ProbunetError
        If a file does not contain scores or belongs to another run than its folder, a run occurs
        twice, runs of one fold were scored on different images, or runs of one data set are of
        different protocols or splits.
    """
    images = _images(scores)
    about = _about(images)
    images = images[images["ged"].notna()]
    if images.empty:
        raise ProbunetError(
            f"{scores[0]}: no image of these runs has a score; run `probunet score run` again."
        )
    _write(output, per_run(images).join(about, on="dataset"))
    _write(summary, summarise(images, bootstrap, seed).join(about, on="dataset"))
    _write(comparison, compare(images, bootstrap, seed))


def per_run(images: pd.DataFrame) -> pd.DataFrame:
    """Return means over the test images, one row per run, predictor and n.

    Parameters
    ----------
    images
        One row per image, with the columns `RUN`, `n`, `subject`, `SCORES`, `FURTHER` and `BINS`.
    """
    by = [*RUN, "n"]
    groups, means = images.groupby(by, dropna=False), _means(images, by)
    counts = {"images": groups.size(), "subjects": groups["subject"].nunique()}
    return ordered(means[SCORES].assign(**counts).join(means[FURTHER]).reset_index())


def summarise(images: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return means over folds, one row per data set, model, beta and n.

    A score is the mean over folds of each fold's mean over images and seeds. `ged_sd` is the
    standard deviation over folds (denominator n - 1; empty for one fold). `ged_low` and `ged_high`
    are the 95 % percentile interval of a bootstrap over subjects, see `resampled`.
    """
    rows = []
    for key, group in images.groupby(GROUP, dropna=False):
        by_fold, folds = group.groupby("fold"), _means(group, ["fold"])
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
                **{name: folds[name].mean() for name in FURTHER},
            }
        )
    return ordered(pd.DataFrame(rows))


def _means(images: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the mean scores of each group; `ece` is that of all its pixels together."""
    means = images.groupby(by, dropna=False)[[*SCORES, *FURTHER]].mean()
    keys = [images[column] for column in by]
    sums = [
        pd.DataFrame(np.stack(images[name].tolist()), index=images.index)
        .groupby(keys, dropna=False)
        .sum()
        for name in BINS
    ]
    ece = expected_calibration_error(Reliability(*(bins.to_numpy() for bins in sums)))
    return means.assign(ece=ece)


def _images(scores: list[Path]) -> pd.DataFrame:
    """Return the images of all runs; `model` is the predictor's name if it is not the model."""
    if not scores:
        raise ProbunetError("no scores: name the scores.parquet of at least one run.")
    tables = [_read(path).assign(file=number) for number, path in enumerate(scores)]
    images = pd.concat(tables, ignore_index=True)
    repeated = images.duplicated([*RUN, "predictor", "n", "row"])
    if repeated.any():
        run = images[repeated].iloc[0]
        raise ProbunetError(
            f"the run {run['dataset']}/{run['model']}/beta-{format_beta(run['beta'])}/"
            f"fold-{run['fold']}/seed-{run['seed']} occurs twice; name each run once."
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


def _about(images: pd.DataFrame) -> pd.DataFrame:
    """Return protocol and split of each data set; raise ProbunetError if its runs differ in one."""
    texts = images[["dataset", *ABOUT]].drop_duplicates()
    found = {}
    for dataset, rows in texts.groupby("dataset"):
        known = {name: sorted({*rows[name].dropna()} - {""}) for name in ABOUT}
        for name, values in known.items():
            if len(values) > 1:
                raise ProbunetError(
                    f"runs of {dataset} are of different {name}s: {', '.join(values)}; their "
                    "scores do not compare, so give each its own folder of results."
                )
        found[dataset] = {name: "".join(values) for name, values in known.items()}
    return pd.DataFrame.from_dict(found, orient="index", columns=ABOUT)


def _read(path: Path) -> pd.DataFrame:
    """Return the columns that the tables need, with lists of one length in those of bins."""
    columns = [*RUN, "predictor", "n", "row", "subject", *SCORES, *FURTHER, *ABOUT, *BINS]
    table = read_scores(path, columns, LATER)[columns]
    numbers = table[[*SCORES, *FURTHER]].dtypes.map(pd.api.types.is_numeric_dtype).all()
    shapes = {np.shape(table[name].iloc[0]) for name in BINS}
    if not numbers or len(shapes) != 1 or shapes == {()} or table[BINS].isna().any(axis=None):
        raise ProbunetError(
            f"{path}: not a table of scores (a column has a wrong type); remove it and run "
            "`probunet score run` again."
        )
    return table


def _once_per_fold(shared: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that all runs of a fold have in common once, with empty beta and seed."""
    fold = ["dataset", "model", "fold", "n"]
    runs = shared.groupby(fold)["file"].nunique()
    by_image = shared.groupby([*fold, "row"])[[*SCORES, *FURTHER]]
    times = by_image.size().groupby(fold).agg(["min", "max"])
    spread = (by_image.max() - by_image.min()).fillna(0)
    if not times.eq(runs, axis=0).all(axis=None) or (spread > EQUAL).any(axis=None):
        raise ProbunetError(
            "runs of one fold were scored on different images, so they belong to different stores "
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
    rounded = {name: table[name].round(6) + 0.0 for name in numbers}  # + 0.0 turns -0.0 into 0.0
    with written_whole(path) as aside:
        table.assign(**betas, **rounded).to_csv(aside, index=False, float_format="%.6f")
