"""LIDC-IDRI from the Imaging Data Commons: of each series just the slices that carry outlines.

Objects of the publisher's bucket bear uuids for names; which slice one is stands in its header. So
a series' objects are listed, a few kilobytes of each are read, and whole come only those that lie
at an outline's z: some 9 GB instead of 128. What the headers told is kept.
"""

import logging
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch.bucket import Bucket, ChangedError, StoredObject
from probunet.fetch.download import (
    Progress,
    check_space,
    in_threads,
    write_licence,
    write_listing,
)
from probunet.fetch.http import Client
from probunet.fetch.idc_index import (
    IndexedObject,
    SeriesIndex,
    indexed,
    list_series,
    look_into,
    read_index,
    strange_of,
    tell_of_strange,
)
from probunet.fetch.idc_plan import Slices, Wanted, index_of, keep_rate, rest_of, wanted
from probunet.fetch.local import LICENCE
from probunet.fetch.matching import check, match
from probunet.fetch.tree import DicomFile, look
from probunet.files import locked, remove, written_whole
from probunet.manifest import LeftOut, Manifest, Reason, SliceFile
from probunet.outlines import Scan

ENDPOINT = "https://s3.amazonaws.com"
BUCKET = "idc-open-data"

_SERIES_AT_ONCE = 4
_SLOWEST = 1e6  # bytes a second of a copy that is waited for

_log = logging.getLogger(__name__)


def fetch_idc(
    folder: Path,
    manifest: Path,
    patients: int | None = None,
    slices: Slices = "outlined",
    endpoint_url: str | None = None,
    bucket: str = BUCKET,
    settings: Fetch | None = None,
    part: tuple[int, int] | None = None,
) -> Manifest:
    """Download slices into `folder` and write their manifest; what is there is checked and kept.

    Parameters
    ----------
    folder
        Becomes the tree `<PatientID>/<StudyInstanceUID>/<SeriesInstanceUID>/<object>`. Beside it,
        `<folder>.index/` keeps what is known of each series' objects.
    manifest
        Where to write the manifest; it lists the slices that carry outlines.
    patients
        The first so many patients with outlines, in order of their ids; all if None.
    slices
        `outlined`, those that carry outlines, or `all` of the series that have any.
    endpoint_url, bucket
        An S3 server that holds the publisher's objects under the publisher's keys, and lets
        anybody read them; the publisher's own if None.
    settings
        How to download.
    part
        Part i of n: every n-th series from the i-th on, i from 0.

    Raises
    ------
    ProbunetError
        If the server cannot be reached or refuses, the disk is full, or another process writes
        the same manifest. What has come by then is kept.
    """
    settings = settings or Fetch()
    series = wanted(patients, part)
    with locked(manifest), Client(settings) as client:
        rest = rest_of(folder, series, slices)
        check_space(folder, rest.slice_bytes)
        begun = time.monotonic()
        try:
            with (
                Progress("LIDC-IDRI", rest.bytes) as progress,
                ThreadPoolExecutor(settings.connections) as requests,
            ):
                source = Bucket(client, endpoint_url or ENDPOINT, bucket)
                capped = bool(settings.megabytes_per_second)
                job = _Job(source, folder, slices, capped, requests, progress)
                found = in_threads(job.fetch, series, _SERIES_AT_ONCE, client.stop)
        finally:  # for the plan of the next run
            if part is None or part[0] == 0:
                came = rest.objects - rest_of(folder, series, slices).objects
                keep_rate(folder, slices, came, time.monotonic() - begun)
        if part is None or part[0] == 0:
            write_licence(folder, LICENCE)
        entries = [entry for of_series in found for entry in of_series]
        return write_listing(folder, manifest, "idc", entries)


@dataclass(frozen=True)
class _Job:
    """What the series of a download share."""

    bucket: Bucket
    folder: Path
    slices: Slices
    capped: bool
    requests: ThreadPoolExecutor
    progress: Progress

    def fetch(self, item: Wanted) -> list[tuple[Scan, SliceFile | LeftOut]]:
        """Return the manifest's entries of a series, once its slices are there."""
        try:
            return _Series(self, item).entries()
        except ChangedError as error:
            _log.warning("%s: %s; listing the series again", item.row.patient, error)
        remove(index_of(self.folder, item.row.series))
        try:
            return _Series(self, item).entries()
        except ChangedError as error:
            raise ProbunetError(
                f"{self.bucket.url}: {error}, again and again; run the same command later."
            ) from None


