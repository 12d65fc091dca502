"""Samples of a run: what a model drew for each of its test images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.store import sealed
from probunet.store.sealed import SHARD, Attributes

KIND = "samples"


class SampleAttributes(Attributes):
    """What a store of samples says of itself."""

    run: str  # the run's folder below results/
    classes: int
    size: tuple[int, int]  # height and width of what was sampled, pixels: the image's centre
    samples: int
    store: str  # digest of the data set's store
    weights_sha256: tuple[str, ...]  # of each file of weights: an ensemble has several
    weights_step: tuple[int, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class Latent:
    """The latent space around a few test images, for models that have one vector per image."""

    rows: NDArray[np.int64]  # (k,) rows of the data set's store
    directions: NDArray[np.int64]  # (k, 2), the two latent dimensions that change most pixels
    steps: NDArray[np.float32]  # (g,), from the prior's mean along either, in the prior's sigmas
    grid: NDArray[np.uint8]  # (k, g, g, ...), segmentations: first direction, then second
    # of the posterior that is shown each grader's mask, or the label as it was flipped; NaN where
    # a grader has not looked at the image
    posterior_mean: NDArray[np.float32]  # (k, truths, latent_dim)
    posterior_log_sigma: NDArray[np.float32]  # (k, truths, latent_dim)


@dataclass(frozen=True)
class Samples:
    """An open store of samples.

    Segmentations of two classes are packed, 8 pixels a byte, by `metrics.bits.pack`: (..., bytes).
    Those of more classes are class ids: (..., H, W). Both uint8.
    """

    path: Path
    attributes: SampleAttributes
    rows: NDArray[np.int64]  # (images,) rows of the data set's store
    samples: zarr.Array[Any]  # (images, n, ...)
    deterministic: zarr.Array[Any]  # (images, ...), the model's single best guess
    # None for models without a latent vector
    prior_mean: NDArray[np.float32] | None  # (images, latent_dim)
    prior_log_sigma: NDArray[np.float32] | None  # (images, latent_dim)
    # (images, truths, ...), from the posterior's mean; None for models without one. What a grader
    # has not looked at stands for an empty mask
    reconstruction: "zarr.Array[Any] | None" = None
    latent: Latent | None = None


Name = Literal[
    "rows", "samples", "deterministic", "prior_mean", "prior_log_sigma", "reconstruction"
]


def write_samples(
    path: Path,
    attributes: SampleAttributes,
    arrays: Mapping[Name, NDArray[Any]],
    latent: Latent | None = None,
) -> None:
    """Write and seal a store of samples at `path`; arrays as in `Samples`."""
    arrays = dict(arrays)
    rows = arrays.pop("rows")
    starts = range(0, len(rows), SHARD)
    parts = [{name: x[start : start + SHARD] for name, x in arrays.items()} for start in starts]
    write_sample_parts(path, attributes, rows, parts, latent)


def write_sample_parts(
    path: Path,
    attributes: SampleAttributes,
    rows: NDArray[np.int64],
    parts: Iterable[Mapping[Name, NDArray[Any]]],
    latent: Latent | None = None,
) -> None:
    """Write and seal a store of samples, part by part: just one of them is in memory at a time.

    Parameters
    ----------
    rows : (images,) int64
        Rows of the data set's store.
    parts
        The other arrays of `Samples`, for one image after the other; all parts are of equally
        many images, but for the last and smaller one. Each is a chunk of the arrays.
    """
    group = sealed.create(path, KIND, attributes)
    group.create_array("rows", data=rows)
    start = 0
    for part in parts:
        for name, data in part.items():
            if start == 0:
                _create(group, name, (len(rows), *data.shape[1:]), data.shape, data.dtype)
            sealed.array_of(group, name)[start : start + len(data)] = data
        start += len(next(iter(part.values())))
    if start != len(rows):
        raise ValueError(f"{start} images were written, and there are {len(rows)} rows")
    if latent is not None:
        _write_latent(group.create_group("latent"), latent)
    sealed.seal(path)


def open_samples(path: Path) -> Samples:
    """Return the store of samples at `path`; raises as `open_crops` does."""
    group, attributes, _ = sealed.open_sealed(path, KIND, SampleAttributes)
    return Samples(
        path,
        attributes,
        rows=sealed.read(group, "rows"),
        samples=sealed.array_of(group, "samples"),
        deterministic=sealed.array_of(group, "deterministic"),
        prior_mean=sealed.read(group, "prior_mean") if "prior_mean" in group else None,
        prior_log_sigma=(
            sealed.read(group, "prior_log_sigma") if "prior_log_sigma" in group else None
        ),
        reconstruction=(
            sealed.array_of(group, "reconstruction") if "reconstruction" in group else None
        ),
        latent=_read_latent(group) if "latent" in group else None,
    )


def _create(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    group.create_array(
        name,
        shape=shape,
        dtype=dtype,
        chunks=chunk,
        compressors=sealed.compressor(shuffle="noshuffle"),
    )


def _write_latent(group: zarr.Group, latent: Latent) -> None:
    for field in fields(Latent):
        data = getattr(latent, field.name)
        _create(group, field.name, data.shape, (1, *data.shape[1:]), data.dtype)
        sealed.array_of(group, field.name)[:] = data


def _read_latent(group: zarr.Group) -> Latent:
    names = [field.name for field in fields(Latent)]
    return Latent(**{name: sealed.read(group, f"latent/{name}") for name in names})
