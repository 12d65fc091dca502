"""Distances d = 1 - IoU between all samples and graders of an image.

Two empty masks have d = 0 (IoU = 1), as in all published scores on LIDC-IDRI.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, check_packed, intersections, words
from probunet.metrics.threads import for_images


@dataclass(frozen=True)
class Distances:
    """Distances within and between n samples and G graders, or modes, of each image."""

    samples: NDArray[np.float64]  # (images, n, n)
    between: NDArray[np.float64]  # (images, n, G)
    graders: NDArray[np.float64]  # (images, G, G)


def distances(samples: Packed, graders: Packed) -> Distances:
    """Return the distances between packed masks (images, n, bytes) and (images, G, bytes)."""
    images, n = check_packed(samples, graders)
    members = n + graders.shape[1]
    pairs = np.empty((images, members, members))
    sample_words, grader_words = words(samples), words(graders)

    def fill(image: int) -> None:
        pairs[image] = _pairs(np.concatenate((sample_words[image], grader_words[image])))

    for_images(fill, images)
    return Distances(pairs[:, :n, :n], pairs[:, :n, n:], pairs[:, n:, n:])


def _pairs(masks: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the distances (m, m) of masks (m, words)."""
    intersection = intersections(masks)
    area = intersection.diagonal()
    union = area[:, None] + area - intersection
    iou = np.ones(union.shape)
    np.divide(intersection, union, out=iou, where=union > 0)
    return 1 - iou