class _Series:
    """A series on its way."""

    def __init__(self, job: _Job, item: Wanted) -> None:
        self._job, self._item = job, item
        self._folder = job.folder / item.folder
        self._faults: dict[str, str] = {}  # of objects that are not what the list says

    def entries(self) -> list[tuple[Scan, SliceFile | LeftOut]]:
        """Return the manifest's entries, once the slices are there."""
        item, job = self._item, self._job
        index = self._index()
        tell_of_strange(index, item)
        matches = match(item.scan, item.zs, [one.file(self._folder) for one in index.objects])
        chosen = {file.path.name for _, _, file in matches if file.reason is None}
        outlined = [one.stored(item.prefix) for one in index.objects if one.name in chosen]
        list(job.requests.map(self._get, outlined))
        entries = [check(job.folder, (scan, z, self._told(file))) for scan, z, file in matches]
        if any(isinstance(entry, LeftOut) for _, entry in entries):
            remove(self._kept)  # the next run looks again
        return entries

    @property
    def _kept(self) -> Path:
        return index_of(self._job.folder, self._item.row.series)

    def _index(self) -> SeriesIndex:
        """Return which slice each object is; of all slices, with their files there."""
        item, job = self._item, self._job
        kept = read_index(self._kept, item.prefix)
        if kept and job.slices == "outlined":
            return kept
        if kept:
            objects = [one.stored(item.prefix) for one in kept.objects]
        else:
            objects = list_series(job.bucket, item)
        if job.slices == "all":
            self._copy(objects)
            known = [self._seen(one) for one in objects]
            if strange_of(known, item):  # a file may be another's: all are held against the list
                list(job.requests.map(self._get, objects))
                known = [self._seen(one) for one in objects]
        else:
            known = list(job.requests.map(self._look_into, objects))
        index = SeriesIndex(series=item.row.series, prefix=item.prefix, objects=tuple(known))
        if all(one.reason is None for one in known):
            index.write(self._kept)
        return index

    def _copy(self, objects: list[StoredObject]) -> None:
        """Get whole objects by s5cmd, faster than one by one; what it does not bring, one by one.

        Where the rate is capped, all come one by one: s5cmd knows no cap.
        """
        job, item = self._job, self._item
        missing = [stored for stored in objects if self._is_missing(stored)]
        if missing and not job.capped:
            for left in self._folder.glob("*.dcm[0-9]*"):  # by an s5cmd that was killed
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
                _log.info("%s: s5cmd did not bring all (%s)", item.row.patient, error)
        list(job.requests.map(self._get, filter(self._is_missing, missing)))
        for stored in missing:
            job.progress.add(stored.size)

    def _is_missing(self, stored: StoredObject) -> bool:
        path = self._path(stored)
        return not path.is_file() or path.stat().st_size != stored.size

    def _seen(self, stored: StoredObject) -> IndexedObject:
        return indexed(stored, self._told(look(self._path(stored))))

    def _look_into(self, stored: StoredObject) -> IndexedObject:
        one, moved = look_into(self._job.bucket, stored, self._path(stored))
        self._job.progress.add(moved)
        return one

    def _get(self, stored: StoredObject) -> None:
        """Get an object if its file is not there and whole.

        One that is not what the list says is got twice at most: the second time may tell that the
        first one was hurt on its way, a third one would tell no more.
        """
        path, job = self._path(stored), self._job
        if path.name in self._faults or (
            path.is_file() and stored.fault_of(path.read_bytes()) is None
        ):
            return
        for _ in range(2):
            data = job.bucket.read(stored).data
            if job.slices == "outlined":
                job.progress.add(len(data))
            if (fault := stored.fault_of(data)) is None:
                # no fsync: after a power cut, the next run sees whether it is whole
                with written_whole(path, lasting=False) as aside:
                    aside.write_bytes(data)
                return
        remove(path)
        self._faults[path.name] = str(fault)

    def _told(self, file: DicomFile) -> DicomFile:
        """Return a file with what was wrong with its object, if anything was."""
        fault = self._faults.get(file.path.name)
        return replace(file, reason=Reason.DAMAGED, detail=fault) if fault else file

    def _path(self, stored: StoredObject) -> Path:
        return self._folder / stored.key.removeprefix(self._item.prefix)
