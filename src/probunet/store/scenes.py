"""Scenes of Cityscapes: pictures, and one label of each pixel; the flips are not stored."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.store import sealed
from probunet.store.sealed import MAKE_AGAIN, Attributes

KIND = "scenes"
PROTOCOL = "kohl2018-cityscapes"  # how scenes are made: Kohl et al. 2018, section 3.2, appendix H.2
CHUNK = 1  # scenes per inner chunk


class SceneAttributes(Attributes):
    """What a store of Cityscapes scenes says of itself."""

    dataset: str
    source: str
    synthetic: bool
    protocol: str
    size: tuple[int, int]  # height and width, pixels
    resampling: str  # how pictures and labels were brought to this size
    labels: str  # where the table of labels is from
    flips: dict[str, str]  # by class, the probability of being called by its second name
    left_out: dict[str, int]  # images by reason
    manifest_sha256: str
    licence: str
    versions: dict[str, str]


@dataclass(frozen=True)
class SceneColumns:
    """One value per scene."""

    city: NDArray[np.str_]
    frame: NDArray[np.str_]  # the publisher's sequence and frame, "000021_000019"


@dataclass(frozen=True)
class Scenes:
    """An open store of scenes."""

    path: Path
    attributes: SceneAttributes
    digest: str
    columns: SceneColumns
    image: zarr.Array[Any]  # (n, H, W, 3) uint8, red, green, blue
    label: zarr.Array[Any]  # (n, H, W) uint8, train ids 0 to 18; 255: not scored

    def __len__(self) -> int:
        return int(self.image.shape[0])

    @property
    def subjects(self) -> NDArray[np.str_]:
        """Where each scene is from, (n,): folds keep a city's scenes together."""
        return self.columns.city

    def rows_of(self, subjects: list[str]) -> NDArray[np.int64]:
        """Return the scenes of these cities, in the store's order."""
        return np.flatnonzero(np.isin(self.subjects, subjects))


def create_scenes(path: Path, columns: SceneColumns, attributes: SceneAttributes) -> None:
    """Create an unsealed store of `len(columns.city)` scenes at `path`, its images still empty."""
    group = sealed.create(path, KIND, attributes)
    create_scene_images(group, len(columns.city), attributes.size)
    for name in ("city", "frame"):
        sealed.write_names(group, name, getattr(columns, name))


def create_scene_images(group: zarr.Group, count: int, size: tuple[int, int]) -> None:
    """Create the arrays of `count` scenes' pictures and labels, still empty."""
    sealed.create_images(group, "image", (count, *size, 3), np.uint8, CHUNK)
    sealed.create_images(group, "label", (count, *size), np.uint8, CHUNK)


def open_scenes(path: Path) -> Scenes:
    """Return the store of scenes at `path`.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, of another kind, schema version or protocol.
    """
    group, attributes, digest = sealed.open_sealed(path, KIND, SceneAttributes)
    if attributes.protocol != PROTOCOL:
        raise ProbunetError(
            f"{path}: its scenes were made by protocol {attributes.protocol!r}; this version of "
            f"probunet reads {PROTOCOL!r}; {MAKE_AGAIN}"
        )
    return Scenes(
        path,
        attributes,
        digest,
        SceneColumns(
            city=sealed.read_names(group, "city"), frame=sealed.read_names(group, "frame")
        ),
        sealed.array_of(group, "image"),
        sealed.array_of(group, "label"),
    )
