"""Download LIDC-IDRI from the Imaging Data Commons: of each series only the outlined slices.

The publisher's objects have uuids as names, and only a header says which slice an object is. So a
series' objects are listed, the first kilobytes of each are read, and only those at an outline's z
are downloaded: about 9 GB instead of 128. The result of reading the headers is kept.
"""

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from probunet.config import Fetch
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.idc_index import (
    IndexedObject,
    SeriesIndex,
    list_series,
    read_header_of,
    read_index,
    unexpected,
    warn_unexpected,
)
from probunet.datasets.lidc.idc_plan import (
    ENDPOINT,
    Slices,
    Wanted,
    index_of,
    keep_rate,
    remaining,
    wanted,
)
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason
from probunet.datasets.lidc.matching import LICENCE, CheckedSlice, check, manifest_of, match
from probunet.datasets.lidc.tree import DicomFile, look
from probunet.datasets.raw_file import log_left_out, read_content
from probunet.errors import ProbunetError
from probunet.fetch.bucket import Bucket, ChangedError, StoredObject
from probunet.fetch.download import Progress, check_space, in_threads, root_of, write_licence
from probunet.fetch.http import Client
from probunet.files import locked, remove, written_whole

_SERIES_AT_ONCE = 4
_SLOWEST = 1e6  # bytes a second; a slower s5cmd is stopped

_log = logging.getLogger(__name__)


def fetch_idc(
    folder: Path,
    manifest: Path,
    source: LidcSource,
    how: Fetch,
    part: tuple[int, int] | None = None,
) -> Manifest:
    """Download slices into `folder` and return their manifest; existing files are checked and kept.

    The files are `<PatientID>/<StudyInstanceUID>/<SeriesInstanceUID>/<object>`; `<folder>.index/`
    keeps the index of each series. Part i of n is every n-th series from the i-th on, i from 0.

    Raises
    ------
    ProbunetError
        If the download fails, the disk is full, or another process writes the same manifest. The
        files received so far are kept.
    """
    series, slices = wanted(source.patients, part), source.slices
    is_first = part is None or part[0] == 0
    with locked(manifest), Client(how) as client:
        left = remaining(folder, series, slices)
        check_space(folder, left.slice_bytes)
        start = time.monotonic()
        try:
            with (
                Progress("LIDC-IDRI", left.bytes) as progress,
                ThreadPoolExecutor(how.connections) as requests,
            ):
                bucket = Bucket(client, source.endpoint_url or ENDPOINT, source.bucket)
                limited = bool(how.megabytes_per_second)
                job = _Job(bucket, folder, slices, limited, requests, progress)
                found = in_threads(job.fetch, series, _SERIES_AT_ONCE, client.stop)
        finally:
            if is_first:
                loaded = left.objects - remaining(folder, series, slices).objects
                keep_rate(folder, slices, loaded, time.monotonic() - start)
        if is_first:
            write_licence(folder, LICENCE)
        entries = [entry for of_series in found for entry in of_series]
        listed = manifest_of(entries, "idc", root_of(folder, manifest))
        listed.write(manifest)
    count = sum(len(one.slices) for one in listed.series)
    _log.info("%s: %d slices with outlines of %d series", folder, count, len(listed.series))
    log_left_out("LIDC-IDRI", listed.left_out)
    return Manifest.read(manifest)


@dataclass(frozen=True)
class _Job:
    """What the downloads of all series share."""

    bucket: Bucket
    folder: Path
    slices: Slices
    rate_is_limited: bool
    requests: ThreadPoolExecutor
    progress: Progress

    def fetch(self, item: Wanted) -> list[CheckedSlice]:
        """Download a series' slices; return its entries of the manifest."""
        try:
            return _Series(self, item).fetch()
        except ChangedError as error:
            _log.warning("%s: %s; listing the series again", item.row.patient, error)
            remove(index_of(self.folder, item.row.series))
        try:
            return _Series(self, item).fetch()
        except ChangedError as error:
            raise ProbunetError(
                f"{self.bucket.url}: {error}, repeatedly; run the same command again later."
            ) from None


