"""Scores of label maps with several classes: those of binary masks, class by class, averaged.

    d(a, b) = mean over the scored classes c of d_c(a, b),
    d_c(a, b) = 1 - |a_c and b_c| / |a_c or b_c|

A class that neither map has is `equal`, d_c = 0, as on LIDC-IDRI (Kohl et al. 2018, section 4); or
it is `left_out`, so that the mean is over the classes that a or b has, as on Cityscapes (section
3.2). Two maps without any scored class have d = 0 in both cases. A pixel that any grader of an
image ignores has no part in the scores of the image: all distances are of the same pixels.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from probunet.config import Absent
from probunet.flips import IGNORE
from probunet.metrics.bits import Packed, pack
from probunet.metrics.distances import Distances, distances
from probunet.metrics.max_dice import dice

Maps = NDArray[np.uint8]  # class ids; `IGNORE`: none


def ignored_pixels(graders: Maps) -> NDArray[np.bool_]:
    """Return which pixels (images, H, W) any of the graders (images, G, H, W) ignores."""
    ignored: NDArray[np.bool_] = (graders == IGNORE).any(axis=1)
    return ignored


def packed_classes(maps: Maps, ignored: NDArray[np.bool_], classes: Sequence[int]) -> list[Packed]:
    """Return the masks (images, m, bytes) of each class in maps (images, m, H, W)."""
    scored = ~ignored[:, None]
    return [pack((maps == one) & scored) for one in classes]


def class_distances(samples: Sequence[Packed], graders: Sequence[Packed]) -> list[Distances]:
    """Return the distances d_c of each class; one that neither mask has is 0."""
    return [distances(one, other) for one, other in zip(samples, graders, strict=True)]


def mean_distances(
    by_class: Sequence[Distances],
    samples: Sequence[Packed],
    graders: Sequence[Packed],
    absent: Absent,
) -> Distances:
    """Return the mean over the classes of distances that are 0 for a class that neither map has."""
    has = [np.stack([one.any(axis=-1) for one in masks]) for masks in (samples, graders)]
    counts = [_counts(a, b, absent) for a, b in ((has[0],) * 2, has, (has[1],) * 2)]
    sums = (
        np.sum([getattr(one, name) for one in by_class], axis=0)
        for name in ("samples", "between", "graders")
    )
    return Distances(*(of / number for of, number in zip(sums, counts, strict=True)))


def _counts(
    some: NDArray[np.bool_], others: NDArray[np.bool_], absent: Absent
) -> NDArray[np.int64]:
    """Return over how many classes the mean of each pair is, (images, m, k), at least 1.

    `some` (classes, images, m) and `others` (classes, images, k) say which maps have a class.
    """
    either = some[:, :, :, None] | others[:, :, None]
    if absent == "equal":
        return np.full(either.shape[1:], len(either))
    counts: NDArray[np.int64] = either.sum(axis=0).clip(min=1)
    return counts


def class_dice(
    by_class: Sequence[Distances],
    samples: Sequence[Packed],
    graders: Sequence[Packed],
    absent: Absent,
) -> NDArray[np.float64]:
    """Return the Dice (images, n, G) of each sample and grader.

    The Dice of two maps is the mean over the classes, by the same rule as their distance.
    """
    apart = [replace(one, between=1 - dice(one.between)) for one in by_class]
    return 1 - mean_distances(apart, samples, graders, absent).between


def class_reconstruction_iou(
    reconstruction: Sequence[Packed], graders: Sequence[Packed], absent: Absent
) -> NDArray[np.float64]:
    """Return the mean IoU (images,) of each grader's map and its reconstruction."""
    by_class = class_distances(reconstruction, graders)
    between = mean_distances(by_class, reconstruction, graders, absent).between
    iou: NDArray[np.float64] = 1 - between.diagonal(axis1=1, axis2=2).mean(axis=1)
    return iou
