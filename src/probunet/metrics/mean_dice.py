"""Dice of the samples' mean p, the share of samples that mark a pixel.

    mean Dice:  Dice(p > 1/2, y_g), with each grader g
    soft Dice:  mean over t of Dice(p > t, q > t),   t = .1, .3, .5, .7, .9

q is the share of graders that mark a pixel (Wu et al. 2024, D-Persona; the MMIS challenge 2024).
Two empty masks have Dice 1.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.seen import Seen, Values

THRESHOLDS = (0.1, 0.3, 0.5, 0.7, 0.9)
_EQUAL = 1e-9  # shares that differ by less are equal: 3/10 is not above .3


def grader_dice(seen: Seen) -> NDArray[np.float64]:
    """Return the Dice (images, G) of the samples' mean with each grader."""
    above = _above(seen.votes.share, 0.5)
    both = (seen.votes.marked * above[..., None]).sum(axis=1)
    area = (seen.votes.pixels * above).sum(axis=1)
    return _dice(both, area[:, None] + seen.grader_areas)


def mean_dice(seen: Seen) -> Values:
    """Return the Dice of the samples' mean and each grader, averaged over graders, (images,)."""
    mean: Values = grader_dice(seen).mean(axis=1)
    return mean


def soft_dice(seen: Seen) -> Values:
    """Return the Dice of the two means, averaged over thresholds, (images,)."""
    agreed = seen.votes.agreed  # (images, n + 1, G + 1)
    graders = np.linspace(0, 1, agreed.shape[2])
    scores = []
    for threshold in THRESHOLDS:
        ours = _above(seen.votes.share, threshold)[..., None]
        theirs = _above(graders, threshold)
        sums = [(agreed * chosen).sum(axis=(1, 2)) for chosen in (ours & theirs, ours, theirs)]
        scores.append(_dice(sums[0], sums[1] + sums[2]))
    mean: Values = np.mean(scores, axis=0)
    return mean


def _above(share: NDArray[np.float64], threshold: float) -> NDArray[np.bool_]:
    return share > threshold + _EQUAL


def _dice(both: NDArray[np.int64], areas: NDArray[np.int64]) -> NDArray[np.float64]:
    dice = np.ones(areas.shape)
    np.divide(2 * both, areas, out=dice, where=areas > 0)
    return dice
