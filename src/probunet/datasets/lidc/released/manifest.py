"""The raw manifest of a released set, which `fetch` writes for `prepare`: an entry per crop."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from probunet.datasets.raw_file import RawFile
from probunet.limits import Many
from probunet.manifest import Entry, RawManifest, Unusable
from probunet.metrics.bits import GRADERS


class CropReason(StrEnum):
    """Why a released crop was left out."""

    NAME = "name that is not of the set's layout"
    SECOND = "second file of the same image or mask"
    NO_IMAGE = "masks without an image"
    FEWER_MASKS = "fewer than four masks"
    MORE_MASKS = "more than four masks"
    UNREADABLE = "not a readable file"
    IMAGE_FORM = "image of another type"
    MASK_FORM = "mask of another type"
    SIZE = "image or mask of another size"
    IMAGE_VALUES = "image with values out of range"
    MASK_VALUES = "mask with values other than background and foreground"
    UNKNOWN_SERIES = "series that is not of LIDC-IDRI"
    CHANGED = "file changed since it was fetched"


class ReleasedCrop(Entry):
    """A crop and its four masks."""

    name: str  # of the crop in its set: a path, or the pickle's key
    patient: str
    series: str = ""  # empty: not known
    z: float | None = None  # mm; None: not known
    lesion: int = -1  # the set's number of the lesion, from 0; -1: not known
    marked: int = 0  # masks that are not empty
    split: str = ""  # the part of the publisher's split; empty: there is none
    # the files of the image and of each mask, or one file of arrays with `place` in it
    files: Many[RawFile]
    place: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _has_all_files(self) -> Self:
        if len(self.files) != (1 + GRADERS if self.place is None else 1):
            raise ValueError("a crop has an image and four masks, or a place in one file")
        return self

    @property
    def subject(self) -> str:
        """The patient."""
        return self.patient

    @property
    def paths(self) -> tuple[str, ...]:
        """The files of the crop."""
        return tuple(file.path for file in self.files)


class CropLeftOut(Unusable):
    """A crop that cannot be used."""

    patient: str
    name: str
    reason: CropReason

    @property
    def subject(self) -> str:
        """The patient."""
        return self.patient

    @property
    def place(self) -> str:
        """The file, or the crop if there is no file."""
        return self.path or self.name


class ReleasedManifest(RawManifest):
    """All crops of a released set."""

    source: Literal["hpunet", "knegt", "slices"]
    crops: Many[ReleasedCrop]
    left_out: Many[CropLeftOut] = ()
    patients: int | None = None  # how many were asked for; None: all
    archives: Many[RawFile] = ()  # what the crops were unpacked from
    warnings: Many[str] = ()  # how the set differs from the one that was released
