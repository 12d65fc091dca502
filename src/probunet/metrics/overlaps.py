"""Numbers of pixels that samples and the label of an image have in common, by class.

All distances between samples and modes follow from them (see `modes`), because a mode is the label
with renamed classes. The classes are the ten of Cityscapes' flips, first names before second names.
Pixels with the label 255 are not counted.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.flips import FIRST, IGNORE, SECOND
from probunet.metrics.bits import intersections, pack, words
from probunet.metrics.threads import for_images

CLASSES = np.concatenate((FIRST, SECOND))  # (10,)


@dataclass(frozen=True)
class Overlaps:
    """Numbers of pixels of n samples and the label of each image, for first and second names."""

    samples: NDArray[np.int64]  # (images, 2, 5, n, n), by name and class: in both samples
    label: NDArray[np.int64]  # (images, 2, 5, n), in sample and label
    pixels: NDArray[np.int64]  # (images, 5), in the label

    @property
    def areas(self) -> NDArray[np.int64]:
        """Number of pixels of a class in each sample, (images, 2, 5, n)."""
        return self.samples.diagonal(axis1=-2, axis2=-1)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether the label contains a class, (images, 5)."""
        return self.pixels > 0


def overlaps(samples: NDArray[np.uint8], labels: NDArray[np.uint8]) -> Overlaps:
    """Return the overlaps of class ids (images, n, H, W) and train ids (images, H, W)."""
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

    for_images(fill, images)
    both = shared.reshape(images, 2, len(FIRST), n + 1, n + 1)
    return Overlaps(both[..., :n, :n], both[..., :n, n], both[:, 0, :, n, n])
