"""Training on one random grader's label map per image; validation GED against all graders."""

from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Absent, Settings
from probunet.flips import IGNORE
from probunet.metrics.bits import bits_of
from probunet.metrics.classes import (
    Maps,
    class_distances,
    ignored_pixels,
    mean_distances,
    packed_classes,
)
from probunet.metrics.ged import EnergyDistance, energy_distance
from probunet.metrics.sample_weights import Weights
from probunet.models.intensity import windowed
from probunet.truth.graders.training import MaskBatches
from probunet.truth.inputs import InTiles, central, read_seen, read_values, stacked
from probunet.truth.labels import Labelled
from probunet.truth.rows import read_rows


@dataclass(frozen=True)
class LabelBatches(MaskBatches):
    """Images and label maps; those of `images` are (B, G, H, W) uint8."""

    outside: ClassVar[int] = IGNORE

    def of_graders(self, masks: Tensor, graders: Tensor) -> Tensor:
        """Return the class ids (B, G, H, W) of graders (B, G) of each image."""
        return masks[torch.arange(len(masks), device=masks.device)[:, None], graders]


@dataclass(frozen=True)
class LabelSubset:
    """Images for validation; see `truth.base.Subset`."""

    rows: NDArray[np.int64]
    # (images, h, w, C), in the machine's memory; images of their own sizes (h, w, C)
    values: Tensor | list[Tensor]
    window: tuple[float, float]
    device: torch.device
    # by the bits of the graders: positions in `rows`, and label maps (images, graders, h, w)
    graders: dict[int, tuple[NDArray[np.int64], Maps]]
    classes: list[int]  # that are scored
    absent: Absent
    in_tiles: InTiles | None

    def images(self, part: slice) -> Tensor:
        """Return some of the images, (B, C, h, w)."""
        return windowed(stacked(self.values[part]).to(self.device), self.window)

    def kept(self, samples: Tensor) -> Maps:
        """Return samples (n, B, h, w) as (B, n, h, w)."""
        return samples.movedim(0, 1).cpu().numpy()

    def scores(self, samples: Maps, sample_weights: Weights | None = None) -> EnergyDistance:
        """Return the scores of samples (images, n, h, w), with weights (images, n) or without."""
        scores = EnergyDistance(*(np.empty(len(samples)) for _ in fields(EnergyDistance)))
        for positions, maps in self.graders.values():
            ignored = ignored_pixels(maps)
            masks, truth = (
                packed_classes(one, ignored, self.classes) for one in (samples[positions], maps)
            )
            pairs = mean_distances(class_distances(masks, truth), masks, truth, self.absent)
            own = None if sample_weights is None else sample_weights[positions]
            part = energy_distance(pairs, samples.shape[1], sample_weights=own)
            for name, values in vars(part).items():
                getattr(scores, name)[positions] = values
        return scores


def read_maps(
    data: Labelled, rows: NDArray[np.int64], *part: slice
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Return images (n, H, W, C), of a type that torch supports, and label maps (n, G, H, W)."""
    part = part or data.extent(rows)
    labels = read_rows(data.labels, rows, *part)
    return read_values(data.image, rows, *part), np.moveaxis(labels, -1, 1)


def load_label_subset(
    data: Labelled, rows: NDArray[np.int64], settings: Settings, device: torch.device
) -> LabelSubset:
    """Return the scored centre of these rows."""
    size, in_tiles = data.scored_size(settings), data.in_tiles(settings)
    values = read_seen(data.image, rows, size, in_tiles)
    given = data.given[rows]
    maps = np.moveaxis(central(read_rows(data.labels, rows), size), -1, 1)
    graders = {}
    for bits in np.unique(given).tolist():
        positions = np.flatnonzero(given == bits)
        graders[bits] = positions, maps[positions][:, bits_of(bits)]
    return LabelSubset(
        rows,
        values,
        data.window(settings),
        device,
        graders,
        data.scored_classes,
        data.absent,
        in_tiles,
    )
