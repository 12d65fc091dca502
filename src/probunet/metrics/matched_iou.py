"""Hungarian-matched IoU: how well samples and graders pair off.

Both sets are repeated to the least common multiple of their sizes and matched at the least total
1 - IoU; the score is the mean IoU of the matched pairs, 1 at best. That is the cheapest transport
of the samples' weight, 1/n each, to the graders', 1/G each; with other weights, as modes of known
probability have them, the transport itself is sought:

    min over T >= 0 of sum T_ij d_ij,   sum over j of T_ij = 1/n,   sum over i of T_ij = w_j

(Kantorovich's problem; Peyre and Cuturi 2019, section 2.3).
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment, linprog

from probunet.metrics.distances import Distances


def matched_iou(
    pairs: Distances, n: int, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return HM-IoU (images,) of the first `n` samples against the graders.

    Two empty masks have IoU 1. Images whose distances are NaN have NaN.

    Parameters
    ----------
    pairs
        Distances within and between samples and graders.
    n
        Samples, each of weight 1/n.
    weights
        Weights (images, G) or (G,) of graders or modes, taken relative to their sum; equal ones
        unless given.

    Raises
    ------
    ValueError
        If a weight is negative or an image has none above zero.
    """
    between = pairs.between[:, :n]
    weights = np.broadcast_to(1.0 if weights is None else weights, between[:, 0].shape)
    total = weights.sum(axis=1, keepdims=True)
    if (weights < 0).any() or not (total > 0).all():
        raise ValueError("weights must not be negative, nor all be zero")
    iou = np.full(len(between), np.nan)
    scored = ~np.isnan(between).any(axis=(1, 2))
    if (weights == weights[:, :1]).all():
        iou[scored] = _assigned(between[scored])
    else:
        iou[scored] = _transported(between[scored], (weights / total)[scored])
    return iou


def _assigned(between: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean IoU (images,) of the best matching, all weights equal."""
    _, n, graders = between.shape
    size = math.lcm(n, graders)
    cost = between.repeat(size // n, axis=1).repeat(size // graders, axis=2)
    return np.array([1 - image[linear_sum_assignment(image)].mean() for image in cost])


def _transported(between: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean IoU (images,) of the cheapest transport; weights (images, G) sum to 1.

    The last grader's constraint follows from the others, and is left out: rounding could make it
    contradict them.
    """
    _, n, graders = between.shape
    if n == 1:  # there is one way
        only: NDArray[np.float64] = 1 - (between[:, 0] * weights).sum(axis=1)
        return only
    leaving = np.kron(np.eye(n), np.ones(graders))  # (n, n * G), over T row by row
    arriving = np.kron(np.ones(n), np.eye(graders))[:-1]  # (G - 1, n * G)
    constraints = np.concatenate((leaving, arriving))
    iou = []
    for cost, weight in zip(between, weights, strict=True):
        amounts = np.concatenate((np.full(n, 1 / n), weight[:-1]))
        solution = linprog(cost.ravel(), A_eq=constraints, b_eq=amounts, method="highs")
        if solution.fun is None:
            raise RuntimeError(f"no transport was found: {solution.message}")
        iou.append(1 - solution.fun)
    return np.array(iou)
