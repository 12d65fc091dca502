"""Training on labels with random flips; validation GED against all 32 modes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from probunet.config import DataPlace, Settings, Size
from probunet.flips import FIRST, IGNORE, MODE_PROBABILITIES, PROBABILITIES, SECOND
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.metrics.modes import mode_distances
from probunet.metrics.sample_weights import Weights
from probunet.models.device import sent
from probunet.truth.augment import change_gamma, deform, draw_deformation, sampling_field
from probunet.truth.inputs import scaled
from probunet.truth.modes import Flipped
from probunet.truth.places import Images, draw_images, place_images
from probunet.truth.rows import each_row, read_rows


@dataclass(frozen=True)
class SceneBatches:
    """Whole scenes; see `truth.base.Batches`."""

    images: Images  # images (B, H, W, 3) uint8, and labels (B, H, W) uint8, train ids
    count: int  # of all scenes
    size: Size  # H, W
    device: torch.device
    settings: Settings
    in_channels: int = 3

    @property
    def masks_per_image(self) -> int:
        """Number of flipped labels of a scene in a batch."""
        return self.settings.training.graders_per_image

    def draw(self, seed: int, step: int) -> tuple[Tensor, Tensor]:
        """Return the images (B, 3, H, W) float32 and flipped labels (B * G, H, W) int64 of a step.

        Scenes are drawn with replacement, and flips for each (Kohl et al. 2018, section 3.2), G
        times with `graders_per_image`.
        Pixels from outside the stored scene are `IGNORE`.
        """
        training, augmentation = self.settings.training, self.settings.augmentation
        batch, each = training.batch, self.masks_per_image
        image, label = self.images.take(seed, step)
        generator, _ = draw_images(seed, step, self.count, batch)
        names = sent(draw_names(batch * each, generator), self.device)
        deformation = draw_deformation(augmentation, batch, self.size, generator).to(self.device)
        field = sampling_field(deformation, self.size, self.size)
        image, label = deform(scaled(image), label.to(torch.float32), field, outside=IGNORE)
        label = label.repeat_interleave(each, dim=0)
        label = names.gather(1, label.flatten(1)).view_as(label)
        return change_gamma(augmentation, image, generator), label


def draw_names(batch: int, generator: Generator) -> Tensor:
    """Return the class id after flips of each train id, per image: (batch, 256) int64."""
    first, second = torch.from_numpy(FIRST).long(), torch.from_numpy(SECOND).long()
    flipped = torch.rand(batch, len(first), generator=generator) < torch.from_numpy(PROBABILITIES)
    names = torch.arange(IGNORE + 1).repeat(batch, 1)
    names[:, first] = torch.where(flipped, second, first)
    return names


@dataclass(frozen=True)
class SceneSubset:
    """Scenes for validation; see `truth.base.Subset`."""

    rows: NDArray[np.int64]
    image: Tensor  # (images, H, W, 3) uint8, in the machine's memory
    device: torch.device
    label: NDArray[np.uint8]  # (images, H, W), train ids

    in_tiles = None

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, 3, H, W)."""
        return scaled(self.image[part].to(self.device))

    def kept(self, samples: Tensor) -> NDArray[np.uint8]:
        """Return samples (n, B, H, W) as (B, n, H, W)."""
        return samples.movedim(0, 1).cpu().numpy()

    def scores(
        self, samples: NDArray[np.uint8], sample_weights: Weights | None = None
    ) -> EnergyDistance:
        """Return the scores of samples (images, n, H, W), with weights (images, n) or without."""
        pairs, n = mode_distances(samples, self.label), samples.shape[1]
        return energy_distance(pairs, n, MODE_PROBABILITIES, sample_weights=sample_weights)


def read_scenes(
    scenes: Flipped, rows: NDArray[np.int64], *part: slice
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return images (n, H, W, 3) and labels (n, H, W), both uint8, of rows."""
    return read_rows(scenes.image, rows, *part), read_rows(scenes.label, rows, *part)


def load_scenes(
    scenes: Flipped,
    rows: NDArray[np.int64],
    settings: Settings,
    device: torch.device,
    place: DataPlace = "device",
) -> SceneBatches:
    """Return these rows of the store for training."""
    images = place_images(scenes.arrays, rows, settings.training.batch, device, place)
    return SceneBatches(images, len(rows), scenes.size, device, settings)


def load_scene_subset(
    scenes: Flipped, rows: NDArray[np.int64], device: torch.device
) -> SceneSubset:
    """Return these rows of the store."""
    image, label = read_scenes(scenes, rows)
    return SceneSubset(rows, torch.from_numpy(image), device, label)


def scored_rows(scenes: Flipped, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows whose labels contain one of the five classes with two names."""
    return rows[[bool(np.isin(label, FIRST).any()) for label in each_row(scenes.label, rows)]]