class _Series:
    """The download of one series."""

    def __init__(self, job: _Job, item: Wanted) -> None:
        self._job, self._item = job, item
        self._folder = job.folder / item.folder
        self._index_file = index_of(job.folder, item.row.series)
        self._faults: dict[str, str] = {}  # of damaged objects, by name

    def fetch(self) -> list[CheckedSlice]:
        """Download the slices; return their entries of the manifest."""
        item, job = self._item, self._job
        index = self._index()
        warn_unexpected(index, item)
        matches = match(item.scan, item.zs, [one.file(self._folder) for one in index.objects])
        chosen = {file.path.name for *_, files in matches for file in files if not file.reason}
        outlined = [one.stored(item.prefix) for one in index.objects if one.name in chosen]
        list(job.requests.map(self._get, outlined))
        entries = [
            check(job.folder, (scan, z, tuple(map(self._marked, files))))
            for scan, z, files in matches
        ]
        if any(isinstance(entry, LeftOut) for _, entry in entries):
            remove(self._index_file)  # so that the next run reads the headers again
        return entries

    def _index(self) -> SeriesIndex:
        """Return the index; if all slices are wanted, after downloading them."""
        item, job = self._item, self._job
        kept = read_index(self._index_file, item.prefix)
        if kept and job.slices == "outlined":
            return kept
        if kept:
            objects = [one.stored(item.prefix) for one in kept.objects]
        else:
            objects = list_series(job.bucket, item)
        if job.slices == "all":
            self._copy(objects)
            known = [self._read_file(one) for one in objects]
            if unexpected(known, item):  # a file may belong to another object: compare all
                list(job.requests.map(self._get, objects))
                known = [self._read_file(one) for one in objects]
        else:
            known = list(job.requests.map(self._read_header, objects))
        index = SeriesIndex(series=item.row.series, prefix=item.prefix, objects=tuple(known))
        if all(one.reason is None for one in known):
            index.write(self._index_file)
        return index

    def _copy(self, objects: list[StoredObject]) -> None:
        """Download whole objects with s5cmd, which is faster; then one by one what it missed.

        If the rate is limited all are downloaded one by one: s5cmd cannot limit it.
        """
        job, item = self._job, self._item
        missing = [stored for stored in objects if self._is_missing(stored)]
        if missing and not job.rate_is_limited:
            for left in self._folder.glob("*.dcm[0-9]*"):  # of an s5cmd that was killed
                remove(left)
            program = Path(sys.executable).with_name("s5cmd")
            options = ["--no-sign-request", "--endpoint-url", job.bucket.endpoint, "--log", "error"]
            source = f"s3://{job.bucket.name}/{item.prefix}*"
            copy = ["cp", "--if-size-differ", source, f"{self._folder}/"]
            try:
                subprocess.run(
                    [program, *options, *copy],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=60 + item.row.bytes / _SLOWEST,
                    check=True,
                )
            except (OSError, subprocess.SubprocessError) as error:
                _log.info("%s: s5cmd did not copy all objects (%s)", item.row.patient, error)
        list(job.requests.map(self._get, filter(self._is_missing, missing)))
        for stored in missing:
            job.progress.add(stored.size)

    def _is_missing(self, stored: StoredObject) -> bool:
        path = self._path(stored)
        return not path.is_file() or path.stat().st_size != stored.size

    def _read_file(self, stored: StoredObject) -> IndexedObject:
        return IndexedObject.of(stored, self._marked(look(self._path(stored))))

    def _read_header(self, stored: StoredObject) -> IndexedObject:
        one, received = read_header_of(self._job.bucket, stored, self._path(stored))
        self._job.progress.add(received)
        return one

    def _get(self, stored: StoredObject) -> None:
        """Download an object unless its file is complete; twice if it differs from the list."""
        path, job = self._path(stored), self._job
        if path.name in self._faults or (
            not self._is_missing(stored) and stored.fault_of(read_content(path)) is None
        ):
            return
        for _ in range(2):
            data = job.bucket.read(stored).data
            if job.slices == "outlined":
                job.progress.add(len(data))
            if (fault := stored.fault_of(data)) is None:
                # without fsync: after a power cut, the next run checks whether it is complete
                with written_whole(path, lasting=False) as aside:
                    aside.write_bytes(data)
                return
        remove(path)
        self._faults[path.name] = str(fault)

    def _marked(self, file: DicomFile) -> DicomFile:
        """Return the file with the reason `DAMAGED` if its object is."""
        fault = self._faults.get(file.path.name)
        return replace(file, reason=Reason.DAMAGED, detail=fault) if fault else file

    def _path(self, stored: StoredObject) -> Path:
        return self._folder / stored.key.removeprefix(self._item.prefix)
