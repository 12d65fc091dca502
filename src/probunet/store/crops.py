"""Crops of LIDC-IDRI: slices in Hounsfield units and the masks of four graders."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.metrics.bits import GRADERS
from probunet.store import sealed
from probunet.store.sealed import MAKE_AGAIN, Attributes

KIND = "crops"
SIZE = 180  # pixels, the side of a stored crop
PROTOCOL = "kohl2018"  # how crops are made: Kohl et al. 2018, section 3.1 and appendix H.1
CHUNK = 16  # crops per inner chunk, about one patient's


class CropAttributes(Attributes):
    """What a store of LIDC crops says of itself."""

    dataset: str
    source: str
    synthetic: bool
    protocol: str
    spacing: float  # mm per pixel, both ways
    padding: int = -1024  # HU of a crop's pixels beyond the slice's edge
    outlines: str  # the convention for the outline's own pixels
    more_than_four: str  # the rule for lesions with more than four annotations
    annotations: dict[str, int]  # crops by number of annotations, before that rule
    left_out: dict[str, int]  # slices by reason
    left_out_patients: tuple[str, ...]  # with not one usable slice
    absent_patients: int = 0  # with outlines, and no slice in the tree
    manifest_sha256: str
    licence: str
    versions: dict[str, str]


@dataclass(frozen=True)
class Columns:
    """One value per crop."""

    patient: NDArray[np.str_]
    series: NDArray[np.str_]
    z: NDArray[np.float64]  # mm
    lesion: NDArray[np.int32]
    annotations: NDArray[np.uint8]


@dataclass(frozen=True)
class Crops:
    """An open store of crops."""

    path: Path
    attributes: CropAttributes
    digest: str
    columns: Columns
    image: zarr.Array[Any]  # (n, 180, 180) int16, HU
    masks: zarr.Array[Any]  # (n, 180, 180) uint8, bit g = grader g

    def __len__(self) -> int:
        return int(self.image.shape[0])

    @property
    def subjects(self) -> NDArray[np.str_]:
        """Whose crop each one is, (n,): folds keep a patient's crops together."""
        return self.columns.patient

    @property
    def given(self) -> NDArray[np.uint8]:
        """Whose masks count, (n,), bit g = grader g: all four, those who outlined nothing too."""
        return np.full(len(self), 2**GRADERS - 1, np.uint8)

    def rows_of(self, subjects: list[str]) -> NDArray[np.int64]:
        """Return the crops of these patients, in the store's order."""
        return np.flatnonzero(np.isin(self.subjects, subjects))


def create_crops(path: Path, columns: Columns, attributes: CropAttributes) -> None:
    """Create an unsealed store of `len(columns.z)` crops at `path`, its images still empty."""
    group = sealed.create(path, KIND, attributes)
    create_crop_images(group, len(columns.z))
    for name in ("patient", "series"):
        sealed.write_names(group, name, getattr(columns, name))
    for name in ("z", "lesion", "annotations"):
        group.create_array(name, data=getattr(columns, name))


def create_crop_images(group: zarr.Group, count: int) -> None:
    """Create the arrays of `count` crops' images and masks, still empty."""
    shape = (count, SIZE, SIZE)
    sealed.create_images(group, "image", shape, np.int16, CHUNK)
    sealed.create_images(group, "masks", shape, np.uint8, CHUNK)


def open_crops(path: Path) -> Crops:
    """Return the store of crops at `path`.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, of another kind, schema version or protocol.
    """
    group, attributes, digest = sealed.open_sealed(path, KIND, CropAttributes)
    if attributes.protocol != PROTOCOL:
        raise ProbunetError(
            f"{path}: its crops were made by protocol {attributes.protocol!r}; this version of "
            f"probunet reads {PROTOCOL!r}; {MAKE_AGAIN}"
        )
    return Crops(
        path,
        attributes,
        digest,
        Columns(
            patient=sealed.read_names(group, "patient"),
            series=sealed.read_names(group, "series"),
            z=sealed.read(group, "z"),
            lesion=sealed.read(group, "lesion"),
            annotations=sealed.read(group, "annotations"),
        ),
        sealed.array_of(group, "image"),
        sealed.array_of(group, "masks"),
    )
