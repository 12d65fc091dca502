"""Stores that describe themselves and are known to be whole: create, seal, open, verify.

Every store is a Zarr 3 group with a kind, a schema version and a description in its attributes.
Sealing it records the size and the sha256 of each file inside, so that a truncated or altered store
is noticed: Zarr itself reads a missing chunk as zeros.
"""

import hashlib
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from zarr.codecs import BloscCodec
from zarr.errors import GroupNotFoundError

from probunet.errors import ProbunetError
from probunet.files import sha256

SCHEMA = 2
SHARD = 64  # images per shard; one task writes whole shards
MAKE_AGAIN = "remove the folder and make it again."

# lz4: half the time of zstd to write, and crops of noise are hardly any larger
compressor = partial(BloscCodec, cname="lz4", clevel=5)


class Attributes(BaseModel):
    """What a store says of itself."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Attributes)


def seal(path: Path) -> None:
    """Record size and sha256 of every file in the store: from now on it counts as whole."""
    group = zarr.open_group(path, mode="r+")
    group.attrs["files"] = {
        file.relative_to(path).as_posix(): [file.stat().st_size, sha256(file)]
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != path / "zarr.json"
    }


def verify(path: Path) -> None:
    """Compare every file of a sealed store with its recorded sha256.

    Raises
    ------
    ProbunetError
        Naming the first file that differs.
    """
    for name, (_, recorded) in _recorded_files(path, _group(path)).items():
        if sha256(path / name) != recorded:
            raise ProbunetError(f"{path}: {name} is not what was written; {MAKE_AGAIN}")


def versions(*more: str) -> dict[str, str]:
    """Return the versions that a store's content depends on; `more` names further packages."""
    return {name: version(name) for name in ("probunet", "numpy", "zarr", *more)}


def create(path: Path, kind: str, attributes: Attributes) -> zarr.Group:
    """Create an unsealed store; its arrays are still to come."""
    return zarr.create_group(path, attributes=described(kind, attributes))


def described(kind: str, attributes: Attributes) -> dict[str, Any]:
    """Return what a store's group says: its kind, the schema version, and its own attributes."""
    return {"kind": kind, "schema": SCHEMA, **attributes.model_dump(mode="json")}


def open_sealed(path: Path, kind: str, model: type[A]) -> tuple[zarr.Group, A, str]:
    """Return a store's group, attributes and digest.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, or of another kind or schema version.
    """
    group = _group(path)
    found = dict(group.attrs)
    if (found.get("kind"), found.get("schema")) != (kind, SCHEMA):
        raise ProbunetError(
            f"{path}: holds {found.get('kind')!r} of schema {found.get('schema')!r}; this version "
            f"of probunet reads {kind!r} of schema {SCHEMA}; {MAKE_AGAIN}"
        )
    files = _recorded_files(path, group)
    own = {k: v for k, v in found.items() if k not in ("kind", "schema", "files")}
    try:
        attributes = model.model_validate(own)
    except ValidationError as error:
        raise ProbunetError(
            f"{path}: its attributes are not those of schema {SCHEMA} "
            f"({error.error_count()} faults); {MAKE_AGAIN}"
        ) from None
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    return group, attributes, digest


def kind_of(path: Path) -> object:
    """Return what a store says that it holds; raises as `open_sealed` does."""
    return _group(path).attrs.get("kind")


def _group(path: Path) -> zarr.Group:
    if not path.exists():
        raise ProbunetError(f"{path}: no such store.")
    try:
        return zarr.open_group(path, mode="r")
    except (GroupNotFoundError, ValueError, KeyError) as error:
        raise ProbunetError(f"{path}: not a Zarr store ({error}); {MAKE_AGAIN}") from None


def _recorded_files(path: Path, group: zarr.Group) -> dict[str, tuple[int, str]]:
    """Return size and sha256 of each file by its name, after a look that the sizes are so."""
    files = cast("dict[str, tuple[int, str]] | None", group.attrs.get("files"))
    if files is None:
        raise ProbunetError(f"{path}: was never finished; {MAKE_AGAIN}")
    for name, (size, _) in files.items():
        found = (path / name).stat().st_size if (path / name).exists() else None
        if found != size:
            state = "missing" if found is None else f"{found} bytes instead of {size}"
            raise ProbunetError(f"{path}: truncated: {name} is {state}; {MAKE_AGAIN}")
    return files


def array_of(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    """Return an array of a group, unread."""
    return cast("zarr.Array[Any]", group[name])


def read(group: zarr.Group, name: str) -> NDArray[Any]:
    """Return all of an array."""
    return np.asarray(array_of(group, name)[:])


def read_names(group: zarr.Group, name: str) -> NDArray[np.str_]:
    """Return a column of names, as `write_names` wrote it."""
    array = array_of(group, name)
    names: NDArray[np.str_] = np.array(array.attrs["names"], dtype=np.str_)
    return np.take(names, read(group, name))


def write_names(group: zarr.Group, name: str, column: NDArray[np.str_]) -> None:
    """Write a column of names: codes as an array, the names in its attributes."""
    names, codes = np.unique(column, return_inverse=True)
    array = group.create_array(name, data=codes.astype(np.int32))
    array.attrs["names"] = names.tolist()


def create_images(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: type, chunk: int
) -> None:
    """Create an array of images (n, H, W, ...), to be written in whole shards."""
    group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        shards=(SHARD, *shape[1:]),
        chunks=(chunk, *shape[1:]),
        compressors=compressor(shuffle="shuffle" if np.dtype(dtype).itemsize > 1 else "noshuffle"),
        dimension_names=("image", "row", "column", "channel")[: len(shape)],
    )


def write_shard(path: Path, shard: int, **arrays: NDArray[Any]) -> None:
    """Write the images from `shard * SHARD` on: one whole shard, or the last and shorter one."""
    with zarr.config.set({"array.write_empty_chunks": True}):  # to look for them takes longer
        group = zarr.open_group(path, mode="r+")
        targets = {name: array_of(group, name) for name in arrays}
    start = shard * SHARD
    for name, data in arrays.items():
        target = targets[name]
        if len(data) != min(SHARD, target.shape[0] - start):
            raise ValueError(f"shard {shard} of {name}: {len(data)} images are not a whole shard")
        target[start : start + len(data)] = data
