"""Validation GED on a fixed subset of the fold's validation images, with the same noise each time.

Only the weights change between validations, so that their scores are easier to compare.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from probunet.config import Settings
from probunet.models import Model
from probunet.models.device import autocast, memory_for
from probunet.models.tiles import Tile, TileWeights, seen_in, through_tiles
from probunet.seeding import numpy_generator, seed_of
from probunet.truth.base import Data, Subset

_BATCH = 16  # images at a time; not a setting, since no result depends on it
T = TypeVar("T")


class _StoppedError(Exception):
    """Validation is to stop."""


def choose_subset(
    data: Data,
    rows: NDArray[np.int64],
    settings: Settings,
    seed: int,
    device: torch.device,
) -> Subset | None:
    """Return the images to validate on: at most `validation_images` of the rows, drawn by the seed.

    Rows that cannot be scored, as `Data.scorable` says, are left out. None if no row is left.
    """
    rows = data.scorable(rows)
    if len(rows) == 0:
        return None
    order = numpy_generator(seed, "validation-subset").permutation(rows)
    chosen = np.sort(order[: settings.training.validation_images])
    return data.subset(chosen, settings, device)


def validate(
    model: Model, subset: Subset, settings: Settings, seed: int, stop: Callable[[], bool]
) -> tuple[float, float] | None:
    """Return mean GED^2 and diversity over the subset, or None if `stop` returns true meanwhile.

    Leaves the model in evaluation mode.
    """
    model.eval()
    model.sample_in(model.validation_steps)
    model.through = partial(_unless, stop)
    n = settings.training.validation_samples
    device = next(model.parameters()).device
    samples, weights = [], []
    batch = _BATCH if subset.in_tiles is None else 1
    for start in range(0, len(subset.rows), batch):
        if stop():
            return None
        part = slice(start, start + batch)
        with (
            memory_for("validation", device, f"lower training.validation_samples ({n})"),
            torch.no_grad(),
            autocast(device, settings.training.precision),
        ):
            try:
                drawn, own = _draw(model, subset, part, n, seed)
            except _StoppedError:
                return None
            samples.append(subset.kept(drawn))
            if own is not None:
                weights.append(own.float().cpu().numpy())
    scores = subset.scores(np.concatenate(samples), np.concatenate(weights) if weights else None)
    return float(scores.ged.mean()), float(scores.diversity.mean())


def _draw(
    model: Model, subset: Subset, part: slice, n: int, seed: int
) -> tuple[Tensor, Tensor | None]:
    """Return n samples of some of the images (n, B, h, w), and their weights (B, n), if any."""
    image, in_tiles = subset.images(part), subset.in_tiles
    rows = subset.rows[part].tolist()
    if in_tiles is None:
        drawn = model.draw(image, n, _generators(seed, rows))
        return drawn.samples, drawn.sample_weights
    weights = TileWeights()

    def samples(tiles: Sequence[Tile]) -> list[Tensor]:
        generators = _generators(seed, rows * len(tiles))  # the same noise in all of them
        drawn = model.draw(seen_in(image, tiles), n, generators)
        weights.add(drawn.sample_weights, tiles)
        return [drawn.samples]

    (row,) = rows
    (whole,) = through_tiles(in_tiles.of(row), in_tiles.stored, samples)
    return whole[:, None], weights.mean()


def _generators(seed: int, rows: list[int]) -> list[Generator]:
    return [torch.Generator().manual_seed(seed_of(seed, "validation", row)) for row in rows]


def _unless(stop: Callable[[], bool], steps: Iterable[T]) -> Iterator[T]:
    """Yield the steps of a sample; raise _StoppedError as soon as `stop` returns true."""
    for step in steps:
        if stop():
            raise _StoppedError
        yield step
