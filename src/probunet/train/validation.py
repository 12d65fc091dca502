"""Validation GED on a fixed subset of the fold's validation images, with the same noise each time.

What changes between validations is the weights alone, which makes the best ones easier to tell.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from probunet.config import Settings
from probunet.metrics.ged import EnergyDistance
from probunet.models import Model
from probunet.models.device import autocast
from probunet.seeding import numpy_generator, seed_of
from probunet.store import Data, Scenes
from probunet.train.masks import load_mask_subset
from probunet.train.scenes import load_scene_subset, scored_rows

_BATCH = 16  # images at a time; not a setting, since no result depends on it


class Subset(Protocol):
    """The images that are scored at each validation."""

    @property
    def rows(self) -> NDArray[np.int64]:
        """Rows of the store."""

    def images(self, part: slice) -> Tensor:
        """Return some of the images as the network sees them, on the device."""

    def kept(self, samples: Tensor) -> NDArray[np.uint8]:
        """Return samples (n, B, H, W) as they are scored, (B, n, ...)."""

    def scores(self, samples: NDArray[np.uint8]) -> EnergyDistance:
        """Return the scores of all samples (images, n, ...), against all that is true of them."""


def choose_subset(
    store: Data,
    rows: NDArray[np.int64],
    settings: Settings,
    seed: int,
    device: torch.device,
) -> Subset | None:
    """Return at most `validation_images` of the rows, drawn once per seed.

    Scenes without any of the classes that are scored are not among them; None if there are no
    images.
    """
    if isinstance(store, Scenes):
        rows = scored_rows(store, rows)
    if len(rows) == 0:
        return None
    order = numpy_generator(seed, "validation-subset").permutation(rows)
    chosen = np.sort(order[: settings.training.validation_images])
    if isinstance(store, Scenes):
        return load_scene_subset(store, chosen, settings, device)
    return load_mask_subset(store, chosen, settings, device)


def validate(
    model: Model, subset: Subset, settings: Settings, seed: int, stop: Callable[[], bool]
) -> tuple[float, float] | None:
    """Return mean GED^2 and diversity over the subset, or None if asked to stop meanwhile."""
    n = settings.training.validation_samples
    samples = []
    for start in range(0, len(subset.rows), _BATCH):
        if stop():
            return None
        part = slice(start, start + _BATCH)
        generators = [
            torch.Generator().manual_seed(seed_of(seed, "validation", int(row)))
            for row in subset.rows[part]
        ]
        image = subset.images(part)
        with torch.no_grad(), autocast(image.device, settings.training.precision):
            drawn = model.draw(image, n, generators)
        samples.append(subset.kept(drawn.samples))
    scores = subset.scores(np.concatenate(samples))
    return float(scores.ged.mean()), float(scores.diversity.mean())
