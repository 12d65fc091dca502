"""Two predictors on the same subjects: `results/comparison.csv`.

Subjects, the patients of LIDC-IDRI and the images of Cityscapes, differ from each other far more
than models do. A difference between two models on the same ones is therefore known better than
either model's own GED, and two intervals that overlap do not say that it is nil.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.score.bootstrap import interval, resampled
from probunet.score.order import rank

COLUMNS = [
    "dataset",
    "n",
    "model",
    "beta",
    "other_model",
    "other_beta",
    "folds",
    "difference",
    "low",
    "high",
    "better",
    "subjects",
]
EQUAL = 1e-9  # a smaller difference of a subject's GED is none


@dataclass(frozen=True)
class _Predictor:
    """One model and beta, or a degenerate predictor, on one data set at one n."""

    model: str
    beta: float
    folds: pd.Series  # mean GED by fold
    subjects: pd.Series  # mean GED by fold and subject
    resampled: dict[int, NDArray[np.float64]]  # by fold, (bootstrap,)


def compare(images: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return one row per data set, n and pair of predictors, on the folds that both have.

    `difference` is the mean over folds of the first's mean GED less the second's: below zero, the
    first is better. `low` and `high` bound its 95 % percentile interval under the bootstrap of
    `resampled`, the same subjects being drawn for both. `better` is the share of subjects whose
    mean GED is lower for the first, ties counting half.

    Parameters
    ----------
    images
        One row per image: dataset, model, beta, fold, n, subject, ged; in a fold, the same images
        for all.
    """
    rows = []
    for (dataset, n), at_n in images.groupby(["dataset", "n"]):
        groups = [
            _predictor(group, bootstrap, seed)
            for _, group in at_n.groupby(["model", "beta"], dropna=False)
        ]
        groups.sort(key=lambda predictor: rank(predictor.model))  # the sort is stable
        for first, second in combinations(groups, 2):
            folds = sorted(first.resampled.keys() & second.resampled.keys())
            if folds:
                rows.append({"dataset": dataset, "n": n, **_pair(first, second, folds)})
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _predictor(images: pd.DataFrame, bootstrap: int, seed: int) -> _Predictor:
    return _Predictor(
        images["model"].iloc[0],
        images["beta"].iloc[0],
        images.groupby("fold")["ged"].mean(),
        images.groupby(["fold", "subject"])["ged"].mean(),
        resampled(images, bootstrap, seed),
    )


def _pair(first: _Predictor, second: _Predictor, folds: list[int]) -> dict[str, object]:
    drawn = [first.resampled[fold] - second.resampled[fold] for fold in folds]
    low, high = interval(np.mean(drawn, axis=0))
    by_subject = (first.subjects.loc[folds] - second.subjects.loc[folds]).to_numpy()
    return {
        "model": first.model,
        "beta": first.beta,
        "other_model": second.model,
        "other_beta": second.beta,
        "folds": len(folds),
        "difference": (first.folds.loc[folds] - second.folds.loc[folds]).mean(),
        "low": low,
        "high": high,
        "better": (by_subject < -EQUAL).mean() + (np.abs(by_subject) <= EQUAL).mean() / 2,
        "subjects": len(by_subject),
    }
