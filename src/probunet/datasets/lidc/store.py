"""The store of LIDC-IDRI: crops of CT slices with the masks of four graders."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.config import Settings, Size, Source
from probunet.datasets.lidc.config import PATIENTS
from probunet.errors import ProbunetError
from probunet.metrics.bits import GRADERS
from probunet.pictures.view import Shown
from probunet.prepared import Prepared
from probunet.store import Layout, create_images
from probunet.truth.base import Data, DataAttributes, Words
from probunet.truth.graders import Graded

logger = logging.getLogger(__name__)

if TYPE_CHECKING:
    from probunet.datasets.lidc.released.sets import ReleasedSet
    from probunet.datasets.lidc.released.store import ReleasedAttributes, ReleasedColumns

SIZE = 180  # pixels, the side of a stored crop
PROTOCOL = "kohl2018"  # crops as in Kohl et al. 2018, section 3.1 and appendix H.1
PROTOCOL_VERSION = 2
OF_VERSION_1 = (
    "its masks are too small, by 2.3 % of their area in all and by 10 % below 10 mm2 (version 1 of "
    "protocol kohl2018)"
)
CHUNK = 16  # crops per inner chunk, about one patient's


class CropAttributes(DataAttributes):
    """Attributes of a store of crops."""

    protocol: str
    protocol_version: int = 1  # a store that says none is older; see `OF_VERSION_1`
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


class LidcCrops(Graded):
    """An open store of crops of LIDC-IDRI, of any protocol."""

    words = Words("patient", "patients", "crop", "crops")
    class_names = ("background", "lesion")

    attributes: "CropAttributes | ReleasedAttributes"
    columns: "Columns | ReleasedColumns"

    @property
    def released(self) -> "ReleasedSet | None":
        """What is known of the set of crops that others released; None if they did not."""
        return None

    @property
    def protocol(self) -> str:
        """How crops were made."""
        return self.attributes.protocol

    @property
    def subjects(self) -> NDArray[np.str_]:
        """The patient of each crop, (n,)."""
        return self.columns.patient

    @property
    def fold_names(self) -> set[str]:
        """What folds can name: patients, or CT series where these are known."""
        return {*self.subjects.tolist(), *self.columns.series.tolist()} - {""}

    def rows_of(self, subjects: list[str]) -> NDArray[np.int64]:
        """Return the rows of the crops of these patients or CT series, in ascending order."""
        of_series = np.isin(self.columns.series, subjects)
        return np.flatnonzero(np.isin(self.subjects, subjects) | of_series)

    def shared_images(self, other: Data) -> NDArray[np.int64]:
        """Return the rows of both stores (pairs, 2) whose crops are of one patient and z.

        Crops whose z is not known are in no pair. Several lesions of a slice give several pairs.
        """
        assert isinstance(other, LidcCrops)
        of_slice: dict[tuple[str, int], list[int]] = defaultdict(list)
        for row, place in other._slices():
            of_slice[place].append(row)
        pairs = [(row, found) for row, place in self._slices() for found in of_slice[place]]
        return np.array(pairs, dtype=np.int64).reshape(-1, 2)

    def _slices(self) -> Iterator[tuple[int, tuple[str, int]]]:
        """Yield the row, and patient and z in tenths of mm, of each crop whose z is known."""
        columns = self.columns
        for row in np.flatnonzero(np.isfinite(columns.z)).tolist():
            yield row, (str(columns.patient[row]), round(float(columns.z[row]) * 10))

    @property
    def given(self) -> NDArray[np.uint8]:
        """All four graders of each crop, (n,): a grader without an outline has an empty mask."""
        return np.full(len(self), 2**GRADERS - 1, np.uint8)

    @property
    def graders(self) -> tuple[str, ...]:
        """Numbers as names: the publisher does not identify the readers."""
        return tuple(f"grader {g + 1}" for g in range(GRADERS))

    def crop(self, settings: Settings) -> int:
        """Return the side of the random training crops, pixels."""
        return self._fitting("training.crop", settings.training.crop)

    def scored_size(self, settings: Settings) -> Size:
        """Return height and width of the sampled and scored centre."""
        side = self._fitting("evaluation.crop", settings.evaluation.crop)
        return side, side

    def _fitting(self, key: str, side: int) -> int:
        """Return the side of a crop; raise ProbunetError if it is larger than the images."""
        largest = self.size[0]
        if side > largest:
            raise ProbunetError(
                f"{key}: {side} is more than the {largest} pixels of the crops in {self.path}; "
                f"choose at most {largest}."
            )
        return side


@dataclass(frozen=True)
class Crops(LidcCrops):
    """An open store of crops."""

    path: Path
    attributes: CropAttributes
    digest: str
    columns: Columns
    image: zarr.Array[Any]  # (n, 180, 180) int16, HU
    masks: zarr.Array[Any]  # (n, 180, 180) uint8, bit g = grader g

    @property
    def protocol(self) -> str:
        """How crops were made, with the version of the protocol if it is not the current one."""
        name, version = super().protocol, self.attributes.protocol_version
        return name if version == PROTOCOL_VERSION else f"{name}, version {version}"

    def window(self, settings: Settings) -> tuple[float, float]:
        """Return the HU that are scaled to 0 and 1."""
        return settings.intensity.window

    def prepared(self, settings: Settings) -> Prepared:
        """Return that crops of CT slices are made, of the store's pixels."""
        padding, spacing = float(self.attributes.padding), self.attributes.spacing
        return replace(super().prepared(settings), padding=padding, spacing=spacing)

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
    """Return the store of crops at `path`; raises as `Layout.open` does.

    A store of an older version of the protocol is opened with a warning.
    """
    crops = Crops(**LAYOUT.open(path))
    if crops.attributes.protocol_version < PROTOCOL_VERSION:
        logger.warning(
            "%s: %s; scores on it compare only with scores on such stores. Remove the store, and "
            "it is prepared again.",
            path,
            OF_VERSION_1,
        )
    return crops
