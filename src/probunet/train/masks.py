"""Images with several graders' masks in training: one of the masks a time, and GED against all.

They are crops of LIDC-IDRI, with four graders each, or images of one's own, with as many as have
looked at them.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import MOST_GRADERS, Packed, bits_of, pack, pack_graders
from probunet.metrics.distances import distances
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.models.inputs import (
    Size,
    central,
    read_rows,
    read_values,
    scored_size,
    window_of,
    windowed,
)
from probunet.seeding import seed_of
from probunet.store import Crops, Graded
from probunet.train.augment import change_gamma, deform, draw_deformation, sampling_field

_TURNS = math.lcm(*range(1, MOST_GRADERS + 1))  # a number below it, modulo m, is uniform below m


@dataclass(frozen=True)
class MaskBatches:
    """Images and masks on the training device; see `batches.Batches`."""

    image: Tensor  # (images, H, W, C)
    masks: Tensor  # (images, H, W) uint8, bit g = grader g
    graders: Tensor  # (images, MOST_GRADERS) int64, those of each image, from the first place on
    counts: Tensor  # (images,) int64, how many they are
    settings: Settings
    window: tuple[float, float]
    crop: int | None
    classes: int = 2

    @property
    def in_channels(self) -> int:
        """Channels of an image."""
        return int(self.image.shape[-1])

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, C, h, w) float32 and masks (B, h, w) int64 of a step.

        Images are drawn with replacement, and for each one of its graders, empty masks included
        (Kohl et al. 2018, section 3.1).
        """
        batch, augmentation = self.settings.training.batch, self.settings.augmentation
        height, width = self.image.shape[1:3]
        size = (height, width) if self.crop is None else (self.crop, self.crop)
        device = self.image.device
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        chosen = torch.randint(len(self.image), (batch,), generator=generator).to(device)
        turn = torch.randint(_TURNS, (batch,), generator=generator).to(device)
        place = turn % self.counts[chosen]
        grader = self.graders[chosen].gather(1, place[:, None]).to(torch.uint8)
        deformation = draw_deformation(augmentation, batch, size, generator).to(device)
        field = sampling_field(deformation, (height, width), size)
        image = windowed(self.image[chosen], self.window)
        mask = self.masks[chosen] >> grader[:, None] & 1
        image, label = deform(image, mask.to(torch.float32), field)
        return change_gamma(augmentation, image, generator), label


@dataclass(frozen=True)
class MaskSubset:
    """Images that are scored at each validation; see `validation.Subset`."""

    rows: NDArray[np.int64]
    image: Tensor  # (images, C, h, w) float32, on the device
    graders: dict[int, tuple[NDArray[np.int64], Packed]]  # by who has looked: which images, masks

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, C, h, w)."""
        return self.image[part]

    def kept(self, samples: Tensor) -> Packed:
        """Return samples (n, B, h, w) as they are scored, (B, n, bytes)."""
        return pack(samples.movedim(0, 1).cpu().numpy().astype(bool))

    def scores(self, samples: Packed) -> EnergyDistance:
        """Return the scores of all samples (images, n, bytes)."""
        n = samples.shape[1]
        scored = EnergyDistance(*(np.empty(len(samples)) for _ in range(3)))
        for places, masks in self.graders.values():
            own = energy_distance(distances(samples[places], masks), n)
            for name, values in vars(own).items():
                getattr(scored, name)[places] = values
        return scored


def load_masks(
    data: Graded, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> MaskBatches:
    """Return these rows of the store on the device."""
    graders = np.zeros((len(rows), MOST_GRADERS), np.int64)
    counts = np.empty(len(rows), np.int64)
    for place, given in enumerate(data.given[rows].tolist()):
        own = bits_of(given)
        graders[place, : len(own)], counts[place] = own, len(own)
    return MaskBatches(
        torch.from_numpy(read_values(data, rows)).to(device),
        torch.from_numpy(read_rows(data.masks, rows)).to(device),
        torch.from_numpy(graders).to(device),
        torch.from_numpy(counts).to(device),
        settings,
        window_of(data, settings),
        settings.training.crop if isinstance(data, Crops) else None,
    )


def load_mask_subset(
    data: Graded, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> MaskSubset:
    """Return what is scored of these rows, the images on the device."""
    size = scored_size(data, settings)
    values = torch.from_numpy(np.ascontiguousarray(central(read_values(data, rows), size)))
    return MaskSubset(
        rows,
        windowed(values.to(device), window_of(data, settings)),
        _graders(data, rows, size),
    )


def _graders(
    data: Graded, rows: NDArray[np.int64], size: Size
) -> dict[int, tuple[NDArray[np.int64], Packed]]:
    """Return, by who has looked at them, places in `rows` and packed masks."""
    given, masks = data.given[rows], central(read_rows(data.masks, rows), size)
    found = {}
    for who in np.unique(given).tolist():
        places = np.flatnonzero(given == who)
        found[who] = places, pack_graders(masks[places], bits_of(who))
    return found
