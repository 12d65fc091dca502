"""Test images with the masks of several graders; stored samples are packed masks."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import pack, unpack_graders
from probunet.truth.graders import Graded
from probunet.truth.inputs import central, read_values, windowed
from probunet.truth.rows import read_rows

_BATCH = 16  # largest number of images at a time; it does not change any result
_PIXELS = 16 * 128 * 128  # approximate largest number of pixels at a time


class MaskImages:
    """Test images for sampling; see `truth.base.Sampled`."""

    graded = True

    def __init__(self, data: Graded, settings: Settings) -> None:
        self.data = data
        self.window = data.window(settings)
        self.size = height, width = data.scored_size(settings)
        self.graders = len(data.graders)
        self.batch = min(_BATCH, max(1, _PIXELS // (height * width)))

    def load(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images (B, C, H, W) float32 and masks (B, G, H, W) int64, empty if missing."""
        values = np.ascontiguousarray(central(read_values(self.data.image, rows), self.size))
        masks = central(read_rows(self.data.masks, rows), self.size)
        image = windowed(torch.from_numpy(values).to(device), self.window)
        by_grader = unpack_graders(masks, range(self.graders))
        return image, torch.from_numpy(by_grader).to(device).long()

    def given(self, row: int) -> NDArray[np.bool_]:
        """Return which graders graded an image, (G,)."""
        bits = int(self.data.given[row])
        return np.array([bool(bits >> grader & 1) for grader in range(self.graders)])

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) packed to (..., bytes)."""
        return pack(class_ids.cpu().numpy().astype(bool))
