"""A bootstrap over patients: how far the mean GED would move, had other patients been scored."""

from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.seeding import numpy_generator

_INTERVAL = (2.5, 97.5)  # percentiles of a 95 % interval


def resampled(images: pd.DataFrame, bootstrap: int, seed: int) -> dict[int, NDArray[np.float64]]:
    """Return the mean GED of each fold for each resampling of its patients, (bootstrap,).

    Patients are drawn with replacement within their fold, each with all its images. What is drawn
    depends on the data set, the fold and its number of patients alone: for all models, betas and n
    the same patients are drawn, and differences between two of them are paired.

    Parameters
    ----------
    images
        One row per image and seed of one predictor at one n: dataset, fold, patient, ged.
    """
    dataset = str(images["dataset"].iloc[0])
    means = {}
    for fold in sorted(images["fold"].unique()):
        # patients are sorted, so that equal draws choose equal patients
        by_patient = images[images["fold"] == fold].groupby("patient")["ged"]
        sums = by_patient.agg(["sum", "count"]).to_numpy()
        total, count = (_draws(dataset, fold, len(sums), bootstrap, seed) @ sums).T
        means[fold] = total / count
    return means


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % percentile interval of resampled values."""
    low, high = np.percentile(values, _INTERVAL)
    return float(low), float(high)


@lru_cache(maxsize=32)  # drawing takes longer than all the rest
def _draws(
    dataset: str, fold: int, patients: int, bootstrap: int, seed: int
) -> NDArray[np.float64]:
    """Return how often each patient is drawn, (bootstrap, patients)."""
    generator = numpy_generator(seed, f"bootstrap/{dataset}/fold-{fold}")
    times = generator.multinomial(patients, np.full(patients, 1 / patients), bootstrap)
    return times.astype(np.float64)  # which multiplies by BLAS
