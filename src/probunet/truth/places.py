"""The training images on the device, in the machine's memory, or on disk.

Which images a step has follows from (seed, step) alone, so that a batch has the same numbers
whatever the place. From memory and disk, the images of the next steps are read ahead.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from probunet.config import DataPlace
from probunet.models.device import sent
from probunet.seeding import seed_of
from probunet.truth.patches import Patches, ReadPart

OfStep = Callable[[int, int], tuple[Tensor, ...]]  # of seed and step
Arrays = tuple[NDArray[np.generic], ...]  # images, and their masks or labels: each (n, ...)
# returns the arrays of some rows; of images of their own sizes, of one row, or a part of it
Read = Callable[..., Arrays]
_AHEAD = 4  # batches in memory that are read before their step
_WORKERS = 2  # threads that read


class Images(Protocol):
    """The images that a training draws from, and their masks or labels."""

    def take(self, seed: int, step: int) -> tuple[Tensor, ...]:
        """Return the arrays of a step's images on the device, each (batch, ...)."""


def draw_images(seed: int, step: int, count: int, batch: int) -> tuple[Generator, Tensor]:
    """Return a step's random numbers, and which of `count` images it has: (batch,) int64.

    They are drawn with replacement (Kohl et al. 2018, appendix H).
    """
    generator = torch.Generator().manual_seed(seed_of(seed, "batch", step))
    return generator, torch.randint(count, (batch,), generator=generator)


def place_images(
    read: Read,
    rows: NDArray[np.int64],
    batch: int,
    device: torch.device,
    place: DataPlace,
    patches: Patches | None = None,
) -> Images:
    """Return rows of a store at a place.

    With `patches`, images have their own sizes, and a step has windows of them.
    """

    def chosen(seed: int, step: int) -> Tensor:
        return draw_images(seed, step, len(rows), batch)[1]

    if patches is not None:
        part = _parts(read, rows, device, place)

        def windows(seed: int, step: int) -> tuple[Tensor, ...]:
            return patches.cut(part, seed, step, chosen(seed, step))

        return _OfStep(windows) if place == "device" else _ReadAhead(windows, device)
    if place == "disk":
        return _ReadAhead(lambda *step: _tensors(read(rows[chosen(*step).numpy()])), device)
    whole = _tensors(read(rows))
    if place == "host":
        return _ReadAhead(lambda *step: _rows(whole, chosen(*step)), device)
    there = tuple(array.to(device) for array in whole)
    return _OfStep(lambda *step: _rows(there, sent(chosen(*step), device)))


def _parts(read: Read, rows: NDArray[np.int64], device: torch.device, place: DataPlace) -> ReadPart:
    """Return a function that returns a part of one image at a place."""

    def from_disk(k: int, *part: slice) -> tuple[Tensor, ...]:
        image, truth = _tensors(read(rows[k : k + 1], *part))
        return image[0], truth[0]

    if place == "disk":
        return from_disk
    where = device if place == "device" else torch.device("cpu")
    kept = [tuple(array.to(where) for array in from_disk(k)) for k in range(len(rows))]

    def from_memory(k: int, down: slice, across: slice) -> tuple[Tensor, ...]:
        image, truth = kept[k]
        return image[down, across], truth[..., down, across]

    return from_memory


class _OfStep:
    """Images that are taken when their step needs them."""

    def __init__(self, of_step: OfStep) -> None:
        self._of_step = of_step

    def take(self, seed: int, step: int) -> tuple[Tensor, ...]:
        return self._of_step(seed, step)


class _ReadAhead:
    """Images that threads read before their step, in the order of the steps."""

    def __init__(self, of_step: OfStep, device: torch.device) -> None:
        self._of_step, self._device = of_step, device
        self._threads = ThreadPoolExecutor(_WORKERS, thread_name_prefix="read-ahead")
        self._coming: dict[tuple[int, int], Future[tuple[Tensor, ...]]] = {}

    def take(self, seed: int, step: int) -> tuple[Tensor, ...]:
        wanted = [(seed, step + more) for more in range(_AHEAD + 1)]
        for key in self._coming.keys() - set(wanted):
            self._coming.pop(key).cancel()
        for key in wanted:
            if key not in self._coming:
                self._coming[key] = self._threads.submit(self._batch_of, *key)
        arrays = self._coming.pop((seed, step)).result()
        return tuple(sent(array, self._device) for array in arrays)

    def _batch_of(self, seed: int, step: int) -> tuple[Tensor, ...]:
        arrays = self._of_step(seed, step)
        # only pinned memory is copied to a GPU while it computes
        return tuple(a.pin_memory() for a in arrays) if self._device.type == "cuda" else arrays


def _rows(arrays: tuple[Tensor, ...], chosen: Tensor) -> tuple[Tensor, ...]:
    return tuple(array[chosen] for array in arrays)


def _tensors(arrays: Arrays) -> tuple[Tensor, ...]:
    return tuple(torch.from_numpy(np.ascontiguousarray(array)) for array in arrays)
