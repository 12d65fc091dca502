"""Crops of LIDC-IDRI as they are sampled: central parts, four graders, packed segmentations."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.metrics.bits import pack, unpack_graders
from probunet.models.inputs import central, read_rows, windowed
from probunet.store import Crops

CLASSES = 2


class CropImages:
    """What `draw` needs to know about crops."""

    batch = 16  # images at a time; not a setting, since an image's noise does not depend on it
    classes = CLASSES

    def __init__(self, crops: Crops, side: int, window: tuple[float, float]) -> None:
        self.crops = crops
        self.window = window
        self.size = (side, side)

    def load(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images (B, 1, H, W) float32, and the graders' masks (B, 4, H, W) int64."""
        side = self.size[0]
        hu = np.ascontiguousarray(central(read_rows(self.crops.image, rows), side))
        masks = unpack_graders(central(read_rows(self.crops.masks, rows), side))
        image = windowed(torch.from_numpy(hu).to(device), self.window)[:, None]
        return image, torch.from_numpy(masks).to(device).long()

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) as they are stored: packed, (..., bytes)."""
        return pack(class_ids.cpu().numpy().astype(bool))
