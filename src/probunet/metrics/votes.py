"""Numbers of pixels by how many samples mark them, for scores of the samples' mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, check_packed, words
from probunet.metrics.threads import for_images

_DIGITS = 12  # of shares of samples with weights: sums that differ by rounding are equal


@dataclass(frozen=True)
class Votes:
    """Numbers of pixels of each image by the mean prediction: by k, how many samples mark them."""

    # (n + 1,), the mean prediction k / n. Samples with weights have any shares instead: (images,
    # shares), ascending, and so many pixels in place of those by k; some may have no pixels
    share: NDArray[np.float64]
    pixels: NDArray[np.int64]  # (images, n + 1), marked by k samples
    # (images, n + 1, G), marked by k samples and grader g; of Cityscapes' modes (images, n + 1, 1),
    # the sum of the pixels' exact probabilities
    marked: NDArray[Any]
    # (images, n + 1, G + 1), marked by k samples and j graders; empty for Cityscapes' modes
    agreed: NDArray[np.int64]
    weighted: int | None = None  # n, if the samples have weights


def votes(
    samples: Packed,
    graders: Packed,
    pixels: int | NDArray[np.int64],
    weights: NDArray[np.float64] | None = None,
) -> Votes:
    """Return the votes of packed masks (images, n, bytes) and (images, G, bytes).

    `pixels` is the number of scored pixels, without padding: of all images or of each, (images,).
    Words that are zero in all masks of an image are skipped. `weights` (images, n) add up to 1 for
    each image; None: all samples count the same.
    """
    images, n = check_packed(samples, graders)
    if weights is not None:
        return _weighted(samples, graders, pixels, weights)
    agreed = np.zeros((images, n + 1, graders.shape[1] + 1), np.int64)
    marked = np.zeros((images, n + 1, graders.shape[1]), np.int64)
    sample_words, grader_words = words(samples), words(graders)

    def fill(image: int) -> None:
        masks = np.concatenate((sample_words[image], grader_words[image]))
        masks = np.compress(masks.any(axis=0), masks, axis=1)
        bits = np.unpackbits(masks.view(np.uint8), axis=1)
        k = bits[:n].sum(axis=0, dtype=np.int64)
        both = k * agreed.shape[2] + bits[n:].sum(axis=0, dtype=np.int64)
        agreed[image] = np.bincount(both, minlength=agreed[image].size).reshape(agreed[image].shape)
        for grader, marks in enumerate(bits[n:].view(bool)):
            marked[image, :, grader] = np.bincount(k[marks], minlength=n + 1)

    for_images(fill, images)
    agreed[:, 0, 0] = 0
    agreed[:, 0, 0] = pixels - agreed.sum(axis=(1, 2))
    return Votes(np.linspace(0, 1, n + 1), agreed.sum(axis=2), marked, agreed)


def shares_of(
    marks: NDArray[np.uint8], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return the shares that occur, ascending, and which of them each pixel has, (pixels,).

    Parameters
    ----------
    marks : (n, pixels)
        1 where a sample marks a pixel, else 0.
    weights : (n,)
        Their sum is 1. Shares that differ by rounding are one.
    """
    shares, which = np.unique((weights @ marks).round(_DIGITS), return_inverse=True)
    return shares, which


def padded(values: Sequence[NDArray[Any]], fill: float = 0) -> NDArray[Any]:
    """Return arrays (shares, ...) of several images as one, (images, most shares, ...)."""
    most = max(len(one) for one in values)
    return np.stack(
        [
            np.pad(one, [(0, most - len(one))] + [(0, 0)] * (one.ndim - 1), constant_values=fill)
            for one in values
        ]
    )


def _weighted(
    samples: Packed,
    graders: Packed,
    pixels: int | NDArray[np.int64],
    weights: NDArray[np.float64],
) -> Votes:
    """Return the votes of samples with weights."""
    images, n = samples.shape[:2]
    many = graders.shape[1]
    sample_words, grader_words = words(samples), words(graders)
    # by image
    share: list[NDArray[Any]] = [np.zeros(0)] * images
    marked, agreed = share.copy(), share.copy()

    def fill(image: int) -> None:
        masks = np.concatenate((sample_words[image], grader_words[image]))
        masks = np.compress(masks.any(axis=0), masks, axis=1)
        bits = np.unpackbits(masks.view(np.uint8), axis=1)
        blank = np.zeros((n + many, 1), np.uint8)  # so that the share 0 occurs, for skipped pixels
        bits = np.concatenate((bits, blank), axis=1)
        share[image], which = shares_of(bits[:n], weights[image])
        count = len(share[image])
        both = which * (many + 1) + bits[n:].sum(axis=0, dtype=np.int64)
        agreed[image] = np.bincount(both, minlength=count * (many + 1)).reshape(count, -1)
        marked[image] = np.stack(
            [np.bincount(which[marks], minlength=count) for marks in bits[n:].view(bool)], axis=1
        )

    for_images(fill, images)
    together = padded(agreed)
    together[:, 0, 0] = 0
    together[:, 0, 0] = pixels - together.sum(axis=(1, 2))
    return Votes(padded(share, 1), together.sum(axis=2), padded(marked), together, weighted=n)
