"""Zarr stores that describe themselves and detect damage: create, seal, open, verify.

A store is a Zarr 3 group whose attributes contain its kind, the schema version and a description.
`seal` records the size and the sha256 of each file, because Zarr reads a missing chunk as zeros.
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
from probunet.files import check_links, sha256

SCHEMA = 2
SHARD = 64  # images per shard; each task writes whole shards
MAKE_AGAIN = "remove the folder and create it again."

# lz4 takes half of zstd's time to write, and noisy crops become hardly larger
compressor = partial(BloscCodec, cname="lz4", clevel=5)


class Attributes(BaseModel):
    """Attributes of a store."""

    model_config = ConfigDict(extra="forbid", frozen=True)


A = TypeVar("A", bound=Attributes)


def seal(path: Path) -> None:
    """Record the size and sha256 of every file of a complete store."""
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
        If a file differs; the message names the first one.
    """
    for name, (_, recorded) in _recorded_files(path, _group(path)).items():
        if sha256(path / name) != recorded:
            raise ProbunetError(f"{path}: {name} was changed after it was written; {MAKE_AGAIN}")


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of the packages that a store's content depends on."""
    return {name: version(name) for name in ("probunet", "numpy", "zarr", *packages)}


def create(path: Path, kind: str, attributes: Attributes) -> zarr.Group:
    """Create an unsealed store without arrays."""
    return zarr.create_group(path, attributes=described(kind, attributes))


def described(kind: str, attributes: Attributes) -> dict[str, Any]:
    """Return the attributes of a store's group: kind, schema version and `attributes`."""
    return {"kind": kind, "schema": SCHEMA, **attributes.model_dump(mode="json")}


def open_sealed(path: Path, kind: str, model: type[A]) -> tuple[zarr.Group, A, str]:
    """Return a store's group, attributes and digest.

    Raises
    ------
    ProbunetError
        If the store is missing or incomplete, or has another kind or schema version.
    """
    group = _group(path)
    found = dict(group.attrs)
    if (found.get("kind"), found.get("schema")) != (kind, SCHEMA):
        raise ProbunetError(
            f"{path}: contains {found.get('kind')!r} of schema {found.get('schema')!r}; this "
            f"version of probunet reads {kind!r} of schema {SCHEMA}; {MAKE_AGAIN}"
        )
    files = _recorded_files(path, group)
    try:
        attributes = model.model_validate(
            {k: v for k, v in found.items() if k not in ("kind", "schema", "files")}
        )
    except ValidationError as error:
        raise ProbunetError(
            f"{path}: {error.error_count()} attributes do not match schema {SCHEMA}; {MAKE_AGAIN}"
        ) from None
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    return group, attributes, digest


def kind_of(path: Path) -> tuple[str, str]:
    """Return a store's kind and the name of its data set; raises as `open_sealed` does."""
    attributes = _group(path).attrs
    return str(attributes.get("kind")), str(attributes.get("dataset"))


def array_of(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    """Return an array of a group without reading its values."""
    return cast("zarr.Array[Any]", group[name])


def read(group: zarr.Group, name: str) -> NDArray[Any]:
    """Return the values of an array."""
    return np.asarray(array_of(group, name)[:])


def read_column(group: zarr.Group, name: str) -> NDArray[Any]:
    """Return a column that `write_column` wrote."""
    values = read(group, name)
    names = array_of(group, name).attrs.get("names")
    return values if names is None else np.take(np.array(names, dtype=np.str_), values)


def write_column(group: zarr.Group, name: str, column: NDArray[Any]) -> None:
    """Write a column of numbers, or of text: integer codes, and the text in the attributes."""
    if column.dtype.kind != "U":
        group.create_array(name, data=column)
        return
    names, codes = np.unique(column, return_inverse=True)
    array = group.create_array(name, data=codes.astype(np.int32))
    array.attrs["names"] = names.tolist()


def create_images(
    group: zarr.Group, name: str, shape: tuple[int, ...], dtype: type, chunk: int
) -> None:
    """Create an empty array of images (n, H, W, ...), which `write_shard` fills."""
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
    """Write the images from `shard * SHARD` on: one whole shard, or the shorter last one."""
    with zarr.config.set({"array.write_empty_chunks": True}):  # detecting empty chunks is slower
        group = zarr.open_group(path, mode="r+")
        targets = {name: array_of(group, name) for name in arrays}
    start = shard * SHARD
    for name, data in arrays.items():
        target = targets[name]
        if len(data) != min(SHARD, target.shape[0] - start):
            raise ValueError(f"shard {shard} of {name}: {len(data)} images are not a whole shard")
        target[start : start + len(data)] = data


def _group(path: Path) -> zarr.Group:
    if not path.exists():
        check_links(path)
        raise ProbunetError(f"{path}: no such store.")
    try:
        return zarr.open_group(path, mode="r")
    except (GroupNotFoundError, ValueError, KeyError) as error:
        raise ProbunetError(f"{path}: not a Zarr store ({error}); {MAKE_AGAIN}") from None


def _recorded_files(path: Path, group: zarr.Group) -> dict[str, tuple[int, str]]:
    """Return the recorded size and sha256 of each file, after comparing the sizes."""
    files = cast("dict[str, tuple[int, str]] | None", group.attrs.get("files"))
    if files is None:
        raise ProbunetError(f"{path}: incomplete: it was not sealed; {MAKE_AGAIN}")
    for name, (size, _) in files.items():
        found = (path / name).stat().st_size if (path / name).exists() else None
        if found != size:
            state = "missing" if found is None else f"{found} bytes instead of {size}"
            raise ProbunetError(f"{path}: truncated: {name} is {state}; {MAKE_AGAIN}")
    return files
