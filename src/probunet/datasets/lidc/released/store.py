"""The store of a released set of crops: 8-bit or scaled images with the masks of four graders."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.config import Settings, Source
from probunet.datasets.lidc.released.sets import SETS, ReleasedSet
from probunet.datasets.lidc.released.split import published_split, series_split
from probunet.datasets.lidc.store import CHUNK, LidcCrops
from probunet.folds import Folds
from probunet.pictures.view import Shown
from probunet.store import Layout, create_images
from probunet.truth.base import DataAttributes


class ReleasedAttributes(DataAttributes):
    """Attributes of a store of released crops."""

    protocol: str  # the set's name
    side: int  # pixels
    values: str  # the images' NumPy type
    window: tuple[float, float]  # values that are scaled to 0 and 1
    spacing: float | None  # mm per pixel; None: that of each slice
    annotations: dict[str, int]  # crops by number of masks that are not empty
    parts: dict[str, int]  # crops by part of the released split; "" if there is none
    patients: int | None  # how many were asked for; None: all
    left_out_patients: tuple[str, ...]  # without a usable crop
    warnings: tuple[str, ...]  # how the set differs from the one that was released


@dataclass(frozen=True)
class ReleasedColumns:
    """One value per crop."""

    patient: NDArray[np.str_]
    series: NDArray[np.str_]  # empty: not known
    z: NDArray[np.float64]  # mm; NaN: not known
    lesion: NDArray[np.int32]  # the set's number; -1: not known
    annotations: NDArray[np.uint8]  # masks that are not empty
    part: NDArray[np.str_]  # train, val or test of the released split
    name: NDArray[np.str_]  # in the set: a path, or the pickle's key


LAYOUT = Layout("crops", ReleasedAttributes, ReleasedColumns, arrays=("image", "masks"))


@dataclass(frozen=True)
class ReleasedCrops(LidcCrops):
    """An open store of released crops."""

    path: Path
    attributes: ReleasedAttributes
    digest: str
    columns: ReleasedColumns
    image: zarr.Array[Any]  # (n, side, side)
    masks: zarr.Array[Any]  # (n, side, side) uint8, bit g = grader g

    @property
    def released(self) -> ReleasedSet:
        """What is known of the set."""
        return SETS[self.attributes.protocol]

    def window(self, settings: Settings) -> tuple[float, float]:
        """Return the values that are scaled to 0 and 1; `intensity` is not about these images."""
        return self.attributes.window

    def published_split(self) -> Folds:
        """Return the published split as one fold; MoSE's by series if the set has no other."""
        parts = self.columns.part.tolist()
        if self.attributes.protocol != "knegt":
            return published_split(self, parts)
        if any(parts):  # PHiSeg and CCDM divide by series, too
            return published_split(self, parts).model_copy(update={"split": "series"})
        return series_split(self)

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield from super().made_from(source)
        yield "patients", self.attributes.patients, source.subjects

    def shown(self) -> Shown:
        """Return how the report shows crops."""
        from probunet.datasets.lidc.released.report import ShownReleased

        return ShownReleased(self)


def create_released(path: Path, columns: ReleasedColumns, attributes: ReleasedAttributes) -> None:
    """Create an unsealed store of released crops whose images are still empty."""
    create_arrays = partial(create_released_images, side=attributes.side, values=attributes.values)
    LAYOUT.create(path, columns, attributes, create_arrays)


def create_released_images(group: zarr.Group, count: int, side: int, values: str) -> None:
    """Create the empty images and masks of `count` crops."""
    shape = (count, side, side)
    create_images(group, "image", shape, np.dtype(values).type, CHUNK)
    create_images(group, "masks", shape, np.uint8, CHUNK)


def open_released(path: Path) -> ReleasedCrops:
    """Return the store of released crops at `path`; raises as `Layout.open` does."""
    return ReleasedCrops(**LAYOUT.open(path))
