"""Bootstrap of the mean GED over subjects: patients of LIDC-IDRI, images of Cityscapes."""

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.seeding import numpy_generator


def resampled(subjects: pd.DataFrame, bootstrap: int, seed: int) -> dict[int, NDArray[np.float64]]:
    """Return by fold the mean GED of each resample of the fold's subjects, (bootstrap,).

    Subjects are drawn with replacement within their fold, each with all its images. The draws
    depend only on the data set, the fold and its number of subjects. All models, betas and n thus
    have the same draws, and the differences between two of them are paired.

    Parameters
    ----------
    subjects
        One row per subject and seed of one predictor at one n: dataset, fold, subject, and the sum
        `ged` of so many `images`.
    """
    dataset = str(subjects["dataset"].iloc[0])
    means = {}
    for fold in sorted(subjects["fold"].unique()):
        of_fold = subjects[subjects["fold"] == fold]
        # groupby sorts the subjects, so that equal draws choose equal subjects
        sums = of_fold.groupby("subject")[["ged", "images"]].sum().to_numpy()
        total, count = (_draws(dataset, fold, len(sums), bootstrap, seed) @ sums).T
        means[fold] = total / count
    return means


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values."""
    low, high = np.percentile(values, (2.5, 97.5))
    return float(low), float(high)


@lru_cache(maxsize=32)  # most of the time would be spent here
def _draws(
    dataset: str, fold: int, subjects: int, bootstrap: int, seed: int
) -> NDArray[np.float64]:
    """Return how often each subject is drawn, (bootstrap, subjects)."""
    generator = numpy_generator(seed, f"bootstrap/{dataset}/fold-{fold}")
    times = generator.multinomial(subjects, np.full(subjects, 1 / subjects), bootstrap)
    return times.astype(np.float64)  # floats are multiplied by BLAS
