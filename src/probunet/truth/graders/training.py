"""Training on one random grader's mask per image; validation GED against all graders."""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import Packed, bits_of, pack, pack_graders
from probunet.metrics.distances import distances
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.models.device import sent
from probunet.seeding import seed_of
from probunet.truth.augment import change_gamma, deform, draw_deformation, sampling_field
from probunet.truth.graders import Graded
from probunet.truth.inputs import central, read_values, supported, windowed
from probunet.truth.rows import read_rows

_FEW = 8  # graders; the draws of data sets with more of them have a larger range


@dataclass(frozen=True)
class MaskBatches:
    """Images and masks on the training device; see `truth.base.Batches`."""

    image: Tensor  # (images, H, W, C)
    masks: Tensor  # (images, H, W) of integers, bit g = grader g
    graders: Tensor  # (images, most graders) int64, each image's graders, padded with 0
    counts: Tensor  # (images,) int64, number of graders
    settings: Settings
    window: tuple[float, float]
    crop: int | None

    @property
    def in_channels(self) -> int:
        """Number of channels of an image."""
        return int(self.image.shape[-1])

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, C, h, w) float32 and masks (B * G, h, w) int64 of a step.

        Images are drawn with replacement, and one grader for each, whose mask may be empty (Kohl et
        al. 2018, section 3.1). With G = `graders_per_image` above 1, the graders that follow the
        drawn one are used, too; after the last one, the first one follows.
        """
        training, augmentation = self.settings.training, self.settings.augmentation
        batch = training.batch
        height, width = self.image.shape[1:3]
        size = (height, width) if self.crop is None else (self.crop, self.crop)
        device = self.image.device
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        chosen = sent(torch.randint(len(self.image), (batch,), generator=generator), device)
        multiple = _multiple(self.graders.shape[1])
        number = sent(torch.randint(multiple, (batch,), generator=generator), device)
        following = torch.arange(training.graders_per_image, device=device)
        position = (number[:, None] + following) % self.counts[chosen][:, None]
        grader = self.graders[chosen].gather(1, position).to(self.masks.dtype)
        deformation = draw_deformation(augmentation, batch, size, generator).to(device)
        field = sampling_field(deformation, (height, width), size)
        image = windowed(self.image[chosen], self.window)
        mask = self.masks[chosen][:, None] >> grader[..., None, None] & 1
        image, label = deform(image, mask.to(torch.float32), field)
        return change_gamma(augmentation, image, generator), label.flatten(0, 1)


@dataclass(frozen=True)
class MaskSubset:
    """Images for validation; see `truth.base.Subset`."""

    rows: NDArray[np.int64]
    image: Tensor  # (images, C, h, w) float32, on the device
    # by the bits of the graders: positions in `rows`, and packed masks
    graders: dict[int, tuple[NDArray[np.int64], Packed]]

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, C, h, w)."""
        return self.image[part]

    def kept(self, samples: Tensor) -> Packed:
        """Return samples (n, B, h, w) packed to (B, n, bytes)."""
        return pack(samples.movedim(0, 1).cpu().numpy().astype(bool))

    def scores(self, samples: Packed) -> EnergyDistance:
        """Return the scores of samples (images, n, bytes)."""
        scores = EnergyDistance(*(np.empty(len(samples)) for _ in fields(EnergyDistance)))
        for positions, masks in self.graders.values():
            part = energy_distance(distances(samples[positions], masks), samples.shape[1])
            for name, values in vars(part).items():
                getattr(scores, name)[positions] = values
        return scores


def _multiple(graders: int) -> int:
    """Return a number below which a uniform integer is uniform modulo 1 to `graders`."""
    return math.lcm(*range(1, graders + 1))


def load_masks(
    data: Graded, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> MaskBatches:
    """Return these rows of the store on the device."""
    graders = np.zeros((len(rows), max(_FEW, len(data.graders))), np.int64)
    counts = np.empty(len(rows), np.int64)
    for position, bits in enumerate(data.given[rows].tolist()):
        counts[position] = len(bits_of(bits))
        graders[position, : counts[position]] = bits_of(bits)
    return MaskBatches(
        torch.from_numpy(read_values(data.image, rows)).to(device),
        torch.from_numpy(supported(read_rows(data.masks, rows))).to(device),
        torch.from_numpy(graders).to(device),
        torch.from_numpy(counts).to(device),
        settings,
        data.window(settings),
        data.crop(settings),
    )


def load_mask_subset(
    data: Graded, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> MaskSubset:
    """Return the scored centre of these rows; the images are on the device."""
    size = data.scored_size(settings)
    values = torch.from_numpy(np.ascontiguousarray(central(read_values(data.image, rows), size)))
    given, masks = data.given[rows], central(read_rows(data.masks, rows), size)
    graders = {}
    for bits in np.unique(given).tolist():
        positions = np.flatnonzero(given == bits)
        graders[bits] = positions, pack_graders(masks[positions], bits_of(bits))
    return MaskSubset(rows, windowed(values.to(device), data.window(settings)), graders)
