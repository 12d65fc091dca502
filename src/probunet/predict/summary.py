"""What a picture's samples say, as one line of JSON: areas of each class, and how they vary."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.predict.base import DISCLAIMER, Picture
from probunet.truth.labels import objects

_INTERVAL = (2.5, 97.5)  # percentiles


class Areas:
    """The pixels of each class in each sample, added up over slices."""

    def __init__(self, n: int, classes: Sequence[str]) -> None:
        self.classes = tuple(classes)
        self.counts = np.zeros((n, len(classes)), np.int64)
        self.weights: list[NDArray[np.float32]] = []  # (n,) of each slice that has any

    def add(self, samples: NDArray[np.uint8], weights: NDArray[np.float32] | None = None) -> None:
        """Add the samples (n, H, W) of a slice, with their weights (n,) if they have any."""
        for own, sample in zip(self.counts, samples, strict=True):
            own += np.bincount(sample.ravel(), minlength=len(self.classes))
        if weights is not None:
            self.weights.append(weights)

    def summary(self, picture: Picture) -> dict[str, Any]:
        """Return the areas, in pixels or voxels, and the share of samples without any object.

        Samples with weights count by them: those of a volume by the mean over its slices.
        """
        foreground = objects(self.classes)
        weights: NDArray[np.float64] | None = None
        if self.weights:
            weights = np.stack(self.weights).mean(axis=0, dtype=np.float64)
        about: dict[str, Any] = {
            "image": picture.name,
            "use": DISCLAIMER,
            "shape": list(
                picture.pixels.shape[:3] if picture.volume else picture.pixels.shape[1:3]
            ),
            "empty": _mean(self.counts[:, foreground].sum(axis=1) == 0, weights),
            "area": {self.classes[k]: _described(self.counts[:, k], weights) for k in foreground},
        }
        if weights is not None:
            about["weights"] = (weights / weights.sum()).tolist()
        if picture.affine is not None:
            about["mm3_per_voxel"] = float(abs(np.linalg.det(picture.affine[:3, :3])))
        return about


def _described(counts: NDArray[np.int64], weights: NDArray[np.float64] | None) -> dict[str, Any]:
    """Return one class's areas."""
    if weights is None:
        low, high = np.percentile(counts, _INTERVAL)
    else:  # NumPy does not interpolate between samples with weights
        low, high = np.percentile(counts, _INTERVAL, weights=weights, method="inverted_cdf")
    return {
        "samples": counts.tolist(),
        "mean": _mean(counts, weights),
        "interval": [float(low), float(high)],
        "absent": _mean(counts == 0, weights),
    }


def _mean(values: NDArray[Any], weights: NDArray[np.float64] | None) -> float:
    return float(values.mean() if weights is None else np.average(values, weights=weights))
