"""Training batches: the fold's crops live on the device, and are gathered and deformed there.

A batch is a function of (seed, step) alone, so that a resumed training sees the same ones.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.models.crops import read_rows, windowed
from probunet.seeding import seed_of
from probunet.store import GRADERS, Crops
from probunet.train.augment import deform, draw_deformation, sampling_field


@dataclass(frozen=True)
class Resident:
    """Crops on the training device."""

    image: Tensor  # (crops, H, W) int16, HU
    masks: Tensor  # (crops, H, W) uint8, bit g = grader g


def load_resident(crops: Crops, rows: NDArray[np.int64], device: torch.device) -> Resident:
    """Return these rows of the store on the device."""
    return Resident(
        torch.from_numpy(read_rows(crops.image, rows)).to(device),
        torch.from_numpy(read_rows(crops.masks, rows)).to(device),
    )


def draw_batch(data: Resident, settings: Settings, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """Return the images (B, 1, h, w) float32 and masks (B, h, w) int64 of a step.

    Crops are drawn with replacement, and for each one of its four graders, empty masks included
    (Kohl et al. 2018, section 3.1).
    """
    size, batch, crop = data.image.shape[-1], settings.training.batch, settings.training.crop
    generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
    chosen = torch.randint(len(data.image), (batch,), generator=generator)
    grader = torch.randint(GRADERS, (batch,), generator=generator)
    deformation = draw_deformation(settings.augmentation, batch, crop, generator)
    device = data.image.device
    chosen, grader = chosen.to(device), grader.to(device)
    field = sampling_field(deformation.to(device), size, crop)
    image = windowed(data.image[chosen], settings.intensity.window)
    mask = data.masks[chosen] >> grader[:, None, None].to(torch.uint8) & 1
    return deform(image, mask.to(torch.float32), field)
