"""A part of a data set's images: what one of several jobs makes, to be joined in the store.

It has a row for each image that was planned. Those of images that cannot be used hold nothing, and
the attributes tell which they are.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.files import remove
from probunet.image_manifest import ImageLeftOut
from probunet.manifest import LeftOut
from probunet.scene_manifest import SceneLeftOut
from probunet.store import sealed
from probunet.store.sealed import Attributes

KIND = "part"


class PartAttributes(Attributes):
    """What a part says of itself."""

    part: int  # counted from 0
    parts: int
    store: dict[str, Any]  # what the store would say of itself if all its images could be used
    left_out: tuple[LeftOut | SceneLeftOut | ImageLeftOut, ...]  # found when the images were read


@dataclass(frozen=True)
class Part:
    """An open part."""

    path: Path
    attributes: PartAttributes
    images: int


def create_part(path: Path, count: int, create_images: Callable[[zarr.Group, int], None]) -> None:
    """Create an unsealed part of `count` images at `path`, still empty."""
    create_images(zarr.create_group(path), count)


def seal_part(path: Path, attributes: PartAttributes) -> None:
    """Describe and seal a part."""
    group = zarr.open_group(path, mode="r+")
    group.attrs.update(sealed.described(KIND, attributes))
    sealed.seal(path)


def open_part(path: Path) -> Part:
    """Return the part at `path`, all of whose bytes are what was written.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, of another kind or schema version.
    """
    if not path.exists():
        raise ProbunetError(f"{path}: no such part; make it with `--part` and `--parts`.")
    group, attributes, _ = sealed.open_sealed(path, KIND, PartAttributes)
    sealed.verify(path)
    return Part(path, attributes, sealed.array_of(group, _arrays_in(path)[0]).shape[0])


def read_rows(path: Path, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Return these rows, in ascending order, of each array of a part, sealed or not."""
    group = zarr.open_group(path, mode="r")
    first, last = rows[0], rows[-1] + 1
    return {
        name: np.asarray(sealed.array_of(group, name)[first:last])[np.asarray(rows) - first]
        for name in _arrays_in(path)
    }


def take_images(part: Path, store: Path) -> None:
    """Move all images of a part to a store that has just as many, and remove what remains."""
    for name in _arrays_in(part):
        remove(store / name)
        (part / name).rename(store / name)
    remove(part)


def _arrays_in(path: Path) -> list[str]:
    # zarr's own listing stumbles over the file that Snakemake leaves in a folder that it made
    return sorted(file.parent.name for file in path.glob("*/zarr.json"))
