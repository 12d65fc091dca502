"""Unpacking a zip from the network: refused as a whole unless every name and size in it is sound.

What a zip may do to who unpacks it: APPNOTE.TXT of PKWARE for the fields; D. Fifield, "A better
zip bomb" (USENIX WOOT 2019), for members that share their bytes.
"""

import copy
import html
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path, PurePosixPath

from probunet.errors import ProbunetError
from probunet.files import written_whole

# Nothing that is fetched comes near: CT slices shrink to a half, labels as PNG not at all, text to
# a tenth. Small members may shrink to whatever they like.
RATIO = 50
SMALL = 2**16  # bytes of a member
SMALL_TOTAL = 2**20  # bytes of all

_CHUNK = 2**20  # bytes unpacked at a time
_LOCAL_HEADER = 30  # bytes, without the name
_HEAD = 4096  # bytes that tell a page from a zip

# what zipfile raises on garbage
_GARBAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    NotImplementedError,
    OverflowError,
    ValueError,
)


class ArchiveError(ProbunetError):
    """A zip that will not do, and why: another download of it may."""

    def __init__(self, archive: Path, why: str) -> None:
        self.why = why
        super().__init__(f"{archive}: {why}. Remove it and run the same command again.")


def unpack(
    archive: Path, folder: Path, wanted: Callable[[str], str | None], limit: int
) -> list[Path]:
    """Unpack chosen members, after the names and sizes of all have been found to be sound.

    A file that lies there already with the member's size and CRC is not written again.

    Parameters
    ----------
    archive
        The zip file.
    folder
        Where to unpack to.
    wanted
        Returns for a member's name the path below `folder` to write it to, or None to leave it out.
    limit
        Bytes that the wanted members may have together.

    Returns
    -------
    list of Path
        The files of the wanted members, in the archive's order.

    Raises
    ------
    ArchiveError
        If it is no zip or not a whole one, or a name, kind or size in it is refused: nothing has
        been written then. If a member's data are not what the zip declares: what has been written
        before it stays, and is whole.
    ProbunetError
        If the archive cannot be read or the folder not be written, or the disk is full.
    """
    _refuse_other_files(archive)
    with _open(archive) as file:
        members = file.infolist()
        _check_all(archive, members)
        targets = _targets(archive, members, wanted)
        total = sum(member.file_size for member, _ in targets)
        if total > limit:
            raise _refused(archive, f"unpacked it has {total} bytes, and {limit} may come")
        return [_write(archive, file, member, folder / path) for member, path in targets]


