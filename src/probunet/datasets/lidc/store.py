"""The store of LIDC-IDRI: crops of CT slices with the masks of four graders."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.config import Settings, Size, Source
from probunet.datasets.lidc.config import PATIENTS
from probunet.metrics.bits import GRADERS
from probunet.pictures.view import Shown
from probunet.store import Layout, create_images
from probunet.truth.base import DataAttributes, Words
from probunet.truth.graders import Graded

SIZE = 180  # pixels, the side of a stored crop
PROTOCOL = "kohl2018"  # crops as in Kohl et al. 2018, section 3.1 and appendix H.1
CHUNK = 16  # crops per inner chunk, about one patient's


class CropAttributes(DataAttributes):
    """Attributes of a store of crops."""

    protocol: str
    spacing: float  # mm per pixel
    padding: int = -1024  # HU of a crop's pixels beyond the slice's edge
    outlines: str  # whether the outline's pixels belong to the mask
    more_than_four: str  # the rule for lesions with more than four annotations
    annotations: dict[str, int]  # crops by number of annotations, before that rule
    left_out_patients: tuple[str, ...]  # without a usable slice
    absent_patients: int = 0  # with outlines but without any slice


@dataclass(frozen=True)
class Columns:
    """One value per crop."""

    patient: NDArray[np.str_]
    series: NDArray[np.str_]
    z: NDArray[np.float64]  # mm
    lesion: NDArray[np.int32]
    annotations: NDArray[np.uint8]


LAYOUT = Layout("crops", CropAttributes, Columns, arrays=("image", "masks"), protocol=PROTOCOL)


@dataclass(frozen=True)
class Crops(Graded):
    """An open store of crops."""

    words = Words("patient", "patients", "crop", "crops")

    path: Path
    attributes: CropAttributes
    digest: str
    columns: Columns
    image: zarr.Array[Any]  # (n, 180, 180) int16, HU
    masks: zarr.Array[Any]  # (n, 180, 180) uint8, bit g = grader g

    @property
    def subjects(self) -> NDArray[np.str_]:
        """The patient of each crop, (n,)."""
        return self.columns.patient

    @property
    def given(self) -> NDArray[np.uint8]:
        """All four graders of each crop, (n,): a grader without an outline has an empty mask."""
        return np.full(len(self), 2**GRADERS - 1, np.uint8)

    @property
    def graders(self) -> tuple[str, ...]:
        """Numbers as names: the publisher does not identify the readers."""
        return tuple(f"grader {g + 1}" for g in range(GRADERS))

    def window(self, settings: Settings) -> tuple[float, float]:
        """Return the HU that are scaled to 0 and 1."""
        return settings.intensity.window

    def crop(self, settings: Settings) -> int:
        """Return the side of the random training crops, pixels."""
        return settings.training.crop

    def scored_size(self, settings: Settings) -> Size:
        """Return height and width of the sampled and scored centre."""
        return settings.evaluation.crop, settings.evaluation.crop

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield from super().made_from(source)
        patients = len({*self.subjects.tolist(), *self.attributes.left_out_patients})
        # a tree may have fewer patients than are asked for; all that it has are in the store then
        has_all = patients == PATIENTS - self.attributes.absent_patients
        fits = has_all and source.subjects is not None and source.subjects > patients
        yield "patients", patients, patients if fits else source.subjects

    def shown(self) -> Shown:
        """Return how the report shows crops."""
        from probunet.datasets.lidc.report import ShownCrops

        return ShownCrops(self)


def create_crops(path: Path, columns: Columns, attributes: CropAttributes) -> None:
    """Create an unsealed store of crops whose images are still empty."""
    LAYOUT.create(path, columns, attributes, create_crop_images)


def create_crop_images(group: zarr.Group, count: int) -> None:
    """Create the empty images and masks of `count` crops."""
    shape = (count, SIZE, SIZE)
    create_images(group, "image", shape, np.int16, CHUNK)
    create_images(group, "masks", shape, np.uint8, CHUNK)


def open_crops(path: Path) -> Crops:
    """Return the store of crops at `path`; raises as `Layout.open` does."""
    return Crops(**LAYOUT.open(path))
