"""Zarr stores that describe themselves and detect damage: create, seal, open, verify.

A store is a Zarr 3 group whose attributes contain its kind, the schema version and a description.
`seal` records the size and the sha256 of each file, because Zarr reads a missing chunk as zeros,
and a sha256 of the attributes. An open store compares each file with its sha256 when it is first
read; files that are not read cost nothing.
"""

import asyncio
import hashlib
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError
from zarr.abc.store import ByteRequest
from zarr.codecs import BloscCodec
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore, WrapperStore

from probunet.errors import ProbunetError
from probunet.files import check_links, read_file, sha256
from probunet.memory import raise_if_memory_lacks

logger = logging.getLogger(__name__)

SCHEMA = 2
SHARD = 64  # images per shard; each task writes whole shards
MAKE_AGAIN = "remove the folder and create it again."

# sizes and sha256 of a store's files by name
Files = dict[str, tuple[Annotated[int, Field(ge=0)], str]]
_FILES = TypeAdapter(Files)
_OUR_KEYS = ("kind", "schema", "files", "seal")  # those that are not of the model
_MOST = 2**30  # bytes of an array that is read whole; more is a mistake in its metadata

# lz4 takes half of zstd's time to write, and noisy crops become hardly larger
compressor = partial(BloscCodec, cname="lz4", clevel=5)


class Attributes(BaseModel):
    """Attributes of a store."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


A = TypeVar("A", bound=Attributes)


def seal(path: Path) -> None:
    """Record the size and sha256 of every file of a complete store, and that of its attributes."""
    group = zarr.open_group(path, mode="r+")
    files: dict[str, Any] = {
        file.relative_to(path).as_posix(): [file.stat().st_size, sha256(file)]
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != path / "zarr.json"
    }
    group.attrs.update({"files": files, "seal": ""})
    group.attrs["seal"] = _seal_of(_attributes(path))  # as they are read


def verify(path: Path) -> None:
    """Compare every file of a sealed store with its recorded sha256.

    Raises
    ------
    ProbunetError
        If a file differs; the message names the first one.
    """
    files = _recorded_files(path, _attributes(path))
    for name in files:
        _check_file(path, name, files)


def versions(*packages: str) -> dict[str, str]:
    """Return the versions of the packages that a store's content depends on."""
    return {name: version(name) for name in ("probunet", "numpy", "zarr", *packages)}


def create(path: Path, kind: str, attributes: Attributes) -> zarr.Group:
    """Create an unsealed store without arrays."""
    return zarr.create_group(path, attributes=described(kind, attributes))


def described(kind: str, attributes: Attributes) -> dict[str, Any]:
    """Return the attributes of a store's group: kind, schema version and `attributes`."""
    return {"kind": kind, "schema": SCHEMA, **attributes.model_dump(mode="json")}


def open_sealed(
    path: Path, kind: str, model: type[A], protocol: str | None = None
) -> tuple[zarr.Group, A, str]:
    """Return a store's group, attributes and digest.

    Reading an array of the group raises ProbunetError if a file of it has changed.

    Raises
    ------
    ProbunetError
        If the store is missing, incomplete or damaged, or has another kind, schema version or,
        unless that is None, another protocol.
    """
    found = _attributes(path)
    if (found.get("kind"), found.get("schema")) != (kind, SCHEMA):
        raise ProbunetError(
            f"{path}: contains {found.get('kind')!r} of schema {found.get('schema')!r}; this "
            f"version of probunet reads {kind!r} of schema {SCHEMA}; {MAKE_AGAIN}"
        )
    files = _recorded_files(path, found)
    try:
        attributes = model.model_validate_json(
            json.dumps({k: v for k, v in found.items() if k not in _OUR_KEYS})
        )
    except ValidationError as error:
        raise ProbunetError(
            f"{path}: {error.error_count()} attributes do not match schema {SCHEMA}; {MAKE_AGAIN}"
        ) from None
    if protocol is not None and found.get("protocol") != protocol:
        raise ProbunetError(
            f"{path}: its {kind} were created by protocol {found.get('protocol')!r}; this version "
            f"of probunet reads {protocol!r}; {MAKE_AGAIN}"
        )
    if "seal" not in found:
        _tell_without_seal()
    elif found["seal"] != _seal_of(found):
        raise ProbunetError(
            f"{path}: its attributes were changed after it was written; {MAKE_AGAIN}"
        )
    with reading(path):
        store = _CheckedStore(LocalStore(path, read_only=True), files)
        group = zarr.open_group(store, mode="r", zarr_format=3, use_consolidated=False)
    listed = [(name, [*entry]) for name, entry in sorted(files.items())]
    digest = hashlib.sha256(repr(listed).encode()).hexdigest()
    return group, attributes, digest


def kind_of(path: Path) -> tuple[str, str]:
    """Return a store's kind and the name of its data set; raises as `open_sealed` does."""
    attributes = _attributes(path)
    return str(attributes.get("kind")), str(attributes.get("dataset"))


