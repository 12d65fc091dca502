"""Scores of label maps written out class by class, pair by pair; slow, and easy to check."""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from probunet.flips import IGNORE
from support.masks import iou

Maps = NDArray[np.uint8]  # (m, H, W), class ids


def class_distance(a: Maps, b: Maps, scored: NDArray[np.bool_], classes: list[int], absent: str):
    """Return d of two label maps (H, W) over the scored pixels."""
    values = []
    for k in classes:
        in_a, in_b = (a == k) & scored, (b == k) & scored
        if absent == "equal" or (in_a | in_b).any():
            values.append(1 - iou(in_a, in_b))
    return float(np.mean(values)) if values else 0.0


def class_ged(samples: Maps, graders: Maps, classes: list[int], absent: str) -> dict[str, float]:
    """Return GED^2, its unbiased form and the diversity of one image's label maps."""
    scored = ~(graders == IGNORE).any(axis=0)

    def mean(some: Maps, others: Maps) -> float:
        pairs = [class_distance(a, b, scored, classes, absent) for a in some for b in others]
        return float(np.mean(pairs))

    n, diversity, among = len(samples), mean(samples, samples), mean(graders, graders)
    between = mean(samples, graders)
    unbiased = diversity * n / (n - 1) if n > 1 else np.nan
    return {
        "ged": 2 * between - diversity - among,
        "ged_unbiased": 2 * between - unbiased - among,
        "diversity": diversity,
    }


def class_hm_iou(samples: Maps, graders: Maps, classes: list[int], absent: str) -> float:
    """Return the mean IoU of the best matching, after repeating both to one number."""
    scored = ~(graders == IGNORE).any(axis=0)
    size = math.lcm(len(samples), len(graders))
    some = [one for one in samples for _ in range(size // len(samples))]
    others = [one for one in graders for _ in range(size // len(graders))]
    cost = np.array([[class_distance(a, b, scored, classes, absent) for b in others] for a in some])
    return float(1 - cost[linear_sum_assignment(cost)].mean())


def class_iou(samples: Maps, graders: Maps, kind: int) -> float:
    """Return the mean IoU of one class of all samples and graders."""
    scored = ~(graders == IGNORE).any(axis=0)
    pairs = [iou((a == kind) & scored, (b == kind) & scored) for a in samples for b in graders]
    return float(np.mean(pairs))


def class_dice(samples: Maps, graders: Maps, classes: list[int], absent: str) -> float:
    """Return the mean over graders of the best sample's Dice, itself the mean over classes."""
    scored = ~(graders == IGNORE).any(axis=0)

    def dice(a: Maps, b: Maps) -> float:
        values = []
        for k in classes:
            in_a, in_b = (a == k) & scored, (b == k) & scored
            both = in_a.sum() + in_b.sum()
            if both:
                values.append(2 * (in_a & in_b).sum() / both)
            elif absent == "equal":
                values.append(1.0)
        return float(np.mean(values)) if values else 1.0

    return float(np.mean([max(dice(s, y) for s in samples) for y in graders]))


def class_ece(samples: Maps, graders: Maps, classes: list[int]) -> float:
    """Return the ECE of the samples' mean over the scored pixels, graders and classes."""
    scored = ~(graders == IGNORE).any(axis=0)
    predicted, marked = [], []
    for k in classes:
        for grader in graders:
            predicted.append((samples == k).mean(axis=0)[scored])
            marked.append((grader == k)[scored])
    p, y = np.concatenate(predicted), np.concatenate(marked)
    n = len(samples)
    bins = np.minimum(np.rint(p * n).astype(int) * 10 // n, 9)
    gaps = [abs(p[bins == b].sum() - y[bins == b].sum()) for b in range(10)]
    return float(sum(gaps) / len(p))
