"""Frequencies of the modes, and of the two names of each class, in samples of Cityscapes.

A sample belongs to the nearest mode. Modes at equal distance, for example if they differ only in a
class that the image does not contain, share the sample in proportion to their probabilities. The
names are counted by pixel: for the pixels labelled with a class, how many have its first and its
second name in the samples (Kohl et al. 2018, section 4.2 and its figure of Cityscapes).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.flips import MODE_PROBABILITIES
from probunet.metrics.distances import Distances
from probunet.metrics.overlaps import Overlaps
from probunet.metrics.sample_weights import mean_over_samples

EQUAL = 1e-12  # largest difference of distances that count as equal


def mode_shares(
    pairs: Distances, n: int, sample_weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Return the share (images, modes) of the first `n` samples that belong to each mode.

    `sample_weights` (images, n) add up to 1 for each image; None: all samples count the same. NaN
    for images without scores, see `modes`.
    """
    between = pairs.between[:, :n]
    nearest = between <= between.min(axis=2, keepdims=True) + EQUAL
    weight = nearest * MODE_PROBABILITIES
    total = weight.sum(axis=2, keepdims=True)
    share = np.full_like(weight, np.nan)
    np.divide(weight, total, out=share, where=total > 0)
    return mean_over_samples(share, sample_weights)


def named_pixels(
    shared: Overlaps, n: int, sample_weights: NDArray[np.float64] | None = None
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the number of pixels with the first and with the second name, (images, 5) each.

    Counts the pixels labelled with each class in all of the first `n` samples; those of samples
    with weights (images, n), whose sum is 1, count n times their weight, which gives fractions.
    """
    pixels: NDArray[Any] = shared.label[..., :n]
    if sample_weights is not None:
        pixels = n * pixels * sample_weights[:, None, None]
    first, second = pixels.sum(axis=-1).swapaxes(0, 1)
    return first, second
