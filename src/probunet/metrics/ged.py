"""Squared generalised energy distance (GED) between samples and graders, or modes.

    GED^2 = 2 E[d(S, Y)] - E[d(S, S')] - E[d(Y, Y')],   d = 1 - IoU

(Kohl et al. 2018, section 4). The expectations include the pairs of a mask with itself, as in all
published code (a V-statistic). GED therefore decreases with the number of samples n: compare
predictors at equal n only.

`ged_limit` estimates, without bias, the GED^2 that unlimited samples would have. Samples that are
drawn independently need the factor n / (n - 1) on E[d(S, S')]. A predictor with m fixed
segmentations, such as the heads of M-Heads or the members of an ensemble, is a finite population:
its n samples are drawn without replacement, and the factor is n / (n - 1) (m - 1) / m; from n = m
on, nothing is estimated. The graders are a finite population, too: all their pairs count.
`ged_unbiased` has the factor n / (n - 1) for every predictor, whether or not it draws its samples.
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
    ged_limit: Scores  # (images,), estimate for unlimited samples; NaN for one of several
    diversity: Scores  # (images,), E[d(S, S')]


def ged(samples: Packed, graders: Packed) -> Scores:
    """Return the GED^2 (images,) of packed masks (images, n, bytes) and (images, G, bytes)."""
    return energy_distance(distances(samples, graders), samples.shape[1]).ged


def energy_distance(
    pairs: Distances,
    n: int,
    weights: NDArray[np.float64] | None = None,
    population: int | None = None,
) -> EnergyDistance:
    """Return the scores of the first `n` samples.

    The scores of images whose distances are NaN are NaN.

    Parameters
    ----------
    weights : (G,)
        Of graders or modes, normalised here; None means equal weights.
    population
        How many different segmentations the predictor can draw, each once among its first
        `population` samples; None if there is no limit.
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
    if population is None:
        limit = 2 * between - unbiased - graders
    elif n > population:  # the further samples repeat the first ones
        limit = energy_distance(pairs, population, weights, population).ged_limit
    elif n == population:
        limit = 2 * between - diversity - graders
    else:
        limit = 2 * between - unbiased * (population - 1) / population - graders
    return EnergyDistance(
        ged=2 * between - diversity - graders,
        ged_unbiased=2 * between - unbiased - graders,
        ged_limit=limit,
        diversity=diversity,
    )
