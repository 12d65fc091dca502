"""Calibration of the samples' mean prediction on Cityscapes, class by class and pixel by pixel.

What a pixel is called is known exactly: where the label says sidewalk, it is sidewalk with
probability 9/17 and sidewalk 2 with 8/17, and none of the other eight classes. The mean prediction
of each of the ten classes at each scored pixel is held against that probability, in the bins of
`calibration`; nothing is drawn. An image that is left out, see `modes`, has empty bins.
"""

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import FIRST, IGNORE, PROBABILITIES, SECOND
from probunet.metrics.calibration import BINS, Reliability, vote_bins
from probunet.metrics.threads import for_images

# of the ten classes: the label where it can stand, and the probability that it does
_NAMES = [
    *zip(FIRST, FIRST, 1 - PROBABILITIES, strict=True),
    *zip(SECOND, FIRST, PROBABILITIES, strict=True),
]


def mode_reliability(
    samples: NDArray[np.uint8], labels: NDArray[np.uint8], cpus: int | None = None
) -> Reliability:
    """Return the bins of each image, (images, bins).

    Parameters
    ----------
    samples
        Class ids (images, n, H, W).
    labels
        Train ids (images, H, W), classes by their first names; 255: not scored.
    cpus
        Threads; all CPUs that the process may use, unless given.
    """
    images, n = samples.shape[:2]
    pixels = np.zeros((images, n + 1), np.int64)  # times classes, by how many samples agree
    marked = np.zeros((images, n + 1))  # the sum of their probabilities
    room = np.min_scalar_type(3 * (n + 1))

    def fill(image: int) -> None:
        label = labels[image]
        ignored = 2 * (label == IGNORE).astype(room)
        for name, first, probability in _NAMES:
            # 0 to n where the label is another, then n + 1 more each where it is this and ignored
            counted = (n + 1) * (ignored + (label == first)).astype(room)
            for one in samples[image]:
                counted += (one == name).view(np.uint8)
            other, this, _ = np.bincount(counted.ravel(), minlength=3 * (n + 1)).reshape(3, n + 1)
            pixels[image] += other + this
            marked[image] += probability * this

    for_images(fill, images, cpus)
    pixels[~marked.any(axis=1)] = 0  # left out
    member = vote_bins(n)
    return Reliability(
        pixels @ member, (pixels * np.linspace(0, 1, n + 1)) @ member, marked @ member
    )


def exact_reliability(labels: NDArray[np.uint8]) -> Reliability:
    """Return the bins (images, bins) of the modes themselves: each probability predicts itself."""
    by_class = np.stack([(labels == first).sum(axis=(1, 2)) for _, first, _ in _NAMES], axis=1)
    probability = np.array([probability for _, _, probability in _NAMES])
    member = ((probability * BINS).astype(int)[:, None] == np.arange(BINS)).astype(np.int64)
    pixels = by_class @ member
    scored = (labels != IGNORE).sum(axis=(1, 2))
    pixels[:, 0] += len(_NAMES) * scored - by_class.sum(axis=1)  # where a class cannot be
    pixels[~by_class.any(axis=1)] = 0  # left out
    marked = (by_class * probability) @ member
    return Reliability(pixels, marked, marked)
