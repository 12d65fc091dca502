"""Tables of all runs: `results/scores.csv`, `summary.csv` and `comparison.csv`."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.metrics.calibration import Reliability, expected_calibration_error
from probunet.metrics.reported import (
    COLUMNS,
    CURVES,
    GRADER,
    OF_IMAGES,
    PRESENCE,
    PRESENCE_BINS,
    UNCERTAINTIES,
    of_run,
)
from probunet.run import format_beta
from probunet.score.bootstrap import interval, resampled
from probunet.score.compare import compare
from probunet.score.order import ordered
from probunet.scores import ABOUT, BINS, LATER, RUN, of_classes, read_scores

SCORES = ["ged", "ged_unbiased", "hm_iou", "diversity", "max_dice"]
FURTHER = [
    "ncc",
    "ece",
    "reconstruction_iou",
    "ged_limit",
    "ncc_softmax",
    *OF_IMAGES,
]
OVER_IMAGES = [column.name for column in CURVES]  # the last columns of a table
# of single classes or graders, `ged:cup`; the last columns of a table
BY_CLASS = ["ged", "iou", "ece", GRADER]
NUMBERS = ["images", "subjects"]
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
    runs, subjects, about = _totals(scores)
    _write(output, per_run(runs).join(about, on="dataset"))
    _write(summary, summarise(runs, subjects, bootstrap, seed).join(about, on="dataset"))
    _write(comparison, compare(subjects, bootstrap, seed))


def per_run(runs: pd.DataFrame) -> pd.DataFrame:
    """Return means over the test images, one row per run, predictor and n.

    Parameters
    ----------
    runs
        The sums of each run, as `_totals` returns them.
    """
    means = _means(runs, [*RUN, "n"])
    further = [*FURTHER, *OVER_IMAGES, *of_classes(means, BY_CLASS)]
    return ordered(means[[*SCORES, *NUMBERS, *further]].reset_index())


def summarise(
    runs: pd.DataFrame, subjects: pd.DataFrame, bootstrap: int, seed: int
) -> pd.DataFrame:
    """Return means over folds, one row per data set, model, beta and n.

    A score is the mean over folds of each fold's mean over images and seeds. `ged_sd` is the
    standard deviation over folds (denominator n - 1; empty for one fold). `ged_low` and `ged_high`
    are the 95 % percentile interval of a bootstrap over subjects, see `resampled`.

    Parameters
    ----------
    runs, subjects
        The sums of each run and of its subjects, as `_totals` returns them.
    """
    rows = []
    groups = (table.groupby(GROUP, dropna=False) for table in (runs, subjects))
    for (key, group), (_, by_subject) in zip(*groups, strict=True):
        by_fold, folds = group.groupby("fold"), _means(group, ["fold"])
        drawn = resampled(by_subject, bootstrap, seed)
        low, high = interval(np.mean(list(drawn.values()), axis=0))
        rows.append(
            {
                **dict(zip(GROUP, key, strict=True)),
                "folds": len(folds),
                "ged": folds["ged"].mean(),
                "ged_sd": folds["ged"].std(ddof=1),
                "ged_low": low,
                "ged_high": high,
                **folds[SCORES[1:]].mean(),
                # all runs of a fold have the same images
                "images": by_fold["images"].max().sum(),
                "subjects": by_fold["subjects"].max().sum(),
                **folds[[*FURTHER, *OVER_IMAGES, *of_classes(folds, BY_CLASS)]].mean(),
            }
        )
    return ordered(pd.DataFrame(rows))


def _means(totals: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the mean scores of each group, beside its sums; an ECE is that of all its images.

    A group has no mean of a class that its data set does not have.
    """
    sums, names = _sums(totals, by), _scores(totals)
    counts = sums[[_count(name) for name in names]].to_numpy()
    means = sums.drop(columns=names).join(sums[names].div(counts))
    for ece, names in _bins(totals).items():
        known = sums.dropna(subset=names[0])
        bins = Reliability(*(np.stack(known[name].tolist()) for name in names))
        means[ece] = pd.Series(expected_calibration_error(bins), index=known.index)
    return means


