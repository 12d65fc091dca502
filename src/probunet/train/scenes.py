"""Scenes of Cityscapes in training: flips drawn for each batch, and GED against all 32 modes."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from probunet.cityscapes import (
    CLASSES,
    FIRST,
    IGNORE,
    MODE_PROBABILITIES,
    PROBABILITIES,
    SECOND,
)
from probunet.config import Settings
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.metrics.modes import mode_distances
from probunet.models.inputs import read_rows, scaled
from probunet.seeding import seed_of
from probunet.store import Scenes
from probunet.train.augment import change_gamma, deform, draw_deformation, sampling_field


@dataclass(frozen=True)
class SceneBatches:
    """Scenes on the training device, whole; see `batches.Batches`."""

    image: Tensor  # (scenes, H, W, 3) uint8
    label: Tensor  # (scenes, H, W) uint8, train ids
    settings: Settings
    in_channels: int = 3
    classes: int = len(CLASSES)
    window: None = None
    crop: None = None

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, 3, H, W) float32 and flipped labels (B, H, W) int64 of a step.

        Scenes are drawn with replacement, and for each the names of its classes (Kohl et al. 2018,
        section 3.2). What a deformation brings in from beyond the border is `IGNORE`.
        """
        batch, augmentation = self.settings.training.batch, self.settings.augmentation
        height, width = self.label.shape[-2:]
        size, device = (height, width), self.label.device
        generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
        chosen = torch.randint(len(self.label), (batch,), generator=generator).to(device)
        names = draw_names(batch, generator).to(device)
        deformation = draw_deformation(augmentation, batch, size, generator).to(device)
        field = sampling_field(deformation, size, size)
        image, label = scaled(self.image[chosen]), self.label[chosen].to(torch.float32)
        image, label = deform(image, label, field, outside=IGNORE)
        label = names.gather(1, label.flatten(1)).view_as(label)
        return change_gamma(augmentation, image, generator), label


def draw_names(batch: int, generator: Generator) -> Tensor:
    """Return what each train id is called in each image of a batch: (batch, 256) int64.

    All pixels of a class go by its first or all by its second name, each class on its own.
    """
    first, second = torch.from_numpy(FIRST).long(), torch.from_numpy(SECOND).long()
    flipped = torch.rand(batch, len(first), generator=generator) < torch.from_numpy(PROBABILITIES)
    names = torch.arange(IGNORE + 1).repeat(batch, 1)
    names[:, first] = torch.where(flipped, second, first)
    return names


@dataclass(frozen=True)
class SceneSubset:
    """Scenes that are scored at each validation; see `validation.Subset`."""

    rows: NDArray[np.int64]
    image: Tensor  # (images, H, W, 3) uint8, on the device
    label: NDArray[np.uint8]  # (images, H, W), train ids

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, 3, H, W)."""
        return scaled(self.image[part])

    def kept(self, samples: Tensor) -> NDArray[np.uint8]:
        """Return samples (n, B, H, W) as they are scored, (B, n, H, W)."""
        return samples.movedim(0, 1).cpu().numpy()

    def scores(self, samples: NDArray[np.uint8]) -> EnergyDistance:
        """Return the scores of all samples (images, n, H, W)."""
        pairs = mode_distances(samples, self.label)
        return energy_distance(pairs, samples.shape[1], weights=MODE_PROBABILITIES)


def load_scenes(
    scenes: Scenes, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> SceneBatches:
    """Return these rows of the store on the device."""
    return SceneBatches(
        torch.from_numpy(read_rows(scenes.image, rows)).to(device),
        torch.from_numpy(read_rows(scenes.label, rows)).to(device),
        settings,
    )


def load_scene_subset(
    scenes: Scenes, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> SceneSubset:
    """Return these rows of the store, the pictures on the device."""
    return SceneSubset(
        rows,
        torch.from_numpy(read_rows(scenes.image, rows)).to(device),
        read_rows(scenes.label, rows),
    )


def scored_rows(scenes: Scenes, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return those of the rows that show any of the five classes; the others have no GED."""
    labels = read_rows(scenes.label, rows)
    return rows[[bool(np.isin(label, FIRST).any()) for label in labels]]
