"""The raw manifest of your own images, which `fetch` writes for `prepare`: an entry per image."""

from enum import StrEnum
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from probunet.datasets.raw_file import RawFile
from probunet.limits import Many
from probunet.manifest import Entry, RawManifest, Unusable


class ImageReason(StrEnum):
    """Why an image was left out."""

    NO_MASK = "no mask is named"
    MISSING = "no such file"
    UNREADABLE = "not a readable picture or NIfTI file"
    FORM = "form of pixels that is not read"
    SHAPES_DIFFER = "mask and image differ in shape"
    ORIENTATION = "mask and image differ in orientation"
    PLACE = "mask and image differ in origin or voxel size"
    VALUES = "mask with other values than 0 and one more"
    NO_CLASS = "mask with values that no class has"
    JPEG_MASK = "mask compressed as JPEG, which blurs its edges"
    SHARED = "mask that is named more than once and marks something"
    NOT_FINITE = "NaN or infinite values"
    UNMARKED = "volume in which no grader marked a slice"
    CHANGED = "file changed since it was fetched"


class FolderImage(Entry):
    """A picture or a volume, and the graders' masks of it."""

    subject: str
    image: RawFile
    masks: Many[RawFile | None]  # by grader; None: has not looked at it
    size: tuple[int, int]  # height and width, pixels
    channels: int
    dtype: str
    # the used ones of a volume; None: a picture
    slices: tuple[int, ...] | None = Field(default=None, fail_fast=True)

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the image and its masks."""
        return self.image.path, *(mask.path for mask in self.masks if mask is not None)


class ImageLeftOut(Unusable):
    """An image that cannot be used, or a slice of one."""

    owner: str
    image: str  # as the table names it
    slice: int | None = None  # of a volume; None: all of it
    reason: ImageReason

    @property
    def subject(self) -> str:
        """The subject."""
        return self.owner

    @property
    def place(self) -> str:
        """The file, and the slice if it is only one."""
        where = self.path or self.image
        return where if self.slice is None else f"{where}, slice {self.slice}"


class ClassTable(Entry):
    """The classes of the masks, in the order of their ids."""

    names: tuple[str, ...]
    values: tuple[int, ...] | tuple[str, ...]  # of pixels: numbers, or colours "#rrggbb"
    ignore: int | str | None = None  # of pixels without a class


class GraderCheck(Entry):
    """What the masks of a grader contain."""

    grader: str
    values: str  # those in the files, before they became 0 and 1
    images: int  # pictures, and used slices of volumes, that the grader has looked at
    marked: float  # share of their pixels, 0 to 1
    overlap: float | None = None  # mean IoU with the other graders; None: there are none
    left_out: int = 0  # images that were left out because of this grader's mask
    warnings: Many[str] = ()


class ImageManifest(RawManifest):
    """All images of a folder."""

    table: RawFile | None = None  # the user's table, if there is one
    graders: Many[str]  # the table's columns of masks
    images: Many[FolderImage]
    left_out: Many[ImageLeftOut] = ()
    unmarked: int = 0  # slices of volumes that no grader marked
    window: tuple[float, float]  # values that become 0 and 1, unless configured
    window_from: str  # how it was chosen
    threshold: float | None = None  # least grey level that is foreground in a mask; None: not 0
    checks: Many[GraderCheck] = ()  # by grader
    warnings: Many[str] = ()  # about the images
    classes: ClassTable | None = None  # None: the masks are binary

    @model_serializer(mode="wrap")
    def _without_classes(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return the fields; of binary masks without `classes`, as older versions wrote them."""
        fields: dict[str, Any] = write(self)
        return {k: v for k, v in fields.items() if k != "classes" or v is not None}
