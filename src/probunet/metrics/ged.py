"""The squared generalised energy distance between samples and graders, or modes, GED^2.

    GED^2 = 2 E[d(S, Y)] - E[d(S, S')] - E[d(Y, Y')],   d = 1 - IoU

(Kohl et al. 2018, section 4). The expectations run over all pairs, a mask with itself included,
as in all published code (a V-statistic): GED falls with the number of samples by construction,
and compares between predictors at equal n only.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed
from probunet.metrics.distances import Distances, distances

Scores = NDArray[np.float64]  # (images,)


@dataclass(frozen=True)
class EnergyDistance:
    """GED^2 and its parts, from the first n samples of each image."""

    ged: Scores  # (images,), as published
    ged_unbiased: Scores  # (images,), sample pairs without self-pairs; NaN for one sample
    diversity: Scores  # (images,), E[d(S, S')], self-pairs included


def ged(samples: Packed, graders: Packed) -> Scores:
    """Return GED^2 of each image, as published.

    Parameters
    ----------
    samples
        Packed masks (images, n, bytes), see `metrics.bits.pack`.
    graders
        Packed masks (images, G, bytes).
    """
    return energy_distance(distances(samples, graders), samples.shape[1]).ged


def energy_distance(
    pairs: Distances, n: int, weights: NDArray[np.float64] | None = None
) -> EnergyDistance:
    """Return GED^2 and its parts from the first `n` samples.

    The unbiased form multiplies E[d(S, S')] by n / (n - 1), which takes the self-pairs, all of
    distance 0, out of the mean. Images whose distances are NaN have NaN for scores.

    Parameters
    ----------
    pairs
        Distances within and between samples and graders or modes.
    n
        Samples, each of weight 1/n.
    weights
        Weights (G,) of graders or modes, taken relative to their sum; equal ones unless given.

    Raises
    ------
    ValueError
        If there are fewer than `n` samples.
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