def protocol_of(path: Path) -> str | None:
    """Return a store's protocol, None if it names none; raises as `open_sealed` does."""
    protocol = _attributes(path).get("protocol")
    return None if protocol is None else str(protocol)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise ProbunetError for whatever Zarr raises inside: many types, for damaged metadata."""
    try:
        yield
    except ProbunetError:
        raise
    except Exception as error:
        raise_if_memory_lacks(error)
        raise ProbunetError(
            f"{path}: damaged ({type(error).__name__}: {error}); {MAKE_AGAIN}"
        ) from None


def check_shape(path: Path, name: str, found: object, expected: object) -> None:
    """Raise ProbunetError if what an array of a store is differs from what it must be."""
    if found != expected:
        raise ProbunetError(f"{path}: damaged ({name} is {found}, not {expected}); {MAKE_AGAIN}")


def array_of(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    """Return an array of a group without reading its values."""
    found = group[name]
    if not isinstance(found, zarr.Array):
        raise TypeError(f"{name} is a group, not an array")
    if found.ndim == 0 or found.dtype.kind not in "iuf":
        raise TypeError(f"{name} holds {found.dtype} in {found.ndim} dimensions")
    return found


def read(group: zarr.Group, name: str) -> NDArray[Any]:
    """Return the values of an array with a few values per image."""
    array = array_of(group, name)
    if array.nbytes > _MOST:
        raise ValueError(f"{name} claims {array.nbytes} bytes")
    return np.asarray(array[:])


def read_column(group: zarr.Group, name: str) -> NDArray[Any]:
    """Return a column that `write_column` wrote."""
    if array_of(group, name).ndim != 1:
        raise ValueError(f"{name} is not a column")
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
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    dtype: type,
    chunk: int,
    last: str = "channel",
    side: int | None = None,
) -> None:
    """Create an empty array of images (n, H, W[, last]), which `write_shard` fills.

    Parts of images are read from chunks of `chunk` images, and of `side` pixels, if that is given.
    """
    pixels = shape[1:3] if side is None else tuple(min(side, length) for length in shape[1:3])
    whole = (-(-length // own) * own for length, own in zip(shape[1:3], pixels, strict=True))
    group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        shards=(SHARD, *whole, *shape[3:]),
        chunks=(chunk, *pixels, *shape[3:]),
        compressors=compressor(shuffle="shuffle" if np.dtype(dtype).itemsize > 1 else "noshuffle"),
        dimension_names=("image", "row", "column", last)[: len(shape)],
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


class _CheckedStore(WrapperStore[LocalStore]):
    """The files of a sealed store: each is compared with its sha256 when it is first read."""

    def __init__(self, store: LocalStore, files: Files) -> None:
        super().__init__(store)
        self._files, self._checked = files, {"zarr.json"}  # the seal is about the latter

    def _with_store(self, store: LocalStore) -> "_CheckedStore":
        return _CheckedStore(store, self._files)

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Return bytes of a file; None if there is no such file."""
        await self._check(key)
        return await self._store.get(key, prototype, byte_range)

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Return bytes of several files."""
        ranges = list(key_ranges)
        for key, _ in ranges:
            await self._check(key)
        return await self._store.get_partial_values(prototype, ranges)

    async def _check(self, key: str) -> None:
        if key not in self._checked:
            await asyncio.to_thread(_check_file, Path(self._store.root), key, self._files)
            self._checked.add(key)


def _check_file(path: Path, name: str, files: Files) -> None:
    """Raise ProbunetError if a file is not as it was when the store was sealed."""
    file = path / name
    try:
        if name in files and sha256(file) == files[name][1]:
            return
        if name not in files and not file.exists():  # an absent array or chunk
            return
    except OSError as error:
        raise ProbunetError(f"{path}: {name} cannot be read ({error.strerror}).") from None
    state = "changed" if name in files else "added"
    raise ProbunetError(f"{path}: {name} was {state} after it was written; {MAKE_AGAIN}")


def _attributes(path: Path) -> dict[str, Any]:
    """Return the attributes of a store's group."""
    if not path.exists():
        check_links(path)
        raise ProbunetError(f"{path}: no such store.")
    content = read_file(path / "zarr.json", f"not a Zarr store (no zarr.json); {MAKE_AGAIN}")
    try:
        whole = json.loads(content)
        if whole["node_type"] != "group" or not isinstance(whole["attributes"], dict):
            raise ValueError("it is no group with attributes")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ProbunetError(f"{path}: not a Zarr store ({error}); {MAKE_AGAIN}") from None
    attributes: dict[str, Any] = whole["attributes"]
    return attributes


def _seal_of(attributes: dict[str, Any]) -> str:
    """Return the sha256 of a store's attributes; with those of its files, which are among them."""
    others = {name: value for name, value in attributes.items() if name != "seal"}
    return hashlib.sha256(json.dumps(others, sort_keys=True).encode()).hexdigest()


@cache  # once per process
def _tell_without_seal() -> None:
    logger.info("a store of an older version is read: damage to its attributes is not noticed")


def _recorded_files(path: Path, attributes: dict[str, Any]) -> Files:
    """Return the recorded size and sha256 of each file, after comparing the sizes."""
    if attributes.get("files") is None:
        raise ProbunetError(f"{path}: incomplete: it was not sealed; {MAKE_AGAIN}")
    try:
        files = _FILES.validate_json(json.dumps(attributes["files"]))
        found = {
            name: (path / name).stat().st_size if (path / name).exists() else None for name in files
        }
    except (ValidationError, OSError, ValueError):
        raise ProbunetError(f"{path}: damaged: its list of files is wrong; {MAKE_AGAIN}") from None
    for name, (size, _) in files.items():
        if found[name] != size:
            state = "missing" if found[name] is None else f"{found[name]} bytes instead of {size}"
            raise ProbunetError(f"{path}: truncated: {name} is {state}; {MAKE_AGAIN}")
    return files
