"""The samples that a run's model draws for its test images."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from probunet.errors import ProbunetError
from probunet.store import sealed
from probunet.store.sealed import MAKE_AGAIN, SHARD, Attributes

KIND = "samples"
ENTROPIES = ("softmax_entropy", "expected_entropy")


class SampleAttributes(Attributes):
    """Attributes of a store of samples."""

    run: str  # the run's folder below results/
    classes: int = Field(ge=2, le=255)
    size: tuple[PositiveInt, PositiveInt]  # height and width of the sampled centre, pixels
    samples: PositiveInt
    # how many different segmentations of an image the model can draw, each once among the first
    # samples; 0: no limit; None: written by an older version
    population: int | None = Field(None, ge=0)
    store: str  # digest of the data set's store
    subjects: str | None = None  # `Fold.digest`; None: written by an older version
    split: str | None = None  # `Folds.split`
    weights_sha256: tuple[str, ...]  # one per file of weights: an ensemble has several
    weights_step: tuple[int, ...]
    versions: dict[str, str]


@dataclass(frozen=True)
class Latent:
    """The latent space around k test images, for models with one latent vector per image."""

    rows: NDArray[np.int64]  # (k,) rows of the data set's store
    directions: NDArray[np.int64]  # (k, 2), the two latent dimensions that change most pixels
    steps: NDArray[np.float32]  # (g,), distances from the prior's mean in standard deviations
    grid: NDArray[np.uint8]  # (k, g, g, ...), segmentations: first direction, then second
    # posterior given each grader's mask, or given the flipped label; NaN for a missing grader
    posterior_mean: NDArray[np.float32]  # (k, masks, latent_dim)
    posterior_log_sigma: NDArray[np.float32]  # (k, masks, latent_dim)


@dataclass(frozen=True)
class Samples:
    """An open store of samples.

    Segmentations of two classes are packed by `metrics.bits.pack`, 8 pixels per byte: (..., bytes).
    Those of more classes are class ids: (..., H, W). Both are uint8. Arrays that the model does not
    provide are None.
    """

    path: Path
    attributes: SampleAttributes
    rows: NDArray[np.int64]  # (images,) rows of the data set's store
    samples: "zarr.Array[Any]"  # (images, n, ...)
    deterministic: "zarr.Array[Any]"  # (images, ...), the model's single best guess
    prior_mean: NDArray[np.float32] | None = None  # (images, latent_dim)
    prior_log_sigma: NDArray[np.float32] | None = None  # (images, latent_dim)
    # (images, samples) float32, how much each sample counts, on average 1 for an image; the first n
    # samples count in proportion to theirs; None: all samples count the same
    sample_weights: NDArray[np.float32] | None = None
    # (images, samples, graders), of the first 1, 2, ... samples' softmax; NaN if undefined
    ncc: NDArray[np.float64] | None = None
    # (images, samples), of the first 1, 2, ... samples' softmax, nats; NaN without a scored pixel
    softmax_entropy: NDArray[np.float64] | None = None
    expected_entropy: NDArray[np.float64] | None = None
    # (images, masks, ...), decoded from the posterior's mean; an empty mask for a missing grader
    reconstruction: "zarr.Array[Any] | None" = None
    latent: Latent | None = None

    @property
    def weighted(self) -> bool:
        """Whether the samples have weights."""
        return self.sample_weights is not None


def write_samples(
    path: Path,
    attributes: SampleAttributes,
    arrays: Mapping[str, NDArray[Any]],
    latent: Latent | None = None,
) -> None:
    """Write and seal a store of samples; `arrays` are those of `Samples` by name."""
    arrays = dict(arrays)
    rows = arrays.pop("rows")
    starts = range(0, len(rows), SHARD)
    parts = [{name: x[start : start + SHARD] for name, x in arrays.items()} for start in starts]
    write_sample_parts(path, attributes, rows, parts, latent)


def write_sample_parts(
    path: Path,
    attributes: SampleAttributes,
    rows: NDArray[np.int64],
    parts: Iterable[Mapping[str, NDArray[Any]]],
    latent: Latent | None = None,
) -> None:
    """Write and seal a store of samples with one part in memory at a time.

    Parameters
    ----------
    rows : (images,) int64
        Rows of the data set's store.
    parts
        The other arrays of `Samples` by name, for consecutive images. All parts have the same
        number of images, except a smaller last one; each becomes one chunk.
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
        below = group.create_group("latent")
        for name, data in vars(latent).items():
            _create(below, name, data.shape, (1, *data.shape[1:]), data.dtype)
            sealed.array_of(below, name)[:] = data
    sealed.seal(path)


