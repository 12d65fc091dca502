"""Images with several graders' masks as they are sampled: packed segmentations.

Of crops of LIDC-IDRI it is the central part, of images of one's own all of them.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import GRADERS, pack, unpack_graders
from probunet.models.inputs import (
    central,
    read_rows,
    read_values,
    scored_size,
    window_of,
    windowed,
)
from probunet.store import Graded, Images

CLASSES = 2
_PIXELS = 16 * 128 * 128  # of large images at a time, about


class MaskImages:
    """What `draw` needs to know about such images."""

    batch = 16  # images at a time; not a setting, since an image's noise does not depend on it
    classes = CLASSES

    def __init__(self, data: Graded, settings: Settings) -> None:
        self.data = data
        self.window = window_of(data, settings)
        self.size = scored_size(data, settings)
        self.graders = GRADERS
        if isinstance(data, Images):
            self.graders = len(data.attributes.graders)
            height, width = self.size
            self.batch = min(self.batch, max(1, _PIXELS // (height * width)))

    def load(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images (B, C, H, W) float32, and all graders' masks (B, G, H, W) int64.

        The mask of a grader who has not looked at an image is empty.
        """
        values = np.ascontiguousarray(central(read_values(self.data, rows), self.size))
        masks = central(read_rows(self.data.masks, rows), self.size)
        image = windowed(torch.from_numpy(values).to(device), self.window)
        graders = unpack_graders(masks, range(self.graders))
        return image, torch.from_numpy(graders).to(device).long()

    def given(self, row: int) -> NDArray[np.bool_]:
        """Return which of the masks that `load` returns are a grader's, (G,)."""
        who = int(self.data.given[row])
        return np.array([bool(who >> grader & 1) for grader in range(self.graders)])

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) as they are stored: packed, (..., bytes)."""
        return pack(class_ids.cpu().numpy().astype(bool))
