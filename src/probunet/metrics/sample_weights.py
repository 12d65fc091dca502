"""Weights of samples: a model may draw samples that do not count equally, see `models.mose`."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.floating]  # (images, samples), not negative; None stands for equal weights


def normalised(weights: Weights, n: int) -> NDArray[np.float64]:
    """Return the weights (images, n) of the first n samples; those of an image add up to 1."""
    first = weights[:, :n].astype(np.float64)
    shares: NDArray[np.float64] = first / first.sum(axis=1, keepdims=True)
    return shares


def mean_over_samples(
    values: NDArray[Any], weights: NDArray[Any] | None = None
) -> NDArray[np.float64]:
    """Return the mean (images, ...) over the samples of values (images, n, ...).

    `weights` (images, n) add up to 1 for each image; None stands for equal ones.
    """
    if weights is None:
        equal: NDArray[np.float64] = values.mean(axis=1)
        return equal
    mean: NDArray[np.float64] = np.einsum("in...,in->i...", values, weights)
    return mean


def mean_over_pairs(
    between: NDArray[np.float64], weights: Weights | None = None
) -> NDArray[np.float64]:
    """Return the mean (images,) over samples and graders of values (images, n, G)."""
    if weights is None:
        equal: NDArray[np.float64] = between.mean(axis=(1, 2))
        return equal
    return mean_over_samples(between.mean(axis=2), weights)
