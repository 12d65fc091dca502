"""Samples of a run: what a model drew for each of its test images."""

from collections.abc import Mapping
from dataclasses import dataclass
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
    # of the posterior that is shown each grader's mask, or the label as it was flipped
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
    # (images, truths, ...), from the posterior's mean; None for models without one
    reconstruction: "zarr.Array[Any] | None" = None
    latent: Latent | None = None


Name = Literal[
    "rows", "samples", "deterministic", "prior_mean", "prior_log_sigma", "reconstruction"
]


def write_samples(
    path: Path, attributes: SampleAttributes, arrays: Mapping[Name, NDArray[Any]]
) -> None:
    """Write and seal a store of samples at `path`; arrays as in `Samples`."""
    group = sealed.create(path, KIND, attributes)
    for name, data in arrays.items():
        group.create_array(
            name,
            data=data,
            chunks=(min(len(data), SHARD), *data.shape[1:]),
            compressors=sealed.compressor(shuffle="noshuffle"),
        )
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
    )
