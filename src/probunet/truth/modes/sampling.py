"""Test images with one flipped label each; stored samples are class ids."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.flips import drawn_label
from probunet.truth.inputs import scaled
from probunet.truth.modes import Flipped


class SceneImages:
    """Test images for sampling; see `truth.base.Sampled`. `seed` is the run's."""

    graded = False
    in_tiles = None
    batch = 1  # also the number of images per chunk of the store of samples

    def __init__(self, scenes: Flipped, seed: int) -> None:
        self.scenes = scenes
        self.seed = seed
        self.size = scenes.size

    def load(self, rows: NDArray[np.int64], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return images (B, 3, H, W) float32 and flipped labels (B, 1, H, W) int64."""
        rgb = np.stack([np.asarray(self.scenes.image[row]) for row in rows.tolist()])
        labels = [np.asarray(self.scenes.label[row]) for row in rows.tolist()]
        flipped = [
            drawn_label(label, self.seed, row)
            for label, row in zip(labels, rows.tolist(), strict=True)
        ]
        image = scaled(torch.from_numpy(rgb).to(device))
        return image, torch.from_numpy(np.stack(flipped)[:, None]).to(device).long()

    def given(self, row: int) -> NDArray[np.bool_]:
        """Return that the one label exists, (1,)."""
        return np.array([True])

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W) as class ids."""
        return class_ids.cpu().numpy()
