"""A bootstrap over subjects: how far the mean GED would move, had others been scored.

Subjects are the patients of LIDC-IDRI and the images of Cityscapes.
"""

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.seeding import numpy_generator

_INTERVAL = (2.5, 97.5)  # percentiles of a 95 % interval


def resampled(images: pd.DataFrame, bootstrap: int, seed: int) -> dict[int, NDArray[np.float64]]:
    """Return the mean GED of each fold for each resampling of its subjects, (bootstrap,).

    Subjects are drawn with replacement within their fold, each with all its images. What is drawn
    depends on the data set, the fold and its number of subjects alone: for all models, betas and n
    the same subjects are drawn, and differences between two of them are paired.

    Parameters
    ----------
    images
        One row per image and seed of one predictor at one n: dataset, fold, subject, ged.
    """
    dataset = str(images["dataset"].iloc[0])
    means = {}
    for fold in sorted(images["fold"].unique()):
        # subjects are sorted, so that equal draws choose equal subjects
        by_subject = images[images["fold"] == fold].groupby("subject")["ged"]
        sums = by_subject.agg(["sum", "count"]).to_numpy()
        total, count = (_draws(dataset, fold, len(sums), bootstrap, seed) @ sums).T
        means[fold] = total / count
    return means


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values."""
    low, high = np.percentile(values, _INTERVAL)
    return float(low), float(high)


@lru_cache(maxsize=32)  # drawing takes longer than all the rest
def _draws(
    dataset: str, fold: int, subjects: int, bootstrap: int, seed: int
) -> NDArray[np.float64]:
    """Return how often each subject is drawn, (bootstrap, subjects)."""
    generator = numpy_generator(seed, f"bootstrap/{dataset}/fold-{fold}")
    times = generator.multinomial(subjects, np.full(subjects, 1 / subjects), bootstrap)
    return times.astype(np.float64)  # which multiplies by BLAS
