"""Calibration of the mean prediction on Cityscapes, against exact probabilities.

The probability of each class at a pixel is known: a pixel labelled sidewalk is sidewalk with
probability 9/17 and sidewalk 2 with 8/17. The mean prediction of each of the ten classes at each
scored pixel is compared with its probability in the bins of `calibration`. Images without scores
(see `modes`) have empty bins.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.flips import FIRST, IGNORE, PROBABILITIES, SECOND
from probunet.metrics.calibration import BINS, Reliability, vote_bins
from probunet.metrics.threads import for_images

# each of the ten classes: class id, train id of its pixels, and its probability there
_NAMES = [
    *zip(FIRST, FIRST, 1 - PROBABILITIES, strict=True),
    *zip(SECOND, FIRST, PROBABILITIES, strict=True),
]


def mode_reliability(samples: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Reliability:
    """Return bins (images, bins) of class ids (images, n, H, W) and train ids (images, H, W)."""
    images, n = samples.shape[:2]
    pixels = np.zeros((images, n + 1), np.int64)  # number of pixels and classes, by votes
    marked = np.zeros((images, n + 1))  # sum of their probabilities
    dtype = np.min_scalar_type(3 * (n + 1))

    def fill(image: int) -> None:
        label = labels[image]
        ignored = 2 * (label == IGNORE).astype(dtype)
        for name, first, probability in _NAMES:
            # votes, plus n + 1 where the label is this class, or 2 (n + 1) where it is ignored
            votes = (n + 1) * (ignored + (label == first)).astype(dtype)
            for one in samples[image]:
                votes += (one == name).view(np.uint8)
            other, this, _ = np.bincount(votes.ravel(), minlength=3 * (n + 1)).reshape(3, n + 1)
            pixels[image] += other + this
            marked[image] += probability * this

    for_images(fill, images)
    pixels[~marked.any(axis=1)] = 0  # without scores
    member = vote_bins(n)
    return Reliability(
        pixels @ member, (pixels * np.linspace(0, 1, n + 1)) @ member, marked @ member
    )


def exact_reliability(labels: NDArray[np.uint8]) -> Reliability:
    """Return the bins (images, bins) of exact predictions."""
    by_class = np.stack([(labels == first).sum(axis=(1, 2)) for _, first, _ in _NAMES], axis=1)
    probability = np.array([probability for _, _, probability in _NAMES])
    member = ((probability * BINS).astype(int)[:, None] == np.arange(BINS)).astype(np.int64)
    pixels = by_class @ member
    scored = (labels != IGNORE).sum(axis=(1, 2))
    pixels[:, 0] += len(_NAMES) * scored - by_class.sum(axis=1)  # classes of probability 0
    pixels[~by_class.any(axis=1)] = 0  # without scores
    marked = (by_class * probability) @ member
    return Reliability(pixels, marked, marked)
