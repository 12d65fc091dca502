"""Images of one's own: pictures or slices of one size, and the masks of those who graded them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from probunet.store import sealed
from probunet.store.sealed import Attributes

KIND = "images"
_CHUNK_VALUES = 2**19  # of an inner chunk's images, about
_CHUNK = 16  # images per inner chunk, at most


class ImageAttributes(Attributes):
    """What a store of images says of itself."""

    dataset: str
    source: str
    synthetic: bool
    size: tuple[int, int]  # height and width, pixels
    channels: int  # 1, grey, or 3: red, green, blue
    values: str  # the images' NumPy type
    graders: tuple[str, ...]  # the table's columns of masks: bit g is the g-th
    window: tuple[float, float]  # values that become 0 and 1
    window_from: str
    resampling: str  # how images of another size were brought to this one
    resampled: int  # images to which that happened
    annotations: dict[str, int]  # images by number of graders who looked at them
    left_out: dict[str, int]  # images by reason
    left_out_subjects: tuple[str, ...]  # with not one usable image
    unmarked: int  # slices of volumes that no grader marked, and that are not stored
    manifest_sha256: str
    licence: str
    versions: dict[str, str]


@dataclass(frozen=True)
class ImageColumns:
    """One value per image."""

    subject: NDArray[np.str_]
    name: NDArray[np.str_]  # the file, as the table names it
    slice: NDArray[np.int32]  # of a volume, from 0; -1: a picture
    given: NDArray[np.uint8]  # bit g: grader g has looked at it


@dataclass(frozen=True)
class Images:
    """An open store of images."""

    path: Path
    attributes: ImageAttributes
    digest: str
    columns: ImageColumns
    image: zarr.Array[Any]  # (n, H, W, C)
    masks: zarr.Array[Any]  # (n, H, W) uint8, bit g = grader g

    def __len__(self) -> int:
        return int(self.image.shape[0])

    @property
    def subjects(self) -> NDArray[np.str_]:
        """Whose image each one is, (n,): folds keep a subject's images together."""
        return self.columns.subject

    @property
    def given(self) -> NDArray[np.uint8]:
        """Who has looked at each image, (n,), bit g = grader g."""
        return self.columns.given

    def rows_of(self, subjects: list[str]) -> NDArray[np.int64]:
        """Return the images of these subjects, in the store's order."""
        return np.flatnonzero(np.isin(self.subjects, subjects))


def create_images(path: Path, columns: ImageColumns, attributes: ImageAttributes) -> None:
    """Create an unsealed store of images at `path`, its pixels still empty."""
    group = sealed.create(path, KIND, attributes)
    create_image_arrays(
        group, len(columns.slice), attributes.size, attributes.channels, attributes.values
    )
    for name in ("subject", "name"):
        sealed.write_names(group, name, getattr(columns, name))
    for name in ("slice", "given"):
        group.create_array(name, data=getattr(columns, name))


def create_image_arrays(
    group: zarr.Group, count: int, size: tuple[int, int], channels: int, values: str
) -> None:
    """Create the arrays of `count` images and masks, still empty."""
    chunk = _CHUNK
    while chunk > 1 and chunk * size[0] * size[1] * channels > _CHUNK_VALUES:
        chunk //= 2
    shape = (count, *size, channels)
    sealed.create_images(group, "image", shape, np.dtype(values).type, chunk)
    sealed.create_images(group, "masks", shape[:3], np.uint8, chunk)


def open_images(path: Path) -> Images:
    """Return the store of images at `path`.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, of another kind or schema version.
    """
    group, attributes, digest = sealed.open_sealed(path, KIND, ImageAttributes)
    return Images(
        path,
        attributes,
        digest,
        ImageColumns(
            subject=sealed.read_names(group, "subject"),
            name=sealed.read_names(group, "name"),
            slice=sealed.read(group, "slice"),
            given=sealed.read(group, "given"),
        ),
        sealed.array_of(group, "image"),
        sealed.array_of(group, "masks"),
    )
