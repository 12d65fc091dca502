"""Dice between the samples and the graders as two sets, in both directions.

    max Dice:    each of one set with the best of the other, averaged
    match Dice:  each of one set with one of the other that is not used by others, or not more
                 often than by their numbers

(Wu et al. 2024, D-Persona; the MMIS challenge 2024). The best sample of each grader, `max_dice`,
says whether all graders are covered; the best grader of each sample, whether all samples are
plausible.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from probunet.metrics.distances import Distances
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.sample_weights import Weights, mean_over_samples
from probunet.metrics.seen import Values

Dice = NDArray[np.float64]  # (images, n, G), of each sample and grader


def max_dice_of_samples(dice: Dice, weights: Weights | None = None) -> Values:
    """Return the Dice of each sample and its best grader, averaged over samples, (images,)."""
    return mean_over_samples(dice.max(axis=2), weights)


def match_dice(dice: Dice, weights: Weights | None = None) -> Values:
    """Return the Dice of each grader and a sample of its own, averaged over graders, (images,).

    With fewer samples than graders, a sample serves at most ceil(G / n) of them, so that the total
    is greatest. Weights of samples have no effect.
    """
    _, n, graders = dice.shape
    values = np.full(len(dice), np.nan)
    for image in np.flatnonzero(~np.isnan(dice).any(axis=(1, 2))):
        repeated = dice[image].repeat(-(-graders // n), axis=0)
        values[image] = repeated[linear_sum_assignment(repeated, maximize=True)].mean()
    return values


def match_dice_of_samples(dice: Dice, weights: Weights | None = None) -> Values:
    """Return the Dice of each sample and a grader, averaged over samples, (images,).

    All graders serve equally often: the matching is that of HM-IoU, also for samples with weights.
    """
    nothing = np.empty((len(dice), 0, 0))
    return matched_iou(Distances(nothing, 1 - dice, nothing), dice.shape[1], sample_weights=weights)
