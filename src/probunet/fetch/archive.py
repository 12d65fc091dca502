"""Unpack a downloaded zip; refuse all of it if any of its names or sizes is unsafe.

Fields: APPNOTE.TXT of PKWARE. Members that share their bytes: D. Fifield, "A better zip bomb"
(USENIX WOOT 2019).
"""

import copy
import html
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from io import BufferedReader, FileIO
from itertools import pairwise
from pathlib import Path, PurePosixPath

from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.limits import regular
from probunet.memory import raise_if_memory_lacks

RATIO = 50  # largest ratio of unpacked to packed size; CT slices reach 2, text 10
SMALL = 2**16  # bytes; smaller members may have any ratio
SMALL_TOTAL = 2**20  # bytes; so may smaller archives

_CHUNK = 2**20  # bytes per read
_LONGEST_LIST = 2**24  # bytes of the list of members; Cityscapes' has 3 MB
_LOCAL_HEADER = 30  # bytes, without the name
_HEAD = 4096  # bytes read to tell a web page from a zip

# what zipfile raises on damaged data
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)


class ArchiveError(ProbunetError):
    """An unusable zip, and the reason; another download may be usable."""

    def __init__(self, archive: Path, reason: str) -> None:
        super().__init__(f"{archive}: {reason}. Remove it and run the same command again.")


def unpack(
    archive: Path, folder: Path, wanted: Callable[[str], str | None], limit: int
) -> list[Path]:
    """Return the files of the wanted members, after checking all members and unpacking these.

    `wanted` returns the path below `folder` for the name of a member; None to leave it out. A file
    that has the size and CRC of its member is not written again. `limit` is the largest total size
    of the wanted members, bytes.

    Raises
    ------
    ArchiveError
        If the file is not a complete zip, or a name, kind or size in it is refused: then nothing
        was written. If a member's data differ from what the zip declares: then the members
        written before it stay, each of them complete.
    ProbunetError
        If the archive cannot be read, the folder cannot be written, or the disk is full.
    """
    check_signature(archive, "zip", (b"PK\3\4", b"PK\5\6"))
    try:
        file = zipfile.ZipFile(_Archive(FileIO(archive, opener=regular)))
    except _DAMAGED as error:
        raise_if_memory_lacks(error)
        raise _damaged(archive, str(error)) from None
    with file:
        members = file.infolist()
        _check_members(archive, members)
        targets = _targets(archive, members, wanted)
        total = sum(member.file_size for member in targets.values())
        if total > limit:
            raise _refused(archive, f"has {total} bytes unpacked; the limit is {limit}")
        return [_write(archive, file, member, folder / path) for path, member in targets.items()]


class _Archive(BufferedReader):
    """A zip file, of which a list of members that is too long is not read."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many bytes; raise zipfile.BadZipFile for more than a list may have."""
        if size is not None and size > _LONGEST_LIST:
            raise zipfile.BadZipFile(f"its list of members has {size:,} bytes")
        return super().read(size)


def _damaged(archive: Path, reason: str) -> ArchiveError:
    return ArchiveError(archive, f"not a complete zip file ({reason})")


def _refused(archive: Path, reason: str, name: str | None = None) -> ArchiveError:
    subject = "it" if name is None else f"member {name!a}"
    return ArchiveError(archive, f"{subject} {reason}; refused as unsafe, nothing was unpacked")


def check_signature(archive: Path, kind: str, starts: tuple[bytes, ...]) -> None:
    """Raise ArchiveError unless the file starts in one of these ways, as this kind of file does."""
    try:
        with open(archive, "rb", opener=regular) as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ProbunetError(f"{archive}: cannot be read ({error.strerror}).") from None
    if head.startswith(starts):
        return
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if re.match(r"<(!doctype|html|head|\?xml)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*([^<]{1,80})", text, re.IGNORECASE)
        quoted = f' "{html.unescape(title[1]).strip()}"' if title else ""
        raise ArchiveError(archive, f"a web page{quoted} instead of a {kind} file")
    raise ArchiveError(archive, f"not a {kind} file" if head else "an empty file")


