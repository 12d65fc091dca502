"""The Zarr contract: crops and samples; create, write whole shards, seal, open, verify.

Every store is a Zarr 3 group that describes itself in its attributes. Sealing it records the size
and the sha256 of each file inside, so that a truncated or altered store is noticed.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from zarr.codecs import BloscCodec
from zarr.errors import GroupNotFoundError

from probunet.errors import ProbunetError
from probunet.files import sha256

SCHEMA = 1
SIZE = 180  # pixels, the side of a stored crop
SHARD = 64  # crops per shard; one task writes whole shards
CHUNK = 16  # crops per inner chunk, about one patient's
GRADERS = 4
PROTOCOL = "kohl2018"  # how crops are made: Kohl et al. 2018, section 3.1 and appendix H.1

# level 1 takes half the time of level 3 and 1 % more room
# lz4: half the time of zstd to write, and crops of noise are hardly any larger
_compressor = partial(BloscCodec, cname="lz4", clevel=5)


class _Attributes(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CropAttributes(_Attributes):
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


class SampleAttributes(_Attributes):
    """What a store of samples says of itself."""

    run: str  # the run's folder below results/
    crop: int  # side of the central crop, pixels
    samples: int
    store: str  # digest of the crops' store
    weights_sha256: str
    weights_step: int
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

    def rows_of(self, patients: list[str]) -> NDArray[np.int64]:
        """Return the crops of these patients, in the store's order."""
        return np.flatnonzero(np.isin(self.columns.patient, patients))


@dataclass(frozen=True)
class Samples:
    """An open store of samples; masks are packed, 8 pixels a byte, by `metrics.bits.pack`."""

    path: Path
    attributes: SampleAttributes
    rows: NDArray[np.int64]  # (images,) rows of the crops' store
    samples: zarr.Array[Any]  # (images, n, bytes) uint8
    deterministic: zarr.Array[Any]  # (images, bytes) uint8, the model's single best guess
    # None for models without a latent vector
    prior_mean: NDArray[np.float32] | None  # (images, latent_dim)
    prior_log_sigma: NDArray[np.float32] | None  # (images, latent_dim)
    # (images, graders, bytes) uint8, from the posterior's mean; None for models without one
    reconstruction: "zarr.Array[Any] | None" = None


def create_crops(path: Path, columns: Columns, attributes: CropAttributes) -> None:
    """Create an unsealed store of `len(columns.z)` crops at `path`, its images still empty."""
    group = _create(path, "crops", attributes)
    n = len(columns.z)
    for name, dtype in (("image", np.int16), ("masks", np.uint8)):
        group.create_array(
            name,
            shape=(n, SIZE, SIZE),
            dtype=dtype,
            shards=(SHARD, SIZE, SIZE),
            chunks=(CHUNK, SIZE, SIZE),
            compressors=_compressor(shuffle="shuffle"),
            dimension_names=("crop", "row", "column"),
        )
    for name in ("patient", "series"):  # codes here, names in the attributes
        names, codes = np.unique(getattr(columns, name), return_inverse=True)
        array = group.create_array(name, data=codes.astype(np.int32))
        array.attrs["names"] = names.tolist()
    for name in ("z", "lesion", "annotations"):
        group.create_array(name, data=getattr(columns, name))


def write_shard(path: Path, shard: int, image: NDArray[np.int16], masks: NDArray[np.uint8]) -> None:
    """Write the crops from `shard * SHARD` on: one whole shard, or the last and shorter one."""
    with zarr.config.set({"array.write_empty_chunks": True}):  # to look for them takes longer
        group = zarr.open_group(path, mode="r+")
        arrays = {name: cast("zarr.Array[Any]", group[name]) for name in ("image", "masks")}
    start = shard * SHARD
    for name, data in (("image", image), ("masks", masks)):
        array = arrays[name]
        if len(data) != min(SHARD, array.shape[0] - start):
            raise ValueError(f"shard {shard} of {name}: {len(data)} crops are not a whole shard")
        array[start : start + len(data)] = data


def write_samples(
    path: Path,
    attributes: SampleAttributes,
    arrays: Mapping[
        Literal[
            "rows", "samples", "deterministic", "prior_mean", "prior_log_sigma", "reconstruction"
        ],
        NDArray[Any],
    ],
) -> None:
    """Write and seal a store of samples at `path`; arrays as in `Samples`."""
    group = _create(path, "samples", attributes)
    for name, data in arrays.items():
        group.create_array(
            name,
            data=data,
            chunks=(min(len(data), SHARD), *data.shape[1:]),
            compressors=_compressor(shuffle="noshuffle"),
        )
    seal(path)


def seal(path: Path) -> None:
    """Record size and sha256 of every file in the store: from now on it counts as whole."""
    group = zarr.open_group(path, mode="r+")
    group.attrs["files"] = {
        file.relative_to(path).as_posix(): [file.stat().st_size, sha256(file)]
        for file in sorted(path.rglob("*"))
        if file.is_file() and file != path / "zarr.json"
    }


