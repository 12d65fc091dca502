"""Numbers of pixels by how many samples mark them, for NCC and calibration."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, check_packed, words
from probunet.metrics.threads import for_images


@dataclass(frozen=True)
class Votes:
    """Numbers of pixels of each image by k, the number of its n samples that mark a pixel."""

    pixels: NDArray[np.int64]  # (images, n + 1), marked by k samples
    marked: NDArray[np.int64]  # (images, n + 1, G), marked by k samples and grader g

    @property
    def share(self) -> NDArray[np.float64]:
        """The mean prediction k / n, (n + 1,)."""
        return np.linspace(0, 1, self.pixels.shape[1])


def votes(samples: Packed, graders: Packed, pixels: int | NDArray[np.int64]) -> Votes:
    """Return the votes of packed masks (images, n, bytes) and (images, G, bytes).

    `pixels` is the number of scored pixels, without padding: of all images or of each, (images,).
    Words that are zero in all masks of an image are skipped.
    """
    images, n = check_packed(samples, graders)
    counted = np.zeros((images, n + 1), np.int64)
    marked = np.zeros((images, n + 1, graders.shape[1]), np.int64)
    sample_words, grader_words = words(samples), words(graders)

    def fill(image: int) -> None:
        masks = np.concatenate((sample_words[image], grader_words[image]))
        masks = np.compress(masks.any(axis=0), masks, axis=1)
        bits = np.unpackbits(masks.view(np.uint8), axis=1)
        k = bits[:n].sum(axis=0, dtype=np.int64)
        counted[image] = np.bincount(k, minlength=n + 1)
        for grader, marks in enumerate(bits[n:].view(bool)):
            marked[image, :, grader] = np.bincount(k[marks], minlength=n + 1)

    for_images(fill, images)
    counted[:, 0] = pixels - counted[:, 1:].sum(axis=1)
    return Votes(counted, marked)
