"""Unpack a downloaded tar.gz; refuse all of it if any of its names or sizes is unsafe."""

import gzip
import tarfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from probunet.errors import ProbunetError
from probunet.fetch.archive import ArchiveError, check_signature, name_fault
from probunet.files import written_whole
from probunet.limits import LARGEST_OBJECT, regular
from probunet.memory import raise_if_memory_lacks

_MOST = 100_000  # members, which tarfile keeps; the largest released archive has 46,000
_PIECE = 2**20  # bytes per read

# what gzip and tarfile raise on damaged data
_DAMAGED = (tarfile.TarError, zlib.error, gzip.BadGzipFile, EOFError, ValueError, OverflowError)


def unpack_tar(
    archive: Path, folder: Path, wanted: Callable[[str], str | None], limit: int
) -> list[Path]:
    """Return the files of the wanted members, after checking all members and unpacking these.

    `wanted` returns the path below `folder` for the name of a member; None to leave it out. The
    archive is read twice: nothing is written before all of it is checked. `limit` is the largest
    size of the unpacked tar, bytes.

    Raises
    ------
    ArchiveError
        If the file is not a complete tar.gz, or a name, kind or size in it is refused.
    ProbunetError
        If the archive cannot be read, the folder cannot be written, or the disk is full.
    """
    check_signature(archive, "tar.gz", (b"\x1f\x8b",))
    targets: dict[str, PurePosixPath] = {}
    taken: set[PurePosixPath] = set()
    with _opened(archive, limit) as (tar, packed):
        for member in _members(archive, tar, limit):
            if not member.isreg() or (target := wanted(member.name)) is None:
                continue
            path = PurePosixPath(target)
            if member.name in targets or path in taken:
                raise _refused(archive, "occurs twice", member.name)
            targets[member.name] = path
            taken.add(path)
        while packed.read(_PIECE):  # to the checksum at its end
            pass
    with _opened(archive, limit) as (tar, _):
        for member in _members(archive, tar, limit):
            if member.name in targets and member.isreg():
                _write(tar, member, folder / targets[member.name])
    return [folder / path for path in targets.values()]


@contextmanager
def _opened(archive: Path, limit: int) -> Iterator[tuple[tarfile.TarFile, "_Limited"]]:
    """Yield the tar, and the unpacked bytes that it is read from."""
    try:
        with (
            open(archive, "rb", opener=regular) as file,
            _Limited(fileobj=file, mode="rb") as packed,
            tarfile.open(fileobj=packed, mode="r:") as tar,
        ):
            yield tar, packed
    except _DAMAGED as error:
        raise_if_memory_lacks(error)
        raise ArchiveError(archive, f"not a complete tar.gz file ({error})") from None
    except ProbunetError:
        raise
    except OSError as error:
        raise ProbunetError(f"{archive}: cannot be read ({error.strerror or error}).") from None


class _Limited(gzip.GzipFile):
    """A gzip file whose headers of members cannot be read into memory if they are too long."""

    def read(self, size: int | None = -1) -> bytes:
        """Return so many bytes; raise tarfile.TarError for more than a member may have."""
        if size is None or not 0 <= size <= LARGEST_OBJECT:
            raise tarfile.TarError(f"a header of {size} bytes")
        return super().read(size)


def _members(archive: Path, tar: tarfile.TarFile, limit: int) -> Iterator[tarfile.TarInfo]:
    """Yield all members; raise ArchiveError at one with an unsafe name, kind or size."""
    for number, member in enumerate(tar):
        if fault := name_fault(member.name):
            raise _refused(archive, fault, member.name)
        if not (member.isreg() or member.isdir()) or member.issparse():
            raise _refused(archive, "is a link or another special file", member.name)
        if member.size > LARGEST_OBJECT:
            raise _refused(archive, f"has {member.size} bytes", member.name)
        if number == _MOST or member.offset_data + member.size > limit:
            raise _refused(archive, "lies beyond the limits of members and bytes", member.name)
        yield member


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    """Write a member's file unless it is there already."""
    data = tar.extractfile(member)
    content = data.read() if data else b""
    if len(content) != member.size:
        raise tarfile.TarError(f"{member.name!a} has {len(content)} bytes of {member.size}")
    if path.is_file() and path.stat().st_size == member.size and path.read_bytes() == content:
        return
    # without fsync: after a power cut, the next run detects an incomplete file by its size
    with written_whole(path, lasting=False) as aside:
        aside.write_bytes(content)


def _refused(archive: Path, reason: str, name: str) -> ArchiveError:
    return ArchiveError(
        archive, f"member {name!a} {reason}; refused as unsafe, nothing was unpacked"
    )
