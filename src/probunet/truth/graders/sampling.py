"""Test images with the masks of several graders; stored samples are packed masks."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import pack, unpack_graders
from probunet.models.intensity import windowed
from probunet.truth.graders import ByGraders, Graded
from probunet.truth.inputs import central, read_seen, stacked
from probunet.truth.rows import read_rows

if TYPE_CHECKING:
    import zarr

_BATCH = 16  # largest number of images at a time; it does not change any result
_PIXELS = 16 * 128 * 128  # approximate largest number of pixels at a time


D = TypeVar("D", bound=ByGraders)


class GradedImages(ABC, Generic[D]):
    """Test images that several graders segmented, for sampling; see `truth.base.Sampled`."""

    graded = True

    def __init__(self, data: D, settings: Settings) -> None:
        self.data = data
        self.window = data.window(settings)
        self.size = height, width = data.scored_size(settings)
        self.graders = len(data.graders)
        self.in_tiles = data.in_tiles(settings)
        self.batch = min(_BATCH, max(1, _PIXELS // (height * width)))
        if self.in_tiles is not None:
            self.batch = 1

    @abstractmethod
    def truth(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the graders' masks or class ids, (B, G, H, W)."""

    def load(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images (B, C, H, W) float32 and masks (B, G, H, W) int64, empty if missing."""
        values = read_seen(self.data.image, rows, self.size, self.in_tiles)
        image = windowed(stacked(values).to(device), self.window)
        return image, torch.from_numpy(self.truth(rows)).to(device).long()

    def read_truth(
        self, array: "zarr.Array[Any]", rows: NDArray[np.int64], outside: int
    ) -> NDArray[Any]:
        """Return the seen part of masks or labels, (B, H, W, ...); `outside` beyond the edge."""
        if self.in_tiles is None:
            return central(read_rows(array, rows), self.size)
        (row,) = rows.tolist()
        return self.in_tiles.read(array, row, outside)

    def given(self, row: int) -> NDArray[np.bool_]:
        """Return which graders graded an image, (G,)."""
        bits = int(self.data.given[row])
        return np.array([bool(bits >> grader & 1) for grader in range(self.graders)])


class MaskImages(GradedImages[Graded]):
    """Test images with binary masks."""

    def truth(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Return masks (B, G, H, W)."""
        masks = self.read_truth(self.data.masks, rows, outside=0)
        return unpack_graders(masks, range(self.graders))

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) packed to (..., bytes)."""
        return pack(class_ids.cpu().numpy().astype(bool))
