"""Squared generalised energy distance (GED) between samples and graders, or modes.

    GED^2 = 2 E[d(S, Y)] - E[d(S, S')] - E[d(Y, Y')],   d = 1 - IoU

(Kohl et al. 2018, section 4). The expectations include the pairs of a mask with itself, as in all
published code (a V-statistic). GED therefore decreases with the number of samples n: compare
predictors at equal n only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed
from probunet.metrics.distances import Distances, distances

Scores = NDArray[np.float64]  # (images,)


@dataclass(frozen=True)
class EnergyDistance:
    """GED^2 of each image and its diversity term."""

    ged: Scores  # (images,), as published
    ged_unbiased: Scores  # (images,), without pairs of a sample with itself; NaN for one sample
    diversity: Scores  # (images,), E[d(S, S')]


def ged(samples: Packed, graders: Packed) -> Scores:
    """Return the GED^2 (images,) of packed masks (images, n, bytes) and (images, G, bytes)."""
    return energy_distance(distances(samples, graders), samples.shape[1]).ged


def energy_distance(
    pairs: Distances, n: int, weights: NDArray[np.float64] | None = None
) -> EnergyDistance:
    """Return the scores of the first `n` samples.

    The unbiased form multiplies E[d(S, S')] by n / (n - 1), which excludes the pairs of a sample
    with itself. The scores of images whose distances are NaN are NaN.
    `weights` (G,) of graders or modes are normalised here; None means equal weights.
    """
    stored = pairs.samples.shape[1]
    if not 1 <= n <= stored:
        raise ValueError(f"n = {n}: there are {stored} samples")
    if weights is None:
        between = pairs.between[:, :n].mean(axis=(1, 2))
        graders = pairs.graders.mean(axis=(1, 2))
    else:
        weights = weights / weights.sum()
        between = pairs.between[:, :n].mean(axis=1) @ weights
        graders = pairs.graders @ weights @ weights
    diversity = pairs.samples[:, :n, :n].mean(axis=(1, 2))
    unbiased = diversity * n / (n - 1) if n > 1 else np.full_like(diversity, np.nan)
    return EnergyDistance(
        ged=2 * between - diversity - graders,
        ged_unbiased=2 * between - unbiased - graders,
        diversity=diversity,
    )
