"""Training on one random grader's mask per image; validation GED against all graders."""

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import DataPlace, Settings, Size
from probunet.flips import IGNORE
from probunet.metrics.bits import Packed, bits_of, pack, pack_graders
from probunet.metrics.distances import distances
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.metrics.sample_weights import Weights
from probunet.models.device import sent
from probunet.models.intensity import windowed
from probunet.truth.augment import change_gamma, deform, draw_deformation, sampling_field
from probunet.truth.graders import ByGraders, Graded
from probunet.truth.inputs import (
    InTiles,
    central,
    channels,
    read_seen,
    read_values,
    stacked,
    supported,
)
from probunet.truth.patches import Patches, margin_of
from probunet.truth.places import Images, draw_images, place_images
from probunet.truth.rows import read_rows

_FEW = 8  # graders; the draws of data sets with more of them have a larger range


@dataclass(frozen=True)
class MaskBatches:
    """Images and masks; see `truth.base.Batches`."""

    images: Images  # images (B, H, W, C), and masks (B, H, W) of integers, bit g = grader g
    size: Size  # H, W
    in_channels: int  # C
    graders: Tensor  # (images, most graders) int64, each image's graders, padded with 0
    counts: Tensor  # (images,) int64, number of graders
    settings: Settings
    window: tuple[float, float]
    crop: int | None
    placed: bool = False  # whether `images` are windows whose random places are those of the crops
    most: int | None = None  # graders of an image, if all of them are wanted

    outside: ClassVar[int] = 0  # class of what an augmented image shows beyond its edge

    @property
    def masks_per_image(self) -> int:
        """Number of masks of an image in a batch."""
        return self.most or self.settings.training.graders_per_image

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, C, h, w) float32 and masks (B * G, h, w) int64 of a step.

        Images are drawn with replacement, and one grader for each, whose mask may be empty (Kohl et
        al. 2018, section 3.1). With G = `graders_per_image` above 1, the graders that follow the
        drawn one are used, too; after the last one, the first one follows. If all graders are
        wanted, each is there once, and the masks of missing ones are `IGNORE` everywhere.
        """
        training, augmentation = self.settings.training, self.settings.augmentation
        size = self.size if self.crop is None else (self.crop, self.crop)
        batch, device = training.batch, self.counts.device
        image, masks = self.images.take(seed, step)
        generator, chosen = draw_images(seed, step, len(self.counts), batch)
        chosen = sent(chosen, device)
        multiple = _multiple(self.graders.shape[1])
        number = sent(torch.randint(multiple, (batch,), generator=generator), device)
        following, counts = torch.arange(self.masks_per_image, device=device), self.counts[chosen]
        position = (number[:, None] + following) % counts[:, None]
        grader = self.graders[chosen].gather(1, position)
        deformation = draw_deformation(augmentation, batch, size, generator)
        if self.placed:
            deformation = deformation.centred()
        field = sampling_field(deformation.to(device), self.size, size)
        label = self.of_graders(masks, grader).to(torch.float32)
        image, label = deform(windowed(image, self.window), label, field, self.outside)
        if self.most is not None:
            label = label.masked_fill((following >= counts[:, None])[..., None, None], IGNORE)
        return change_gamma(augmentation, image, generator), label.flatten(0, 1)

    def of_graders(self, masks: Tensor, graders: Tensor) -> Tensor:
        """Return the masks (B, G, H, W) of graders (B, G) of each image."""
        return masks[:, None] >> graders.to(masks.dtype)[..., None, None] & 1


@dataclass(frozen=True)
class MaskSubset:
    """Images for validation; see `truth.base.Subset`."""

    rows: NDArray[np.int64]
    # (images, h, w, C), in the machine's memory; images of their own sizes (h, w, C)
    values: Tensor | list[Tensor]
    window: tuple[float, float]
    device: torch.device
    # by the bits of the graders: positions in `rows`, and packed masks
    graders: dict[int, tuple[NDArray[np.int64], Packed]]
    in_tiles: InTiles | None

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, C, h, w)."""
        return windowed(stacked(self.values[part]).to(self.device), self.window)

    def kept(self, samples: Tensor) -> Packed:
        """Return samples (n, B, h, w) packed to (B, n, bytes)."""
        return pack(samples.movedim(0, 1).cpu().numpy().astype(bool))

    def scores(self, samples: Packed, sample_weights: Weights | None = None) -> EnergyDistance:
        """Return the scores of samples (images, n, bytes), with weights (images, n) or without."""
        scores = EnergyDistance(*(np.empty(len(samples)) for _ in fields(EnergyDistance)))
        for positions, masks in self.graders.values():
            pairs = distances(samples[positions], masks)
            own = None if sample_weights is None else sample_weights[positions]
            part = energy_distance(pairs, samples.shape[1], sample_weights=own)
            for name, values in vars(part).items():
                getattr(scores, name)[positions] = values
        return scores