def open_crops(path: Path) -> Crops:
    """Return the store of crops at `path`.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, of another kind, schema version or protocol.
    """
    group, attributes, digest = _open(path, "crops", CropAttributes)
    if attributes.protocol != PROTOCOL:
        raise ProbunetError(
            f"{path}: its crops were made by protocol {attributes.protocol!r}; this version of "
            f"probunet reads {PROTOCOL!r}; {_MAKE_AGAIN}"
        )
    return Crops(
        path,
        attributes,
        digest,
        Columns(
            patient=_names(group, "patient"),
            series=_names(group, "series"),
            z=_read(group, "z"),
            lesion=_read(group, "lesion"),
            annotations=_read(group, "annotations"),
        ),
        _array(group, "image"),
        _array(group, "masks"),
    )


def open_samples(path: Path) -> Samples:
    """Return the store of samples at `path`; raises as `open_crops` does."""
    group, attributes, _ = _open(path, "samples", SampleAttributes)
    return Samples(
        path,
        attributes,
        rows=_read(group, "rows"),
        samples=_array(group, "samples"),
        deterministic=_array(group, "deterministic"),
        prior_mean=_read(group, "prior_mean") if "prior_mean" in group else None,
        prior_log_sigma=_read(group, "prior_log_sigma") if "prior_log_sigma" in group else None,
        reconstruction=_array(group, "reconstruction") if "reconstruction" in group else None,
    )


def verify(path: Path) -> None:
    """Compare every file of a sealed store with its recorded sha256.

    Raises
    ------
    ProbunetError
        Naming the first file that differs.
    """
    for name, (_, recorded) in _recorded_files(path, _group(path)).items():
        if sha256(path / name) != recorded:
            raise ProbunetError(f"{path}: {name} is not what was written; {_MAKE_AGAIN}")


def versions() -> dict[str, str]:
    """Return the versions that a store's content depends on."""
    return {name: version(name) for name in ("probunet", "numpy", "zarr", "pydicom", "pylidc")}


_MAKE_AGAIN = "remove the folder and make it again."


def _create(path: Path, kind: str, attributes: _Attributes) -> zarr.Group:
    described = {"kind": kind, "schema": SCHEMA, **attributes.model_dump(mode="json")}
    return zarr.create_group(path, attributes=described)


def _open(path: Path, kind: str, model: Any) -> tuple[zarr.Group, Any, str]:
    group = _group(path)
    found = dict(group.attrs)
    if (found.get("kind"), found.get("schema")) != (kind, SCHEMA):
        raise ProbunetError(
            f"{path}: holds {found.get('kind')!r} of schema {found.get('schema')!r}; this version "
            f"of probunet reads {kind!r} of schema {SCHEMA}; {_MAKE_AGAIN}"
        )
    files = _recorded_files(path, group)
    described = {k: v for k, v in found.items() if k not in ("kind", "schema", "files")}
    try:
        attributes = model.model_validate(described)
    except ValidationError as error:
        raise ProbunetError(
            f"{path}: its attributes are not those of schema {SCHEMA} "
            f"({error.error_count()} faults); {_MAKE_AGAIN}"
        ) from None
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
    return group, attributes, digest


def _group(path: Path) -> zarr.Group:
    if not path.exists():
        raise ProbunetError(f"{path}: no such store.")
    try:
        return zarr.open_group(path, mode="r")
    except (GroupNotFoundError, ValueError, KeyError) as error:
        raise ProbunetError(f"{path}: not a Zarr store ({error}); {_MAKE_AGAIN}") from None


def _recorded_files(path: Path, group: zarr.Group) -> dict[str, tuple[int, str]]:
    """Return size and sha256 of each file by its name, after a look that the sizes are so."""
    files = cast("dict[str, tuple[int, str]] | None", group.attrs.get("files"))
    if files is None:
        raise ProbunetError(f"{path}: was never finished; {_MAKE_AGAIN}")
    for name, (size, _) in files.items():
        found = (path / name).stat().st_size if (path / name).exists() else None
        if found != size:
            state = "missing" if found is None else f"{found} bytes instead of {size}"
            raise ProbunetError(f"{path}: truncated: {name} is {state}; {_MAKE_AGAIN}")
    return files


def _array(group: zarr.Group, name: str) -> "zarr.Array[Any]":
    return cast("zarr.Array[Any]", group[name])


def _read(group: zarr.Group, name: str) -> NDArray[Any]:
    return np.asarray(_array(group, name)[:])


def _names(group: zarr.Group, name: str) -> NDArray[np.str_]:
    array = _array(group, name)
    names: NDArray[np.str_] = np.array(array.attrs["names"], dtype=np.str_)
    return np.take(names, _read(group, name))
