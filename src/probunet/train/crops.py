"""Crops of LIDC-IDRI in training: one of four graders' masks a time, and GED against all four."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import GRADERS, Packed, pack, pack_graders
from probunet.metrics.distances import distances
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.models.inputs import central, read_rows, windowed
from probunet.seeding import seed_of
from probunet.store import Crops
from probunet.train.augment import change_gamma, deform, draw_deformation, sampling_field


@dataclass(frozen=True)
class CropBatches:
    """Crops on the training device; see `batches.Batches`."""

    image: Tensor  # (crops, H, W) int16, HU
    masks: Tensor  # (crops, H, W) uint8, bit g = grader g
    settings: Settings
    in_channels: int = 1
    classes: int = 2

    @property
    def window(self) -> tuple[float, float]:
        """HU that become 0 and 1."""
        return self.settings.intensity.window

    @property
    def crop(self) -> int:
        """Side of the random crop, pixels."""
        return self.settings.training.crop

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, 1, h, w) float32 and masks (B, h, w) int64 of a step.

        Crops are drawn with replacement, and for each one of its four graders, empty masks
        included (Kohl et al. 2018, section 3.1).
        """
        batch, augmentation = self.settings.training.batch, self.settings.augmentation
        height, width = self.image.shape[-2:]
        size, device = (self.crop, self.crop), self.image.device
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        chosen = torch.randint(len(self.image), (batch,), generator=generator).to(device)
        grader = torch.randint(GRADERS, (batch,), generator=generator).to(device)
        deformation = draw_deformation(augmentation, batch, size, generator).to(device)
        field = sampling_field(deformation, (height, width), size)
        image = windowed(self.image[chosen], self.window)[:, None]
        mask = self.masks[chosen] >> grader[:, None, None].to(torch.uint8) & 1
        image, label = deform(image, mask.to(torch.float32), field)
        return change_gamma(augmentation, image, generator), label


@dataclass(frozen=True)
class CropSubset:
    """Crops that are scored at each validation; see `validation.Subset`."""

    rows: NDArray[np.int64]
    image: Tensor  # (images, 1, side, side) float32, on the device
    graders: Packed  # (images, graders, bytes)

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, 1, side, side)."""
        return self.image[part]

    def kept(self, samples: Tensor) -> Packed:
        """Return samples (n, B, side, side) as they are scored, (B, n, bytes)."""
        return pack(samples.movedim(0, 1).cpu().numpy().astype(bool))

    def scores(self, samples: Packed) -> EnergyDistance:
        """Return the scores of all samples (images, n, bytes)."""
        return energy_distance(distances(samples, self.graders), samples.shape[1])


def load_crops(
    crops: Crops, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> CropBatches:
    """Return these rows of the store on the device."""
    return CropBatches(
        torch.from_numpy(read_rows(crops.image, rows)).to(device),
        torch.from_numpy(read_rows(crops.masks, rows)).to(device),
        settings,
    )


def load_crop_subset(
    crops: Crops, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> CropSubset:
    """Return the central part of these rows on the device."""
    side = settings.evaluation.crop
    hu = torch.from_numpy(np.ascontiguousarray(central(read_rows(crops.image, rows), side)))
    return CropSubset(
        rows,
        windowed(hu.to(device), settings.intensity.window)[:, None],
        pack_graders(central(read_rows(crops.masks, rows), side)),
    )
