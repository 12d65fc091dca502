"""Scenes of Cityscapes as they are sampled: whole, with one label as it was flipped, in class ids.

The scores know all 32 modes of a scene. The one label serves what a posterior makes of it.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.cityscapes import CLASSES, drawn_label
from probunet.models.inputs import scaled
from probunet.store import Scenes


class SceneImages:
    """What `draw` needs to know about scenes; `seed` is the run's."""

    batch = 1  # images at a time; also what is stored in a chunk
    classes = len(CLASSES)
    window = None  # colours have none

    def __init__(self, scenes: Scenes, seed: int) -> None:
        self.scenes = scenes
        self.seed = seed
        self.size = scenes.attributes.size

    def load(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images (B, 3, H, W) float32, and flipped labels (B, 1, H, W) int64."""
        rgb = np.stack([np.asarray(self.scenes.image[row]) for row in rows.tolist()])
        labels = np.stack(
            [
                drawn_label(np.asarray(self.scenes.label[row]), self.seed, row)
                for row in rows.tolist()
            ]
        )
        image = scaled(torch.from_numpy(rgb).to(device))
        return image, torch.from_numpy(labels[:, None]).to(device).long()

    def given(self, row: int) -> NDArray[np.bool_]:
        """Return which of the labels that `load` returns there are: the one, (1,)."""
        return np.array([True])

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) as they are stored: class ids."""
        return class_ids.cpu().numpy()
