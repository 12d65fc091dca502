"""Calibration of the mean prediction on Cityscapes, against exact probabilities.

The probability of each class at a pixel is known: a pixel labelled sidewalk is sidewalk with
probability 9/17 and sidewalk 2 with 8/17. The mean prediction of each of the ten classes at each
scored pixel is compared with its probability in the bins of `calibration`. Images without scores
(see `modes`) have empty bins.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.flips import FIRST, IGNORE, PROBABILITIES, SECOND
from probunet.metrics.calibration import BINS, Reliability, reliability, total, vote_bins
from probunet.metrics.threads import for_images
from probunet.metrics.votes import Votes, padded, shares_of

# each of the ten classes: class id, train id of its pixels, and its probability there
_NAMES = [
    *zip(FIRST, FIRST, 1 - PROBABILITIES, strict=True),
    *zip(SECOND, FIRST, PROBABILITIES, strict=True),
]


def mode_votes(
    samples: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float64] | None = None,
) -> list[Votes]:
    """Return the votes of each of the ten classes; images without scores have no pixels.

    Samples are class ids (images, n, H, W), labels train ids (images, H, W). `weights` (images, n)
    add up to 1 for each image; None: all samples count the same.
    """
    if weights is not None:
        return [_weighted(samples, labels, weights, *of) for of in _NAMES]
    images, n = samples.shape[:2]
    pixels = np.zeros((len(_NAMES), images, n + 1), np.int64)
    marked = np.zeros((len(_NAMES), images, n + 1, 1))
    dtype = np.min_scalar_type(3 * (n + 1))

    def fill(image: int) -> None:
        label = labels[image]
        ignored = 2 * (label == IGNORE).astype(dtype)
        for number, (name, first, probability) in enumerate(_NAMES):
            # votes, plus n + 1 where the label is this class, or 2 (n + 1) where it is ignored
            votes = (n + 1) * (ignored + (label == first)).astype(dtype)
            for one in samples[image]:
                votes += (one == name).view(np.uint8)
            other, this, _ = np.bincount(votes.ravel(), minlength=3 * (n + 1)).reshape(3, n + 1)
            pixels[number, image] = other + this
            marked[number, image, :, 0] = probability * this

    for_images(fill, images)
    pixels[:, ~marked.any(axis=(0, 2, 3))] = 0  # without scores
    return [_votes(np.linspace(0, 1, n + 1), *of) for of in zip(pixels, marked, strict=True)]


def _weighted(
    samples: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    weights: NDArray[np.float64],
    name: int,
    first: int,
    probability: float,
) -> Votes:
    """Return the votes of a class in samples with weights."""
    images, n = samples.shape[:2]
    share: list[NDArray[Any]] = [np.zeros(0)] * images  # by image
    others, this = share.copy(), share.copy()

    def fill(image: int) -> None:
        label = labels[image].ravel()
        marks = (samples[image].reshape(n, -1) == name).view(np.uint8)
        share[image], which = shares_of(marks, weights[image])
        for counts, chosen in ((others, label != first), (this, label == first)):
            scored = chosen & (label != IGNORE) & np.isin(labels[image], FIRST).any()
            counts[image] = np.bincount(which[scored], minlength=len(share[image]))

    for_images(fill, images)
    exact = probability * padded(this)
    found = _votes(padded(share, 1), padded(others) + padded(this), exact[..., None])
    return replace(found, weighted=n)


def exact_votes(labels: NDArray[np.uint8]) -> list[Votes]:
    """Return the votes of exact predictions: a class has its probability, or 0."""
    scored = (labels != IGNORE).sum(axis=(1, 2))
    scored[~np.isin(labels, FIRST).any(axis=(1, 2))] = 0  # without scores
    found = []
    for _, first, probability in _NAMES:
        this = (labels == first).sum(axis=(1, 2))
        pixels, share = np.stack((scored - this, this), axis=1), np.array([0, probability])
        found.append(_votes(share, pixels, (pixels * share)[..., None]))
    return found


def mode_reliability(by_class: Sequence[Votes]) -> Reliability:
    """Return bins (images, bins) of the votes of all classes together."""
    if by_class[0].weighted is not None:
        return total([reliability(one) for one in by_class])
    share = by_class[0].share
    pixels = np.sum([one.pixels for one in by_class], axis=0)
    marked = np.sum([one.marked[..., 0] for one in by_class], axis=0)
    member = vote_bins(len(share) - 1)
    return Reliability(pixels @ member, (pixels * share) @ member, marked @ member)


def _votes(
    share: NDArray[np.float64], pixels: NDArray[np.int64], marked: NDArray[np.float64]
) -> Votes:
    return Votes(share, pixels, marked, agreed=np.zeros((*pixels.shape, 0), np.int64))


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
