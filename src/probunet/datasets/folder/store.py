"""The store of your own images: images or slices of one size with the masks of graders."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet import store
from probunet.config import Settings, Size, Source
from probunet.datasets.folder.manifest import GraderCheck
from probunet.metrics.bits import mask_dtype
from probunet.pictures.view import Shown
from probunet.store import Layout
from probunet.truth.base import DataAttributes
from probunet.truth.graders import Graded

_CHUNK_VALUES = 2**19  # largest number of values per inner chunk of images
_CHUNK = 16  # largest number of images per inner chunk


class ImageAttributes(DataAttributes):
    """Attributes of a store of images."""

    size: tuple[int, int]  # height and width, pixels
    channels: int  # 1, grey, or 3: red, green, blue
    values: str  # the images' NumPy type
    graders: tuple[str, ...]  # the table's columns of masks: bit g is the g-th
    window: tuple[float, float]  # values that are scaled to 0 and 1
    window_from: str
    resampling: str  # how images of another size were resized
    resampled: int  # number of resized images
    annotations: dict[str, int]  # images by number of graders
    left_out_subjects: tuple[str, ...]  # without a usable image
    unmarked: int  # slices that no grader marked; they are not stored
    threshold: float | None = None  # least grey level that is foreground in a mask; None: not 0
    checks: tuple[GraderCheck, ...] = ()  # what each grader's masks contain
    warnings: tuple[str, ...] = ()  # about the images


@dataclass(frozen=True)
class ImageColumns:
    """One value per image."""

    subject: NDArray[np.str_]
    name: NDArray[np.str_]  # the file, as the table names it
    slice: NDArray[np.int32]  # number in the volume, from 0; -1 for a two-dimensional image
    given: NDArray[np.unsignedinteger[Any]]  # bit g: grader g has graded the image


LAYOUT = Layout("images", ImageAttributes, ImageColumns, arrays=("image", "masks"))


@dataclass(frozen=True)
class Images(Graded):
    """An open store of images."""

    path: Path
    attributes: ImageAttributes
    digest: str
    columns: ImageColumns
    image: zarr.Array[Any]  # (n, H, W, C)
    masks: zarr.Array[Any]  # (n, H, W), bit g = grader g; see `bits.mask_dtype`

    @property
    def subjects(self) -> NDArray[np.str_]:
        """The subject of each image, (n,)."""
        return self.columns.subject

    @property
    def given(self) -> NDArray[np.unsignedinteger[Any]]:
        """The graders of each image, (n,), bit g = grader g."""
        return self.columns.given

    @property
    def graders(self) -> tuple[str, ...]:
        """Names of the graders: the table's columns of masks."""
        return self.attributes.graders

    def window(self, settings: Settings) -> tuple[float, float]:
        """Return the values that are scaled to 0 and 1."""
        return self.attributes.window

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield from super().made_from(source)
        yield "size", self.attributes.size, source.image_size
        yield "window", self.attributes.window, source.image_window

    def shown(self) -> Shown:
        """Return how the report shows images."""
        from probunet.datasets.folder.report import ShownImages

        return ShownImages(self)


ImagesT = TypeVar("ImagesT", bound=Images)


def create_images(path: Path, columns: ImageColumns, attributes: ImageAttributes) -> None:
    """Create an unsealed store of images whose pixels are still empty."""
    create_arrays = partial(
        create_image_arrays,
        size=attributes.size,
        channels=attributes.channels,
        values=attributes.values,
        graders=len(attributes.graders),
    )
    LAYOUT.create(path, columns, attributes, create_arrays)


def create_image_arrays(
    group: zarr.Group, count: int, size: Size, channels: int, values: str, graders: int
) -> None:
    """Create the empty arrays of `count` images and the masks of so many graders."""
    chunk = _CHUNK
    while chunk > 1 and chunk * size[0] * size[1] * channels > _CHUNK_VALUES:
        chunk //= 2
    shape = (count, *size, channels)
    store.create_images(group, "image", shape, np.dtype(values).type, chunk)
    store.create_images(group, "masks", shape[:3], mask_dtype(graders).type, chunk)


def open_images(path: Path, cls: type[ImagesT] = Images) -> ImagesT:  # type: ignore[assignment]
    """Return the store of images at `path` as a `cls`; raises as `Layout.open` does."""
    return cls(**LAYOUT.open(path))
