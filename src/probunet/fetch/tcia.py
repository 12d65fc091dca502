"""LIDC-IDRI from The Cancer Imaging Archive, for where the Imaging Data Commons cannot be reached.

The archive sends whole series only, as zips that it makes while it sends them: it tells no length
and knows no ranges, names the slices by number, and lists their MD5s in `md5hashes.csv`, columns
Filename and MD5Hash. An error on its side ends a zip early, without that list (CBIIT/NBIA-TCIA on
GitHub, V1_getImageWithMD5Hash.java).
"""

import csv
import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlencode

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch.archive import ArchiveError, unpack
from probunet.fetch.bucket import StoredObject
from probunet.fetch.download import Progress, check_space, in_threads, write_licence, write_listing
from probunet.fetch.http import Client, StatusError
from probunet.fetch.idc_index import SeriesIndex, indexed, read_index, tell_of_strange
from probunet.fetch.idc_plan import Slices, Wanted, index_of, missing_bytes, wanted
from probunet.fetch.local import LICENCE
from probunet.fetch.matching import Match, check, match
from probunet.fetch.tree import DicomFile, look
from probunet.files import locked, remove
from probunet.manifest import LeftOut, Manifest, Reason, SliceFile
from probunet.outlines import Scan

ENDPOINT = "https://services.cancerimagingarchive.net/nbia-api/services/v1"

_SERIES_AT_ONCE = 4  # the archive's server is slow, and others want it too
_HASHES = "md5hashes.csv"
_PREFIX = "tcia/"  # of an index's objects, so that no other source takes them for its own
_MORE = 2**24  # bytes that a series may have beyond twice those of the table
_SHOWN = 3  # faults in a line of the log

_log = logging.getLogger(__name__)


def fetch_tcia(
    folder: Path,
    manifest: Path,
    patients: int | None = None,
    slices: Slices = "outlined",
    endpoint_url: str | None = None,
    settings: Fetch | None = None,
    part: tuple[int, int] | None = None,
) -> Manifest:
    """Download series into `folder` and write their manifest; what is there is checked and kept.

    Parameters
    ----------
    folder
        Becomes the tree `<PatientID>/<StudyInstanceUID>/<SeriesInstanceUID>/<number>.dcm`. Beside
        it, `<folder>.index/` keeps each series' zip while it comes, and then what was in it.
    manifest
        Where to write the manifest; it lists the slices that carry outlines.
    patients
        The first so many patients with outlines, in order of their ids; all if None.
    slices
        `outlined`, those that carry outlines, or `all` of the series that have any. Whole series
        come either way; this is what is kept of them.
    endpoint_url
        A server that answers as the archive does; the archive's own if None.
    settings
        How to download.
    part
        Part i of n: every n-th series from the i-th on, i from 0.

    Raises
    ------
    ProbunetError
        If the server cannot be reached, refuses, or sends no zips; if not one slice has come; if
        the disk is full or another process writes the same manifest. What has come is kept.
    """
    settings = settings or Fetch()
    series = wanted(patients, part)
    endpoint = (endpoint_url or ENDPOINT).rstrip("/")
    with locked(manifest), Client(settings) as client:
        check_space(folder, _needed(folder, series, slices))
        with Progress("LIDC-IDRI", sum(item.row.bytes for item in series)) as progress:
            job = _Job(client, endpoint, folder, slices, progress)
            threads = min(_SERIES_AT_ONCE, settings.connections)
            found = in_threads(job.fetch, series, threads, client.stop)
        entries = [entry for of_series in found for entry in of_series]
        if series and not any(isinstance(entry, SliceFile) for _, entry in entries):
            raise ProbunetError(
                f"{endpoint}: sends not one slice of LIDC-IDRI that can be used; correct "
                "`endpoint_url` in config.yaml, or choose `source: idc`."
            )
        if part is None or part[0] == 0:
            write_licence(folder, LICENCE)
        return write_listing(folder, manifest, "tcia", entries)


def _needed(folder: Path, series: list[Wanted], slices: Slices) -> int:
    """Return how many bytes of disk it takes, with the zips on their way and what is in them."""
    to_come = [item for item in series if not index_of(folder, item.row.series).is_file()]
    largest = max((item.row.bytes for item in to_come), default=0)
    left = sum(missing_bytes(folder, item, slices) for item in series)
    return left + 2 * min(_SERIES_AT_ONCE, len(to_come)) * largest


@dataclass(frozen=True)
class _Content:
    """What has come of a series, and what is wrong with it."""

    files: Mapping[Path, str]  # slices, with their MD5s
    faults: Mapping[str, str]  # by names of files, those that are missing too


