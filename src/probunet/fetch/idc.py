"""LIDC-IDRI from the Imaging Data Commons: of each series just the slices that carry outlines.

Objects of the publisher's bucket bear uuids for names; which slice one is stands in its header. So
a series' objects are listed, a few kilobytes of each are read, and whole come only those that lie
at an outline's z: some 9 GB instead of 128. What the headers told is kept.
"""

import logging
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
    root_of,
    write_licence,
)
from probunet.fetch.http import Client
from probunet.fetch.idc_index import (
    IndexedObject,
    SeriesIndex,
    indexed,
    list_series,
    look_into,
    read_index,
    tell_of_strange,
)
from probunet.fetch.idc_plan import Slices, Wanted, index_of, keep_rate, missing_bytes, wanted
from probunet.fetch.local import LICENCE
from probunet.fetch.matching import check, match, series_of
from probunet.fetch.tree import DicomFile, look
from probunet.files import locked, written_whole
from probunet.manifest import LeftOut, Manifest, Reason, SliceFile, count_reasons
from probunet.outlines import Scan

ENDPOINT = "https://s3.amazonaws.com"
BUCKET = "idc-open-data"

_SERIES_AT_ONCE = 4

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
        check_space(folder, sum(missing_bytes(folder, item, slices) for item in series))
        expected = sum(item.header_bytes(slices) + item.bytes(slices) for item in series)
        begun = time.monotonic()
        with (
            Progress("LIDC-IDRI", expected) as progress,
            ThreadPoolExecutor(settings.connections) as requests,
        ):
            source = Bucket(client, endpoint_url or ENDPOINT, bucket)
            job = _Job(source, folder, slices, requests, progress)
            found = in_threads(job.fetch, series, _SERIES_AT_ONCE)
        if part is None or part[0] == 0:
            write_licence(folder, LICENCE)
            keep_rate(folder, slices, client.requests, time.monotonic() - begun)
        entries = [entry for of_series in found for entry in of_series]
        made = Manifest(
            dataset="lidc",
            source="idc",
            synthetic=False,
            root=root_of(folder, manifest),
            licence=LICENCE,
            series=series_of(entries),
            left_out=tuple(entry for _, entry in entries if isinstance(entry, LeftOut)),
        )
        made.write(manifest)
    _tell(folder, made)
    return Manifest.read(manifest)


@dataclass(frozen=True)
class _Job:
    """What the series of a download share."""

    bucket: Bucket
    folder: Path
    slices: Slices
    requests: ThreadPoolExecutor
    progress: Progress

    def fetch(self, item: Wanted) -> list[tuple[Scan, SliceFile | LeftOut]]:
        """Return the manifest's entries of a series, once its slices are there."""
        path = index_of(self.folder, item.row.series)
        try:
            index = read_index(path, item.prefix) or self._index(item)
            return self._entries(item, index)
        except ChangedError as error:
            _log.warning("%s: %s; listing the series again", item.row.patient, error)
        try:
            return self._entries(item, self._index(item))
        except ChangedError as error:
            raise ProbunetError(
                f"{self.bucket.url}: {error}, again and again; run the same command later."
            ) from None

    def _index(self, item: Wanted) -> SeriesIndex:
        """List a series, see which slice each object is, and keep that."""
        objects = list_series(self.bucket, item)
        read = self._look_into if self.slices == "outlined" else self._get_and_look
        known = self.requests.map(lambda stored: read(item, stored), objects)
        index = SeriesIndex(series=item.row.series, prefix=item.prefix, objects=tuple(known))
        index.write(index_of(self.folder, item.row.series))
        return index

    def _look_into(self, item: Wanted, stored: StoredObject) -> IndexedObject:
        one, moved = look_into(self.bucket, stored, self._path(item, stored))
        self.progress.add(moved)
        return one

    def _get_and_look(self, item: Wanted, stored: StoredObject) -> IndexedObject:
        """Get an object whole, for all are wanted, and return what its header tells."""
        fault = self._get(item, stored)
        file = DicomFile(self._path(item, stored), reason=Reason.DAMAGED, detail=fault or "")
        return indexed(stored, file if fault else look(file.path))

    def _entries(self, item: Wanted, index: SeriesIndex) -> list[tuple[Scan, SliceFile | LeftOut]]:
        """Get what is still missing of a series, and check what is there."""
        tell_of_strange(index, item)
        folder = self.folder / item.folder
        matches = match(item.scan, item.zs, [one.file(folder) for one in index.objects])
        chosen = {file.path.name for _, _, file in matches if file.reason is None}
        stored = {
            one.name: one.stored(item.prefix)
            for one in index.objects
            if one.name in chosen or self.slices == "all"
        }
        got = self.requests.map(lambda one: self._get(item, one), stored.values())
        faults = {name: fault for name, fault in zip(stored, got, strict=True) if fault}
        entries = []
        for scan, z, file in matches:
            if fault := faults.get(file.path.name) if file.reason is None else None:
                file = replace(file, reason=Reason.DAMAGED, detail=fault)
            entries.append(check(self.folder, (scan, z, file)))
        return entries

    def _get(self, item: Wanted, stored: StoredObject) -> str | None:
        """Get an object if its file is not there and whole; return what is wrong with it if it is.

        A file that differs is fetched twice at most: the second time may tell of the first one's
        way here, a third one would not.
        """
        path = self._path(item, stored)
        if path.is_file() and stored.fault_of(path.read_bytes()) is None:
            self.progress.add(stored.size)
            return None
        for _ in range(2):
            data = self.bucket.read(stored).data
            self.progress.add(len(data))
            if (fault := stored.fault_of(data)) is None:
                # no fsync: after a power cut, the next run sees whether it is whole
                with written_whole(path, lasting=False) as aside:
                    aside.write_bytes(data)
                return None
        return fault

    def _path(self, item: Wanted, stored: StoredObject) -> Path:
        return self.folder / item.folder / stored.key.removeprefix(item.prefix)


def _tell(folder: Path, made: Manifest) -> None:
    slices = sum(len(series.slices) for series in made.series)
    _log.info("%s: %d slices with outlines of %d series", folder, slices, len(made.series))
    for reason, count in count_reasons(made.left_out).items():
        first = next(item for item in made.left_out if item.reason == reason)
        _log.warning("LIDC-IDRI: left out %d: %s; first %s", count, first.why, first.place)