B = TypeVar("B", bound=MaskBatches)


def _multiple(graders: int) -> int:
    """Return a number below which a uniform integer is uniform modulo 1 to `graders`."""
    return math.lcm(*range(1, graders + 1))


def read_masks(
    data: Graded, rows: NDArray[np.int64], *part: slice
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images (n, H, W, C) and masks (n, H, W) of rows, of types that torch supports."""
    part = part or data.extent(rows)
    return read_values(data.image, rows, *part), supported(read_rows(data.masks, rows, *part))


def load_masks(
    data: Graded,
    rows: NDArray[np.int64],
    settings: Settings,
    device: torch.device,
    place: DataPlace = "device",
    all_graders: bool = False,
) -> MaskBatches:
    """Return these rows of the store for training."""
    return load_batches(MaskBatches, data, rows, settings, device, place, all_graders)


def load_batches(
    cls: type[B],
    data: ByGraders,
    rows: NDArray[np.int64],
    settings: Settings,
    device: torch.device,
    place: DataPlace,
    all_graders: bool,
) -> B:
    """Return these rows of a store as a `cls`, with patches of images of their own sizes."""
    patches = None
    if (in_tiles := data.in_tiles(settings)) is not None:
        side = in_tiles.size[0]
        margin = margin_of(settings.augmentation, side)
        patches = Patches(in_tiles.extents[rows], side, margin, in_tiles.beyond, cls.outside)
    graders, counts = padded_graders(data, rows)
    return cls(
        place_images(data.arrays, rows, settings.training.batch, device, place, patches),
        data.size if patches is None else patches.size,
        channels(data.image),
        graders.to(device),
        counts.to(device),
        settings,
        data.window(settings),
        data.crop(settings),
        placed=patches is not None,
        most=int(counts.max()) if all_graders else None,
    )


def padded_graders(data: ByGraders, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Return each image's graders (images, most graders) int64, padded with 0, and their number."""
    graders = np.zeros((len(rows), max(_FEW, len(data.graders))), np.int64)
    counts = np.empty(len(rows), np.int64)
    for position, bits in enumerate(data.given[rows].tolist()):
        counts[position] = len(bits_of(bits))
        graders[position, : counts[position]] = bits_of(bits)
    return torch.from_numpy(graders), torch.from_numpy(counts)


def load_mask_subset(
    data: Graded, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> MaskSubset:
    """Return the scored centre of these rows."""
    size, in_tiles = data.scored_size(settings), data.in_tiles(settings)
    values = read_seen(data.image, rows, size, in_tiles)
    given, masks = data.given[rows], central(read_rows(data.masks, rows), size)
    graders = {}
    for bits in np.unique(given).tolist():
        positions = np.flatnonzero(given == bits)
        graders[bits] = positions, pack_graders(masks[positions], bits_of(bits))
    return MaskSubset(rows, values, data.window(settings), device, graders, in_tiles)
