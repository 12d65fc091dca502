"""Paired comparisons of predictors on the same subjects: `results/comparison.csv`.

GED varies more between subjects (patients of LIDC-IDRI, images of Cityscapes) than between models.
The difference of two models on the same subjects is therefore more precise than either GED: two
models can differ although their intervals overlap.
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
EQUAL = 1e-9  # largest difference of GEDs that count as equal


@dataclass(frozen=True)
class _Predictor:
    """The GED of one model and beta, or degenerate predictor, on one data set at one n."""

    model: str
    beta: float
    folds: pd.Series  # mean by fold
    subjects: pd.Series  # mean by fold and subject
    resampled: dict[int, NDArray[np.float64]]  # by fold, (bootstrap,)


def compare(subjects: pd.DataFrame, bootstrap: int, seed: int) -> pd.DataFrame:
    """Return one row per data set, n and pair of predictors, over the folds of both.

    `difference` is the mean over folds of the first's mean GED minus the second's: if it is
    negative, the first is better. `low` and `high` are its 95 % percentile interval under the
    bootstrap of `resampled`, with the same draws for both. `better` is the share of subjects for
    whom the first's mean GED is lower; ties count half.

    Parameters
    ----------
    subjects
        One row per subject and seed: dataset, model, beta, fold, n, subject, and the sum `ged` of
        so many `images`. All predictors of a fold have the same images.
    """
    rows = []
    for (dataset, n), at_n in subjects.groupby(["dataset", "n"]):
        groups = [
            _predictor(group, bootstrap, seed)
            for _, group in at_n.groupby(["model", "beta"], dropna=False)
        ]
        groups.sort(key=lambda predictor: rank(predictor.model))  # stable: keeps model and beta
        for first, second in combinations(groups, 2):
            folds = sorted(first.resampled.keys() & second.resampled.keys())
            if folds:
                rows.append({"dataset": dataset, "n": n, **_pair(first, second, folds)})
    return pd.DataFrame(rows, columns=pd.Index(COLUMNS))


def _predictor(subjects: pd.DataFrame, bootstrap: int, seed: int) -> _Predictor:
    return _Predictor(
        subjects["model"].iloc[0],
        subjects["beta"].iloc[0],
        _mean(subjects, ["fold"]),
        _mean(subjects, ["fold", "subject"]),
        resampled(subjects, bootstrap, seed),
    )


def _mean(subjects: pd.DataFrame, by: list[str]) -> pd.Series:
    sums = subjects.groupby(by)[["ged", "images"]].sum()
    mean: pd.Series = sums["ged"] / sums["images"]
    return mean


def _pair(first: _Predictor, second: _Predictor, folds: list[int]) -> dict[str, object]:
    differences = [first.resampled[fold] - second.resampled[fold] for fold in folds]
    low, high = interval(np.mean(differences, axis=0))
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