def _check_members(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise ArchiveError if a member has an unsafe name, kind or size."""
    seen: set[PurePosixPath] = set()
    for member in members:
        name = member.orig_filename
        path = PurePosixPath(name)
        if fault := name_fault(name) or _kind_fault(member):
            raise _refused(archive, fault, name)
        if path in seen:
            raise _refused(archive, "occurs twice", name)
        seen.add(path)
        if member.file_size > max(SMALL, RATIO * member.compress_size):
            sizes = f"{member.compress_size} bytes to {member.file_size}"
            raise _refused(archive, f"grows from {sizes}, as a zip bomb does", name)
    _check_extents(archive, members)
    size, total = archive.stat().st_size, sum(member.file_size for member in members)
    if total > max(SMALL_TOTAL, RATIO * size):
        raise _refused(archive, f"grows from {size} bytes to {total}, as a zip bomb does")


def name_fault(name: str) -> str | None:
    """Return why the name of a member is unsafe; None if it is not."""
    if not name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has an empty name or control characters in it"
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        return "has an absolute name or a backslash in it"
    parts = PurePosixPath(name).parts
    if ".." in parts or not (parts or name.endswith("/")):
        return "would lie outside of the folder"
    return None


def _kind_fault(member: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(member.external_attr >> 16)  # Unix mode; 0 if not written on Unix
    stored = member.compress_type == zipfile.ZIP_STORED
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or another special file"
    if kind == stat.S_IFDIR and not member.is_dir():
        return "is a folder by its kind and a file by its name"
    if member.flag_bits & 0x2041:  # encrypted, strongly encrypted, with a masked header
        return "is encrypted"
    if not stored and member.compress_type != zipfile.ZIP_DEFLATED:
        return f"is compressed by method {member.compress_type}; supported are stored and deflated"
    if stored and member.compress_size != member.file_size:
        return "is not compressed, but its size differs from that in the zip"
    return None


def _check_extents(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise ArchiveError if members lie outside of the zip or overlap, as in the largest bombs."""
    extents = sorted(
        (member.header_offset, member.header_offset + _LOCAL_HEADER + member.compress_size)
        for member in members
    )
    if extents and not (extents[0][0] >= 0 and extents[-1][1] <= archive.stat().st_size):
        raise _damaged(archive, "members lie outside of it")
    if any(start < end for (_, end), (start, _) in pairwise(extents)):
        raise _refused(archive, "has members that overlap, as a zip bomb does")


def _targets(
    archive: Path, members: list[zipfile.ZipInfo], wanted: Callable[[str], str | None]
) -> dict[PurePosixPath, zipfile.ZipInfo]:
    """Return the wanted members by their paths below the folder."""
    targets: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in members:
        if member.is_dir() or (target := wanted(member.filename)) is None:
            continue
        path = PurePosixPath(target)
        if path in targets:
            raise _refused(archive, f"and another both are {path}", member.filename)
        targets[path] = member
    for path, member in targets.items():
        if not targets.keys().isdisjoint(path.parents):
            raise _refused(archive, "lies in a file, not in a folder", member.filename)
    return targets


def _write(archive: Path, file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Path:
    """Return the file of a member, after writing it if it does not exist."""
    if _exists(member, path):
        return path
    # zipfile stops at the declared size without an error; one byte more reveals a longer member
    longer = copy.copy(member)
    longer.file_size += 1
    # without fsync: after a power cut, the next run detects an incomplete file by its CRC
    with written_whole(path, lasting=False) as aside:
        length = 0
        try:
            with file.open(longer) as data, aside.open("wb") as out:
                while piece := data.read(_CHUNK):  # the last read checks the CRC
                    length += out.write(piece)
        except _DAMAGED as error:
            raise_if_memory_lacks(error)
            raise _damaged(archive, str(error)) from None
        if length != member.file_size:
            sizes = f"{length} bytes instead of {member.file_size}"
            raise _damaged(archive, f"{member.filename!a} has {sizes}")
    return path


def _exists(member: zipfile.ZipInfo, path: Path) -> bool:
    """Return whether the file exists with the member's size and CRC."""
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            crc = zlib.crc32(piece, crc)
    return crc == member.CRC