def open_samples(path: Path) -> Samples:
    """Return the store of samples at `path`.

    Raises
    ------
    ProbunetError
        If it is missing, incomplete or damaged, or if a value of a distribution is not finite.
    """
    group, attributes, _ = sealed.open_sealed(path, KIND, SampleAttributes)
    latent = None
    with sealed.reading(path):
        if "latent" in group:
            names = [field.name for field in fields(Latent)]
            latent = Latent(**{name: sealed.read(group, f"latent/{name}") for name in names})
        arrays: dict[str, Any] = {
            name: sealed.array_of(group, name)
            for name in ("samples", "deterministic", "reconstruction")
            if name in group
        }
        for name in ("rows", "prior_mean", "prior_log_sigma", "sample_weights", "ncc", *ENTROPIES):
            if name in group:
                arrays[name] = sealed.read(group, name)
        samples = Samples(path, attributes, latent=latent, **arrays)
    _check(samples)
    return samples


def _check(samples: Samples) -> None:
    """Raise ProbunetError unless the arrays are as `Samples` says, with finite numbers."""
    about, images = samples.attributes, len(samples.rows)
    height, width = about.size
    # two classes are packed to whole words of 8 bytes
    one = (-(-height * width // 64) * 8,) if about.classes == 2 else (height, width)
    expected = {
        "rows": (images,),
        "samples": (images, about.samples, *one),
        "deterministic": (images, *one),
    }
    for name, shape in expected.items():
        sealed.check_shape(
            samples.path, f"the shape of {name}", getattr(samples, name).shape, shape
        )
    if samples.reconstruction is not None:
        found = (*samples.reconstruction.shape[:1], *samples.reconstruction.shape[2:])
        sealed.check_shape(samples.path, "the shape of reconstruction", found, (images, *one))
    for name in ("samples", "deterministic", "reconstruction"):
        if (array := getattr(samples, name)) is not None:
            sealed.check_shape(samples.path, f"the type of {name}", str(array.dtype), "uint8")
    sealed.check_shape(samples.path, "the type of rows", str(samples.rows.dtype), "int64")
    if images == 0 or samples.rows.min() < 0 or len(np.unique(samples.rows)) != images:
        raise ProbunetError(f"{samples.path}: damaged (rows that cannot be); {MAKE_AGAIN}")
    for name in ("prior_mean", "prior_log_sigma"):
        values = getattr(samples, name)
        if values is not None:
            sealed.check_shape(samples.path, f"the length of {name}", len(values), images)
            _check_finite(samples.path, name, np.isfinite(values))
    if (weights := samples.sample_weights) is not None:
        sealed.check_shape(
            samples.path, "the shape of sample_weights", weights.shape, (images, about.samples)
        )
        _check_finite(samples.path, "sample_weights", np.isfinite(weights))
        if (weights < 0).any() or not (weights[:, 0] > 0).all():
            raise ProbunetError(
                f"{samples.path}: damaged (sample_weights that cannot be); {MAKE_AGAIN}"
            )
    if samples.ncc is not None:
        sealed.check_shape(
            samples.path, "the shape of ncc", samples.ncc.shape[:-1], (images, about.samples)
        )
        _check_finite(samples.path, "ncc", ~np.isinf(samples.ncc))
    for name in ENTROPIES:
        if (values := getattr(samples, name)) is not None:
            sealed.check_shape(
                samples.path, f"the shape of {name}", values.shape, (images, about.samples)
            )
            _check_finite(samples.path, name, ~np.isinf(values))
    if samples.latent is not None:
        for name, values in vars(samples.latent).items():
            # the posterior of a missing grader is NaN
            fine = ~np.isinf(values) if name.startswith("posterior") else np.isfinite(values)
            _check_finite(samples.path, f"latent/{name}", fine)


def _check_finite(path: Path, name: str, finite: NDArray[np.bool_]) -> None:
    if not finite.all():
        raise ProbunetError(
            f"{path}: {np.count_nonzero(~finite)} values of {name} are not finite, so the model's "
            "weights are not usable; remove it, and train the run again."
        )


def _create(
    group: zarr.Group,
    name: str,
    shape: tuple[int, ...],
    chunks: tuple[int, ...],
    dtype: np.dtype[Any],
) -> None:
    compressor = sealed.compressor(shuffle="noshuffle")
    group.create_array(name, shape=shape, dtype=dtype, chunks=chunks, compressors=compressor)