def _sums(totals: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Return the sums of each group's scores, bins, and numbers of images and subjects."""
    names = _scores(totals)
    sums = totals.groupby(by, dropna=False)[[*NUMBERS, *names, *map(_count, names)]].sum()
    pooled = {}
    for name in (name for bins in _bins(totals).values() for name in bins):
        known = totals.dropna(subset=name)
        bins = pd.DataFrame(np.stack(known[name].tolist()), index=known.index)
        of_groups = bins.groupby([known[column] for column in by], dropna=False).sum()
        pooled[name] = pd.Series([*of_groups.to_numpy()], index=of_groups.index)
    return sums.join(pd.DataFrame(pooled, index=sums.index))


def _scores(table: pd.DataFrame) -> list[str]:
    """Return the columns of scores, also of single classes and, in sums, of whole runs."""
    over = [name for name in OVER_IMAGES if name in table]
    return [*SCORES, *FURTHER, *over, *of_classes(table, BY_CLASS)]


def _bins(table: pd.DataFrame) -> dict[str, list[str]]:
    """Return the columns of the bins of each ECE; without those that no image has."""
    classes = [name.removeprefix(BINS[0]) for name in of_classes(table, BINS[:1])]
    found = {f"ece{of}": [f"{name}{of}" for name in BINS] for of in ["", *classes]}
    found[PRESENCE.name] = PRESENCE_BINS
    first = {ece: table.get(names[0]) for ece, names in found.items()}
    return {
        ece: found[ece] for ece, bins in first.items() if bins is not None and bins.notna().any()
    }


def _count(score: str) -> str:
    """Return the column of the number of images that have a score."""
    return f"images with {score}"


def _totals(scores: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Return the sums of each run and n, the same by subject, and what is known of data sets.

    Tables of runs are read one by one: memory does not grow with the number of runs' images.
    `model` is the predictor's name if it is not the model.

    Returns
    -------
    runs
        One row per run, predictor and n, see `_sums`.
    subjects
        One row per run, predictor, n and subject: the sum `ged` of so many `images`.
    about
        The columns `ABOUT` of each data set.
    """
    if not scores:
        raise ProbunetError("no scores: name the scores.parquet of at least one run.")
    runs, subjects, about = [], [], []
    seen: set[tuple[object, ...]] = set()
    once = _OncePerFold()
    for path in scores:
        images = _read(path)
        run = tuple(images[RUN].iloc[0])
        if run in seen or images.duplicated(["predictor", "n", "row"]).any():
            dataset, model, beta, fold, seed = run
            raise ProbunetError(
                f"the run {dataset}/{model}/beta-{format_beta(beta)}/fold-{fold}/seed-{seed} "
                "occurs twice; name each run once."
            )
        seen.add(run)
        about.append(images[["dataset", *ABOUT]].drop_duplicates())
        images = once.of(_named(images))
        images = images[images["ged"].notna()]
        if images.empty:
            continue
        by_subject = images.groupby([*RUN, "n", "subject"], dropna=False)["ged"]
        subjects.append(by_subject.agg(ged="sum", images="count").reset_index())
        runs.append(_with_curves(_sums(_single(images), [*RUN, "n"]), images).reset_index())
    known = _about(pd.concat(about))
    if not runs:
        raise ProbunetError(
            f"{scores[0]}: no image of these runs has a score; run `probunet score run` again."
        )
    # in the same order whatever that of the files: the last digits of sums depend on it
    tables = [
        pd.concat(found).sort_values([*RUN, "n"], kind="stable") for found in (runs, subjects)
    ]
    return tables[0].reset_index(drop=True), tables[1].reset_index(drop=True), known


def _single(images: pd.DataFrame) -> pd.DataFrame:
    """Return the totals of single images: a score that an image does not have counts as none."""
    scores = images[_scores(images)]
    counts = {_count(str(name)): has.astype(int) for name, has in scores.notna().items()}
    subjects = ~images.duplicated([*RUN, "n", "subject"])  # the first image of each counts as one
    return images.assign(images=1, subjects=subjects, **counts, **scores.fillna(0))


def _with_curves(sums: pd.DataFrame, images: pd.DataFrame) -> pd.DataFrame:
    """Return the sums of each run with its scores over all images, which count as each image's."""
    needed = ["mean_dice", *(of.name for of in UNCERTAINTIES)]
    groups = [group for _, group in images.groupby([*RUN, "n"], dropna=False)]  # as in the sums
    found = [of_run({name: one[name].to_numpy(np.float64) for name in needed}) for one in groups]
    means, images_of = pd.DataFrame(found, index=sums.index), sums["images"]
    counts = means.notna().mul(images_of, axis=0).rename(columns=_count)
    return sums.join(means.fillna(0).mul(images_of, axis=0)).join(counts)


def _named(images: pd.DataFrame) -> pd.DataFrame:
    """Return the images of a run; `model` is the predictor's name if it is not the model."""
    named = images["predictor"].mask(
        (images["predictor"] == "deterministic") & (images["model"] != PLAIN),
        "deterministic (" + images["model"] + ")",
    )
    model = images["model"].where(images["predictor"] == "model", named)
    return images.assign(model=model, seed=images["seed"].astype("Int64"))


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
    columns = [*RUN, "predictor", "n", "row", "subject", *SCORES, *FURTHER, *ABOUT]
    columns += [*BINS, *PRESENCE_BINS]
    later = [column.name for column in COLUMNS]
    table = read_scores(path, columns, [*LATER, *later, *PRESENCE_BINS])
    table = table[[*columns, *of_classes(table)]]
    scores = table[[*SCORES, *FURTHER, *of_classes(table, BY_CLASS)]]
    numbers = scores.dtypes.map(pd.api.types.is_numeric_dtype).all()
    bins = [*BINS, *of_classes(table, BINS)]
    if table[PRESENCE_BINS].notna().any(axis=None):  # Cityscapes and older versions have none
        bins += PRESENCE_BINS
    shapes = {np.shape(table[name].iloc[0]) for name in bins}
    if not numbers or len(shapes) != 1 or shapes == {()} or table[bins].isna().any(axis=None):
        raise ProbunetError(
            f"{path}: not a table of scores (a column has a wrong type); remove it and run "
            "`probunet score run` again."
        )
    return table


class _OncePerFold:
    """The rows that all runs of a fold have in common: `empty` and `graders`."""

    def __init__(self) -> None:
        # by data set, fold, predictor and n: the images' rows, and their least and greatest scores
        self._seen: dict[
            tuple[object, ...], tuple[pd.Index[int], NDArray[np.float64], NDArray[np.float64]]
        ] = {}

    def of(self, images: pd.DataFrame) -> pd.DataFrame:
        """Return a run's rows without the common ones, unless its fold was not seen before.

        These have an empty beta and seed.

        Raises
        ------
        ProbunetError
            If they differ from those of another run of the fold.
        """
        shared = images["model"].isin(["empty", "graders"])
        new = [
            group
            for key, group in images[shared].groupby(["dataset", "fold", "model", "n"])
            if self._is_new(key, group.set_index("row")[[*SCORES, *FURTHER]].sort_index())
        ]
        once = [one.assign(beta=np.nan, seed=pd.array([pd.NA] * len(one), "Int64")) for one in new]
        return pd.concat([images[~shared], *once], ignore_index=True)

    def _is_new(self, key: tuple[object, ...], table: pd.DataFrame) -> bool:
        is_new, scores = key not in self._seen, table.to_numpy(np.float64)
        rows, least, greatest = (table.index, scores, scores) if is_new else self._seen[key]
        if same := table.index.equals(rows):
            least, greatest = np.fmin(least, scores), np.fmax(greatest, scores)
        if not same or (greatest - least > EQUAL).any():
            raise ProbunetError(
                "runs of one fold were scored on different images, so they belong to different "
                "stores or folds; run `probunet sample` and `probunet score run` again for all of "
                "them."
            )
        self._seen[key] = rows, least, greatest
        return is_new


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
