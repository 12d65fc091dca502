"""Distances between all samples and graders of an image: d = 1 - IoU of the lesion.

Two empty masks have d = 0 (IoU = 1), as all published LIDC scores take it.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, words

PART = 16  # images that a thread takes at a time


@dataclass(frozen=True)
class Distances:
    """1 - IoU within and between n samples and G graders of each image."""

    samples: NDArray[np.float64]  # (images, n, n)
    between: NDArray[np.float64]  # (images, n, G)
    graders: NDArray[np.float64]  # (images, G, G)


def distances(samples: Packed, graders: Packed) -> Distances:
    """Return all pairs' distances, image by image.

    Each pair is intersected once, by counting bits in 64-bit words, of those words alone in which
    any mask of the image has a bit. Images are spread over threads: NumPy releases the lock.

    Parameters
    ----------
    samples
        Packed masks (images, n, bytes), see `metrics.bits.pack`.
    graders
        Packed masks (images, G, bytes).

    Raises
    ------
    ValueError
        If the two do not agree in images and bytes.
    """
    images, n, width = samples.shape
    if (graders.shape[0], graders.shape[2]) != (images, width):
        raise ValueError(f"samples {samples.shape} and graders {graders.shape} do not agree")
    members = n + graders.shape[1]
    pairs = np.empty((images, members, members))
    sample_words, grader_words = words(samples), words(graders)

    def fill(part: range) -> None:
        for image in part:
            pairs[image] = _pairs(np.concatenate((sample_words[image], grader_words[image])))

    parts = [range(start, min(start + PART, images)) for start in range(0, images, PART)]
    with ThreadPoolExecutor(_cpus()) as pool:
        list(pool.map(fill, parts))  # raises what a thread raised
    return Distances(pairs[:, :n, :n], pairs[:, :n, n:], pairs[:, n:, n:])


def _pairs(masks: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return the distances (m, m) of masks (m, words)."""
    masks = np.compress(masks.any(axis=0), masks, axis=1)  # row by row, as an index would not be
    m = len(masks)
    intersection = np.zeros((m, m))
    common = np.empty_like(masks)
    counts = np.empty(masks.shape, np.uint8)
    for i in range(m):  # against itself and those after it
        np.bitwise_and(masks[i:], masks[i], out=common[i:])
        np.bitwise_count(common[i:], out=counts[i:])
        intersection[i, i:] = counts[i:].sum(axis=-1, dtype=np.uint32)
    intersection += np.triu(intersection, 1).T
    area = intersection.diagonal()
    union = area[:, None] + area - intersection
    iou = np.divide(intersection, union, out=np.ones_like(union), where=union > 0)
    return 1 - iou


def _cpus() -> int:
    """Return the CPUs that this process may use, which a cluster's job limits."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
