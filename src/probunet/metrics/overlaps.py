"""Overlaps: pixels that samples share with each other and with the label, class by class.

All distances between samples and modes follow from them (see `modes`), since a mode is the label
with classes renamed: no mode is ever drawn as an image. The classes are the ten that Cityscapes'
flips concern, first names before second ones. Pixels whose label is 255 have no part.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import FIRST, IGNORE, SECOND
from probunet.metrics.bits import intersections, pack, words
from probunet.metrics.threads import for_images

CLASSES = np.concatenate((FIRST, SECOND))  # (10,)


@dataclass(frozen=True)
class Overlaps:
    """Pixels of n samples and the label of each image; names are first, then second ones."""

    samples: NDArray[np.int64]  # (images, 2, 5, n, n), names, classes: of a class in both samples
    label: NDArray[np.int64]  # (images, 2, 5, n), of a class in sample and label
    pixels: NDArray[np.int64]  # (images, 5), of a class in the label

    @property
    def areas(self) -> NDArray[np.int64]:
        """Pixels of a class in each sample, (images, 2, 5, n)."""
        return self.samples.diagonal(axis1=-2, axis2=-1)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether a class is in the label, (images, 5)."""
        return self.pixels > 0


def overlaps(
    samples: NDArray[np.uint8], labels: NDArray[np.uint8], cpus: int | None = None
) -> Overlaps:
    """Count the pixels that samples and labels share.

    Parameters
    ----------
    samples
        Class ids (images, n, H, W).
    labels
        Train ids (images, H, W), classes by their first names; 255: no part.
    cpus
        Threads; all CPUs that the process may use, unless given.

    Raises
    ------
    ValueError
        If the two do not agree in images, height and width.
    """
    images, n, *size = samples.shape
    if labels.shape != (images, *size):
        raise ValueError(f"samples {samples.shape} and labels {labels.shape} do not agree")
    shared = np.zeros((images, len(CLASSES), n + 1, n + 1), np.int64)

    def fill(image: int) -> None:
        label = labels[image]
        named = np.concatenate((samples[image], label[None]))
        named[:, label == IGNORE] = IGNORE
        for number, (name, first) in enumerate(zip(CLASSES, np.tile(FIRST, 2), strict=True)):
            marks = named == name
            marks[-1] = label == first
            shared[image, number] = intersections(words(pack(marks)))

    for_images(fill, images, cpus)
    both = shared.reshape(images, 2, len(FIRST), n + 1, n + 1)
    return Overlaps(both[..., :n, :n], both[..., :n, n], both[:, 0, :, n, n])
