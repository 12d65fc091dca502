"""The store of your own images: images or slices with the masks of graders."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet import store
from probunet.config import Absent, Settings, Size, Source
from probunet.datasets.folder.classes import class_table, describe
from probunet.datasets.folder.config import FolderSource
from probunet.datasets.folder.manifest import ClassTable, GraderCheck
from probunet.metrics.bits import mask_dtype
from probunet.pictures.view import Shown
from probunet.prepared import Prepared
from probunet.store import Layout
from probunet.truth.base import DataAttributes
from probunet.truth.graders import ByGraders, Graded
from probunet.truth.labels import Labelled

_CHUNK_VALUES = 2**19  # largest number of values per inner chunk of images
_CHUNK = 16  # largest number of images per inner chunk
_SIDE = 512  # pixels, of the inner chunks of images of their own sizes


class ImageAttributes(DataAttributes):
    """Attributes of a store of images."""

    size: tuple[int, int]  # height and width of the arrays, pixels
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


class LabelAttributes(ImageAttributes):
    """Attributes of a store of images with label maps of several classes."""

    classes: ClassTable
    absent: Absent  # see `metrics.classes`


@dataclass(frozen=True)
class ImageColumns:
    """One value per image."""

    subject: NDArray[np.str_]
    name: NDArray[np.str_]  # the file, as the table names it
    slice: NDArray[np.int32]  # number in the volume, from 0; -1 for a two-dimensional image
    given: NDArray[np.unsignedinteger[Any]]  # bit g: grader g has graded the image
    # pixels, of images that keep their own sizes; None: all are as large as the arrays
    height: NDArray[np.int32] | None = None
    width: NDArray[np.int32] | None = None


LAYOUT = Layout("images", ImageAttributes, ImageColumns, arrays=("image", "masks"))
LABELS = Layout("labelled", LabelAttributes, ImageColumns, arrays=("image", "labels"))


class OwnImages(ByGraders):
    """An open store of images, whatever their masks are."""

    attributes: ImageAttributes
    columns: ImageColumns

    @property
    def class_table(self) -> ClassTable | None:
        """The classes; None if the masks are binary."""
        return None

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

    @property
    def extents(self) -> NDArray[np.int64] | None:
        """Height and width of each image (n, 2) that keeps its own size; else None."""
        height, width = self.columns.height, self.columns.width
        if height is None or width is None:
            return None
        return np.stack((height, width), axis=-1).astype(np.int64)

    def crop(self, settings: Settings) -> int | None:
        """Return the side of the random training crops; None for whole images."""
        return None if self.extents is None else settings.training.crop

    def prepared(self, settings: Settings) -> Prepared:
        """Return that images of another size are scaled to fit, or that all are seen in tiles."""
        prepared, side = super().prepared(settings), self.crop(settings)
        if side is None:
            return replace(prepared, resize="fit")
        return replace(prepared, size=(side, side), resize="tile")

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield from super().made_from(source)
        if isinstance(source, FolderSource):
            yield "classes", describe(self.class_table), describe(class_table(source))
        asked = "own" if source.cropped else source.image_size
        if self.extents is None:
            yield "size", self.attributes.size, asked
        else:
            yield "size", "own", asked or "left out"
        yield "window", self.attributes.window, source.image_window


@dataclass(frozen=True)
class Images(OwnImages, Graded):
    """An open store of images with binary masks."""

    path: Path
    attributes: ImageAttributes
    digest: str
    columns: ImageColumns
    image: zarr.Array[Any]  # (n, H, W, C)
    masks: zarr.Array[Any]  # (n, H, W), bit g = grader g; see `bits.mask_dtype`

    def shown(self) -> Shown:
        """Return how the report shows images."""
        from probunet.datasets.folder.report import ShownImages

        return ShownImages(self)


@dataclass(frozen=True)
class LabelledImages(OwnImages, Labelled):
    """An open store of images with label maps of several classes."""

    path: Path
    attributes: LabelAttributes
    digest: str
    columns: ImageColumns
    image: zarr.Array[Any]  # (n, H, W, C)
    labels: zarr.Array[Any]  # (n, H, W, G) uint8, see `truth.labels`

    @property
    def class_table(self) -> ClassTable:
        """The classes."""
        return self.attributes.classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""
        return self.class_table.names

    @property
    def absent(self) -> Absent:
        """What a class counts that neither of two maps has."""
        return self.attributes.absent

    def made_from(self, source: Source) -> Iterator[tuple[str, object, object]]:
        """Yield a key, the store's value and the configured value for each setting to compare."""
        yield from super().made_from(source)
        assert isinstance(source, FolderSource)
        yield "absent", self.absent, source.absent_classes

    def shown(self) -> Shown:
        """Return how the report shows images."""
        from probunet.datasets.folder.labels_report import ShownLabelled

        return ShownLabelled(self)


ImagesT = TypeVar("ImagesT", bound=Images)


def create_images(path: Path, columns: ImageColumns, attributes: ImageAttributes) -> None:
    """Create an unsealed store of images whose pixels are still empty."""
    layout: Layout[Any] = LABELS if isinstance(attributes, LabelAttributes) else LAYOUT
    create_arrays = partial(
        create_image_arrays,
        size=attributes.size,
        channels=attributes.channels,
        values=attributes.values,
        graders=len(attributes.graders),
        masks=layout.arrays[1],
        own=columns.height is not None,
    )
    layout.create(path, columns, attributes, create_arrays)


def create_image_arrays(
    group: zarr.Group,
    count: int,
    size: Size,
    channels: int,
    values: str,
    graders: int,
    masks: str = "masks",
    own: bool = False,
) -> None:
    """Create the empty arrays of `count` images and the `masks` or `labels` of so many graders.

    `own` says that images keep their own sizes, of which parts are read.
    """
    chunk, side = (1, _SIDE) if own else (_CHUNK, None)
    while chunk > 1 and chunk * size[0] * size[1] * channels > _CHUNK_VALUES:
        chunk //= 2
    shape = (count, *size, channels)
    store.create_images(group, "image", shape, np.dtype(values).type, chunk, side=side)
    if masks == "masks":
        store.create_images(group, masks, shape[:3], mask_dtype(graders).type, chunk, side=side)
    else:
        store.create_images(group, masks, (*shape[:3], graders), np.uint8, chunk, "grader", side)


def open_labelled(path: Path) -> LabelledImages:
    """Return the store of images with label maps at `path`; raises as `Layout.open` does."""
    return LabelledImages(**LABELS.open(path))


def open_images(path: Path, cls: type[ImagesT] = Images) -> ImagesT:  # type: ignore[assignment]
    """Return the store of images at `path` as a `cls`; raises as `Layout.open` does."""
    return cls(**LAYOUT.open(path))
