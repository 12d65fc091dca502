"""A part of a data set's images: one of several parallel jobs writes it, another job joins them.

A part has one row per planned image. Its attributes list the images that cannot be used; their rows
are meaningless.
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
from probunet.store import sealed
from probunet.store.sealed import Attributes

KIND = "part"


class PartAttributes(Attributes):
    """Attributes of a part."""

    part: int  # counted from 0
    parts: int
    store: dict[str, Any]  # attributes of the store if all its images could be used
    left_out: tuple[dict[str, Any], ...]  # manifest entries of the images that cannot be used


@dataclass(frozen=True)
class Part:
    """An open part."""

    path: Path
    attributes: PartAttributes
    images: int


def create_part(path: Path, count: int, create_images: Callable[[zarr.Group, int], None]) -> None:
    """Create an unsealed part of `count` empty images."""
    create_images(zarr.create_group(path), count)


def seal_part(path: Path, attributes: PartAttributes) -> None:
    """Write the attributes of a part and seal it."""
    zarr.open_group(path, mode="r+").attrs.update(sealed.described(KIND, attributes))
    sealed.seal(path)


def open_part(path: Path) -> Part:
    """Return the part at `path` after verifying the sha256 of its files.

    Raises
    ------
    ProbunetError
        If it is missing, incomplete or damaged, or has another kind or schema version.
    """
    if not path.exists():
        raise ProbunetError(f"{path}: no such part; create it with `--part` and `--parts`.")
    group, attributes, _ = sealed.open_sealed(path, KIND, PartAttributes)
    sealed.verify(path)
    with sealed.reading(path):
        return Part(path, attributes, sealed.array_of(group, _arrays_in(path)[0]).shape[0])


def read_rows(path: Path, rows: Sequence[int]) -> dict[str, NDArray[Any]]:
    """Return rows, in ascending order, of each array of a part, sealed or not."""
    group = zarr.open_group(path, mode="r")
    first, last = rows[0], rows[-1] + 1
    return {
        name: np.asarray(sealed.array_of(group, name)[first:last])[np.asarray(rows) - first]
        for name in _arrays_in(path)
    }


def take_images(part: Path, store: Path) -> None:
    """Move all images of a part to a store of the same number of images; remove the part."""
    for name in _arrays_in(part):
        remove(store / name)
        (part / name).rename(store / name)
    remove(part)


def _arrays_in(path: Path) -> list[str]:
    # zarr's own listing fails on the hidden file that Snakemake writes into output folders
    return sorted(file.parent.name for file in path.glob("*/zarr.json"))
