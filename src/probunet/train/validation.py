"""Validation GED on a fixed subset of the fold's validation crops, with the same noise each time.

What changes between validations is the weights alone, which makes the best ones easier to tell.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.bits import Packed, pack, pack_graders
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance
from probunet.models import Model
from probunet.models.crops import central, read_rows, windowed
from probunet.models.device import autocast
from probunet.seeding import numpy_generator, seed_of
from probunet.store import Crops

_BATCH = 16  # images at a time; not a setting, since no result depends on it


@dataclass(frozen=True)
class Subset:
    """The crops that are scored at each validation."""

    rows: NDArray[np.int64]
    image: Tensor  # (images, 1, side, side) float32, on the device
    graders: Packed  # (images, graders, bytes)


def choose_subset(
    crops: Crops, rows: NDArray[np.int64], settings: Settings, seed: int, device: torch.device
) -> Subset:
    """Return at most `validation_images` of the rows, drawn once per seed, central crops."""
    order = numpy_generator(seed, "validation-subset").permutation(rows)
    chosen = np.sort(order[: settings.training.validation_images])
    side = settings.evaluation.crop
    hu = torch.from_numpy(np.ascontiguousarray(central(read_rows(crops.image, chosen), side)))
    return Subset(
        chosen,
        windowed(hu.to(device), settings.intensity.window)[:, None],
        pack_graders(central(read_rows(crops.masks, chosen), side)),
    )


def validate(
    model: Model, subset: Subset, settings: Settings, seed: int, stop: Callable[[], bool]
) -> tuple[float, float] | None:
    """Return mean GED^2 and diversity over the subset, or None if asked to stop meanwhile."""
    n = settings.training.validation_samples
    packed = []
    for start in range(0, len(subset.rows), _BATCH):
        if stop():
            return None
        part = slice(start, start + _BATCH)
        generators = [
            torch.Generator().manual_seed(seed_of(seed, "validation", int(row)))
            for row in subset.rows[part]
        ]
        with torch.no_grad(), autocast(subset.image.device, settings.training.precision):
            drawn = model.draw(subset.image[part], n, generators)
        samples = drawn.samples.movedim(0, 1).cpu().numpy().astype(bool)
        packed.append(pack(samples))
    scores = energy_distance(distances(np.concatenate(packed), subset.graders), n)
    return float(scores.ged.mean()), float(scores.diversity.mean())