@dataclass(frozen=True)
class _Job:
    """What the series of a download share."""

    client: Client
    endpoint: str
    folder: Path
    slices: Slices
    progress: Progress

    def fetch(self, item: Wanted) -> list[tuple[Scan, SliceFile | LeftOut]]:
        """Return the manifest's entries of a series, once its slices are there."""
        index = read_index(index_of(self.folder, item.row.series), _PREFIX)
        if index is None or not self._is_there(item, index):
            index = self._bring(item)
        self.progress.add(sum(one.bytes for one in index.objects), len(index.objects))
        tell_of_strange(index, item)
        return [check(self.folder, found) for found in self._matches(item, index)]

    def _matches(self, item: Wanted, index: SeriesIndex) -> list[Match]:
        folder = self.folder / item.folder
        return match(item.scan, item.zs, [one.file(folder) for one in index.objects])

    def _kept(self, item: Wanted, index: SeriesIndex) -> set[str]:
        """Return the names of the files that are wanted of a series."""
        if self.slices == "all":
            return {one.name for one in index.objects if one.reason is not Reason.DAMAGED}
        matches = self._matches(item, index)
        return {file.path.name for _, _, file in matches if file.reason is None}

    def _is_there(self, item: Wanted, index: SeriesIndex) -> bool:
        """Return whether all that is wanted of a series lies in its folder as it came."""
        kept, folder = self._kept(item, index), self.folder / item.folder
        return all(
            (folder / one.name).is_file()
            and one.stored(_PREFIX).fault_of((folder / one.name).read_bytes()) is None
            for one in index.objects
            if one.name in kept
        )

    def _bring(self, item: Wanted) -> SeriesIndex:
        """Download a series, put what is wanted of it into its folder, and return what it holds."""
        path = index_of(self.folder, item.row.series)
        part, aside = path.with_suffix(".zip.part"), path.with_suffix(".unpacked")
        try:
            content = self._download(item, part, aside)
            index = _index_of(item, content)
            target = self.folder / item.folder
            target.mkdir(parents=True, exist_ok=True)
            for name in self._kept(item, index):
                (aside / name).replace(target / name)
        finally:
            remove(part)
            remove(aside)
        if not content.faults:  # with faults, the next run tries again
            index.write(path)
        return index

    def _download(self, item: Wanted, part: Path, aside: Path) -> _Content:
        """Unpack a series' zip into `aside`; one with faults is downloaded once more."""
        query = urlencode({"SeriesInstanceUID": item.row.series})
        url = f"{self.endpoint}/getImageWithMD5Hash?{query}"
        limit = 2 * item.row.bytes + _MORE
        try:
            content = self._try(url, part, aside, limit)
            if not content.faults:
                return content
            fault = _told(content.faults)
        except ArchiveError as error:
            fault = error.why
        _log.warning("%s: %s; downloading it again", url, fault)
        try:
            content = self._try(url, part, aside, limit)
        except ArchiveError as error:
            raise ProbunetError(
                f"{url}: what the server sends is {error.why}. Run the same command again later; "
                "if it stays so, correct `endpoint_url` in config.yaml or choose `source: idc`."
            ) from None
        if content.faults:
            _log.warning("%s: %s", url, _told(content.faults))
        return content

    def _try(self, url: str, part: Path, aside: Path, limit: int) -> _Content:
        remove(aside)
        try:
            self.client.save(url, part, anew=True)
        except StatusError as error:
            if error.status == 400:
                return _Content({}, {"": "the server says that it has no such public series"})
            raise ProbunetError(f"{error} (`endpoint_url` in config.yaml)") from None
        return _unpacked(part, aside, limit)


def _unpacked(part: Path, aside: Path, limit: int) -> _Content:
    """Unpack a series' zip, and compare its files with the publisher's MD5s."""
    if not part.stat().st_size:
        return _Content({}, {"": "an empty answer: the server has no such series"})
    paths = unpack(part, aside, _place_of, limit)
    files = {path: _md5(path) for path in sorted(paths) if path.name != _HASHES}
    if not files:
        return _Content({}, {"": "a zip without slices: the server has no such series"})
    if not (aside / _HASHES).is_file():
        names = [path.name for path in files]
        return _Content(files, dict.fromkeys(names, f"no {_HASHES} in the zip"))
    hashes = _read_hashes(aside / _HASHES)
    if unknown := sum(not hashes.get(path.name, "?") for path in files):
        _log.warning(
            "%s: %d of %d slices have no MD5 in the publisher's list; the zip's CRC is right",
            part.name.partition(".zip")[0],
            unknown,
            len(files),
        )
    return _Content(files, _faults(files, hashes))


def _place_of(name: str) -> str | None:
    """Return the name of a slice or of the list, without folders; None for a licence."""
    base = PurePosixPath(name).name
    is_slice = base.lower().endswith(".dcm") and not base.startswith(".")
    return base if is_slice or base == _HASHES else None


def _read_hashes(path: Path) -> dict[str, str]:
    """Return the list's MD5s by the names of files; an MD5 may be empty where none is known."""
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        header, *rows = list(csv.reader(file, skipinitialspace=True)) or [[]]
    column = next((i for i, title in enumerate(header) if "md5" in title.lower()), 1)
    name = 0 if column else 1
    return {
        PurePosixPath(row[name].strip()).name: row[column].strip().lower()
        for row in rows
        if len(row) > max(name, column)
    }


def _faults(files: Mapping[Path, str], hashes: Mapping[str, str]) -> dict[str, str]:
    """Return what is wrong with a series, by the names of its files."""
    faults = {name: "in the list of MD5s, not in the zip" for name in hashes}
    for path, md5 in files.items():
        faults.pop(path.name, None)
        told = hashes.get(path.name)
        if told is None:
            faults[path.name] = "not in the list of MD5s"
        elif told not in ("", md5):
            faults[path.name] = f"MD5 {md5} instead of {told}"
    return faults


def _index_of(item: Wanted, content: _Content) -> SeriesIndex:
    """Return what a series holds, as its files' headers tell."""
    objects = []
    for path, md5 in content.files.items():
        fault = content.faults.get(path.name)  # a header is not to be trusted then
        file = DicomFile(path, reason=Reason.DAMAGED, detail=fault) if fault else look(path)
        stored = StoredObject(_PREFIX + path.name, path.stat().st_size, md5)
        objects.append(indexed(stored, file))
    return SeriesIndex(series=item.row.series, prefix=_PREFIX, objects=tuple(objects))


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _told(faults: Mapping[str, str]) -> str:
    words = [f"{name}: {fault}" if name else fault for name, fault in faults.items()]
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return "; ".join(words[:_SHOWN]) + more
