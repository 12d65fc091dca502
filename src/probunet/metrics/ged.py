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

Samples of some models have weights w_i, which add up to 1. Then E[d(S, Y)] = sum_i w_i E[d(s_i, Y)]
and E[d(S, S')] = sum_ij w_i w_j d(s_i, s_j); the factor of `ged_unbiased` is 1 / sum_{i != j} w_i
w_j, which is n / (n - 1) for equal weights. `ged_limit` is not defined: such samples are not drawn
independently of each other.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed
from probunet.metrics.distances import Distances, distances
from probunet.metrics.sample_weights import Weights, mean_over_samples, normalised

Scores = NDArray[np.float64]  # (images,)


@dataclass(frozen=True)
class EnergyDistance:
    """GED^2 of each image and its diversity term."""

    ged: Scores  # (images,), as published
    ged_unbiased: Scores  # (images,), without pairs of a sample with itself; NaN for one sample
    # (images,), estimate for unlimited samples; NaN for one of several, and if they have weights
    ged_limit: Scores
    diversity: Scores  # (images,), E[d(S, S')]


def ged(samples: Packed, graders: Packed) -> Scores:
    """Return the GED^2 (images,) of packed masks (images, n, bytes) and (images, G, bytes)."""
    return energy_distance(distances(samples, graders), samples.shape[1]).ged


def energy_distance(
    pairs: Distances,
    n: int,
    weights: NDArray[np.float64] | None = None,
    population: int | None = None,
    sample_weights: Weights | None = None,
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
    sample_weights : (images, samples)
        Of the samples, normalised here; None means equal weights.
    """
    stored = pairs.samples.shape[1]
    if not 1 <= n <= stored:
        raise ValueError(f"n = {n}: there are {stored} samples")
    if sample_weights is not None:
        return _weighted(pairs, n, weights, normalised(sample_weights, n))
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


def _weighted(
    pairs: Distances, n: int, weights: NDArray[np.float64] | None, of_samples: NDArray[np.float64]
) -> EnergyDistance:
    """Return the scores of samples whose weights (images, n) add up to 1."""
    count = pairs.graders.shape[1]
    of_graders = np.full(count, 1 / count) if weights is None else weights / weights.sum()
    between = mean_over_samples(pairs.between[:, :n], of_samples) @ of_graders
    graders = pairs.graders @ of_graders @ of_graders
    products = of_samples[:, :, None] * of_samples[:, None]
    diversity = (products * pairs.samples[:, :n, :n]).sum(axis=(1, 2))
    others = (products * ~np.eye(n, dtype=bool)).sum(axis=(1, 2))
    unbiased = np.full_like(diversity, np.nan)
    np.divide(diversity, others, out=unbiased, where=others > 0)
    return EnergyDistance(
        ged=2 * between - diversity - graders,
        ged_unbiased=2 * between - unbiased - graders,
        ged_limit=np.full_like(diversity, np.nan),
        diversity=diversity,
    )
