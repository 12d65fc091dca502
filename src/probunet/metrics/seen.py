"""What a score sees: the first n segmentations of some images beside those of their graders."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, words
from probunet.metrics.votes import Votes

Values = NDArray[np.float64]  # (images,)


@dataclass(frozen=True)
class Seen:
    """The masks of one class."""

    samples: Packed  # (images, n, bytes)
    graders: Packed  # (images, G, bytes)
    votes: Votes  # pixels by the mean of the samples
    # (images, n), of the samples; their sum is 1 for each image; None: all count the same
    weights: NDArray[np.float64] | None = None

    @cached_property
    def sample_areas(self) -> NDArray[np.int64]:
        """Pixels of each sample, (images, n)."""
        return _areas(self.samples)

    @cached_property
    def grader_areas(self) -> NDArray[np.int64]:
        """Pixels that each grader marks, (images, G)."""
        return _areas(self.graders)

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether a sample or a grader marks a pixel, (images,)."""
        areas = np.concatenate((self.sample_areas, self.grader_areas), axis=1)
        present: NDArray[np.bool_] = areas.max(axis=1) > 0
        return present


def mean_over_classes(
    values: Sequence[NDArray[np.float64]], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the mean over the classes of values (images, ...), over those that count.

    `counted` (classes, images); an image of which no class counts has the mean of all.
    """
    counted = counted | ~counted.any(axis=0)
    weights = counted.reshape(*counted.shape, *[1] * (values[0].ndim - 1)).astype(np.float64)
    mean: NDArray[np.float64] = (np.stack(values) * weights).sum(axis=0) / weights.sum(axis=0)
    return mean


def _areas(masks: Packed) -> NDArray[np.int64]:
    areas: NDArray[np.int64] = np.bitwise_count(words(masks)).sum(axis=-1, dtype=np.int64)
    return areas
