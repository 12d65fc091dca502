"""Training batches: the fold's images live on the device, and are gathered and deformed there.

A batch is a function of (seed, step) alone, so that a resumed training sees the same ones. What
differs between the data sets is in `masks` (LIDC-IDRI, and images of one's own) and `scenes`
(Cityscapes).
"""

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.store import Data, Scenes
from probunet.train.masks import load_masks
from probunet.train.scenes import load_scenes


class Batches(Protocol):
    """Images on the training device, from which batches are drawn."""

    @property
    def in_channels(self) -> int:
        """Channels of an image."""

    @property
    def classes(self) -> int:
        """Classes of a label."""

    @property
    def window(self) -> tuple[float, float] | None:
        """Values that become 0 and 1; None where those of the type do."""

    @property
    def crop(self) -> int | None:
        """Side of the crop that is trained on, pixels; None for whole images."""

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, C, h, w) float32 and labels (B, h, w) int64 of a step."""


def load_batches(
    store: Data,
    rows: NDArray[np.int64],
    settings: Settings,
    device: torch.device,
) -> Batches:
    """Return these rows of the store on the device."""
    if isinstance(store, Scenes):
        return load_scenes(store, rows, settings, device)
    return load_masks(store, rows, settings, device)
