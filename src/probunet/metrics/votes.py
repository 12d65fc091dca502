"""Votes: how many samples mark a pixel, and which graders do there.

The share of samples that mark a pixel takes n + 1 values only. Pixels counted by that value and by
grader are all that NCC and calibration need, so that neither looks at a pixel again.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, words


@dataclass(frozen=True)
class Votes:
    """Pixels of each image by k, the number of its n samples that mark them."""

    pixels: NDArray[np.int64]  # (images, n + 1), pixels that k samples mark
    marked: NDArray[np.int64]  # (images, n + 1, G), those of them that grader g marks

    @property
    def share(self) -> NDArray[np.float64]:
        """The mean prediction k / n, (n + 1,)."""
        return np.linspace(0, 1, self.pixels.shape[1])


def votes(samples: Packed, graders: Packed, pixels: int) -> Votes:
    """Count the pixels of each image by the samples and graders that mark them.

    Only words in which any mask of the image has a bit are looked at.

    Parameters
    ----------
    samples
        Packed masks (images, n, bytes), see `metrics.bits.pack`.
    graders
        Packed masks (images, G, bytes).
    pixels
        Pixels per image, to tell those that nobody marks from padding.

    Raises
    ------
    ValueError
        If the two do not agree in images and bytes.
    """
    images, n, width = samples.shape
    if (graders.shape[0], graders.shape[2]) != (images, width):
        raise ValueError(f"samples {samples.shape} and graders {graders.shape} do not agree")
    counted = np.zeros((images, n + 1), np.int64)
    marked = np.zeros((images, n + 1, graders.shape[1]), np.int64)
    sample_words, grader_words = words(samples), words(graders)
    for image in range(images):
        masks = np.concatenate((sample_words[image], grader_words[image]))
        masks = np.compress(masks.any(axis=0), masks, axis=1)
        bits = np.unpackbits(masks.view(np.uint8), axis=1)
        k = bits[:n].sum(axis=0, dtype=np.int64)
        counted[image] = np.bincount(k, minlength=n + 1)
        for grader, marks in enumerate(bits[n:].view(bool)):
            marked[image, :, grader] = np.bincount(k[marks], minlength=n + 1)
    counted[:, 0] = pixels - counted[:, 1:].sum(axis=1)
    return Votes(counted, marked)
