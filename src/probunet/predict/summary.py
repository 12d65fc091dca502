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

    def add(self, samples: NDArray[np.uint8]) -> None:
        """Add the samples (n, H, W) of a slice."""
        for own, sample in zip(self.counts, samples, strict=True):
            own += np.bincount(sample.ravel(), minlength=len(self.classes))

    def summary(self, picture: Picture) -> dict[str, Any]:
        """Return the areas, in pixels or voxels, and the share of samples without any object."""
        foreground = objects(self.classes)
        about: dict[str, Any] = {
            "image": picture.name,
            "use": DISCLAIMER,
            "shape": list(
                picture.pixels.shape[:3] if picture.volume else picture.pixels.shape[1:3]
            ),
            "empty": float((self.counts[:, foreground].sum(axis=1) == 0).mean()),
            "area": {self.classes[k]: _described(self.counts[:, k]) for k in foreground},
        }
        if picture.affine is not None:
            about["mm3_per_voxel"] = float(abs(np.linalg.det(picture.affine[:3, :3])))
        return about


def _described(counts: NDArray[np.int64]) -> dict[str, Any]:
    """Return one class's areas."""
    low, high = np.percentile(counts, _INTERVAL)
    return {
        "samples": counts.tolist(),
        "mean": float(counts.mean()),
        "interval": [float(low), float(high)],
        "absent": float((counts == 0).mean()),
    }