def _open(archive: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(archive)
    except _GARBAGE as error:
        raise _broken(archive, str(error)) from None


def _broken(archive: Path, why: str) -> ArchiveError:
    return ArchiveError(archive, f"not a whole zip file ({why})")


def _refused(archive: Path, why: str, name: str | None = None) -> ArchiveError:
    member = "" if name is None else f"member {name!a} "
    return ArchiveError(
        archive,
        f"{member}{why}; nothing of it has been unpacked, for no publisher's archive is like this",
    )


def _refuse_other_files(archive: Path) -> None:
    """Raise if the file does not begin as a zip does; say so if it is a page."""
    try:
        with archive.open("rb") as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise ProbunetError(f"{archive}: cannot be read ({error.strerror}).") from None
    if head.startswith((b"PK\3\4", b"PK\5\6")):
        return
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if re.match(r"<(!doctype|html|head|\?xml)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*([^<]{1,80})", text, re.IGNORECASE)
        words = f' "{html.unescape(title[1]).strip()}"' if title else ""
        raise ArchiveError(archive, f"a web page{words} instead of a zip file")
    raise ArchiveError(archive, "not a zip file" if head else "an empty file")


def _check_all(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise unless each member is a plain file or folder with a name that stays below a folder."""
    seen: set[PurePosixPath] = set()
    for member in members:
        name = member.orig_filename
        path = PurePosixPath(name)
        if fault := _fault_of_name(name) or _fault_of_kind(member):
            raise _refused(archive, fault, name)
        if path in seen:
            raise _refused(archive, "comes twice", name)
        seen.add(path)
        if member.file_size > max(SMALL, RATIO * member.compress_size):
            raise _refused(
                archive,
                f"grows from {member.compress_size} bytes to "
                f"{member.file_size}, as a zip bomb does",
                name,
            )
    _check_extents(archive, members)
    size, total = archive.stat().st_size, sum(member.file_size for member in members)
    if total > max(SMALL_TOTAL, RATIO * size):
        raise _refused(archive, f"grows from {size} bytes to {total}, as a zip bomb does")


def _fault_of_name(name: str) -> str | None:
    if not name or any(ord(letter) < 32 or ord(letter) == 127 for letter in name):
        return "has an empty name or control characters in it"
    if name.startswith("/") or "\\" in name or re.match(r"[A-Za-z]:", name):
        return "has an absolute name or a backslash in it"
    parts = PurePosixPath(name).parts
    if ".." in parts or not (parts or name.endswith("/")):  # `.` would lie where the folder does
        return "would lie outside of the folder"
    return None


def _fault_of_kind(member: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(member.external_attr >> 16)  # as Unix has it; 0 where no Unix made it
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "is a link or another special file"
    if kind == stat.S_IFDIR and not member.is_dir():
        return "is a folder by its kind and a file by its name"
    if member.flag_bits & 0x2041:  # encrypted, strongly encrypted, with a masked header
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is compressed by method {member.compress_type}, and stored or deflated may come"
    if member.compress_type == zipfile.ZIP_STORED and member.compress_size != member.file_size:
        return "has another size than it takes in the zip, though it is not compressed"
    return None


def _check_extents(archive: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise if members lie outside of the zip, or share bytes as the largest bombs do."""
    extents = sorted(
        (member.header_offset, member.header_offset + _LOCAL_HEADER + member.compress_size)
        for member in members
    )
    if extents and not (extents[0][0] >= 0 and extents[-1][1] <= archive.stat().st_size):
        raise _broken(archive, "members lie outside of it")
    for (_, end), (start, _) in pairwise(extents):
        if start < end:
            raise _refused(archive, "has members that lie in one another, as a zip bomb does")


def _targets(
    archive: Path, members: list[zipfile.ZipInfo], wanted: Callable[[str], str | None]
) -> list[tuple[zipfile.ZipInfo, PurePosixPath]]:
    """Return the wanted members, each with its path below the folder."""
    targets: dict[PurePosixPath, zipfile.ZipInfo] = {}
    for member in members:
        if member.is_dir() or (chosen := wanted(member.filename)) is None:
            continue
        path = PurePosixPath(chosen)
        if path in targets:
            raise _refused(archive, f"and another both are {path}", member.filename)
        targets[path] = member
    for path, member in targets.items():
        if not targets.keys().isdisjoint(path.parents):
            raise _refused(archive, "lies in what is a file, not a folder", member.filename)
    return [(member, path) for path, member in targets.items()]


def _write(archive: Path, file: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Path:
    """Write a member unless it lies there, and return its path."""
    if _lies_there(member, path):
        return path
    # zipfile stops at the declared length without a word: asked for one byte more, it would go on
    longer = copy.copy(member)
    longer.file_size += 1
    # no fsync: after a power cut, the next run sees by the CRC whether it is whole
    with written_whole(path, lasting=False) as aside:
        length = 0
        try:
            with file.open(longer) as data, aside.open("wb") as out:
                while piece := data.read(_CHUNK):  # the last one checks the CRC
                    length += out.write(piece)
        except _GARBAGE as error:
            raise _broken(archive, str(error)) from None
        if length != member.file_size:
            name = ascii(member.filename)
            raise _broken(archive, f"{name} has not the {member.file_size} bytes it should have")
    return path


def _lies_there(member: zipfile.ZipInfo, path: Path) -> bool:
    if not path.is_file() or path.stat().st_size != member.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while piece := file.read(_CHUNK):
            crc = zlib.crc32(piece, crc)
    return crc == member.CRC
