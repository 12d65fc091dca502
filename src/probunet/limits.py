"""Limits on what a foreign file or server can make this program read, unpack and keep in memory.

A damaged or hostile file can declare any size, and packed data can grow a thousandfold. So sizes
are compared with the file's before memory is allocated, and only regular files are opened.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import FailFast

LARGEST_FILE = 2**33  # bytes of a file that is read as a whole
LARGEST_DICOM = 2**26  # bytes that a deflated slice unpacks to; a real one has 530 kB
LARGEST_PAGE = 2**22  # bytes of a page or list from a server; a list of 1000 slices has 400 kB
LARGEST_OBJECT = 2**24  # bytes of a file that a server sends into memory; a CT slice has 530 kB
MOST_PAGES = 10_000  # pictures in one file
MOST_ROWS = 1_000_000  # lines of a table of images
LARGEST_TABLE = 2**27  # bytes of such a table

# values (pixels times channels) that a file may hold
ALWAYS = 2**24  # whatever its size: 4096 x 4096 pixels
PACKED = 2**28  # if it is packed as empty masks are: 512 x 512 x 1024 voxels
_PER_BYTE_PACKED = 10_000  # deflate reaches 1032 bytes a byte, of 8 pixels each
_PER_BYTE = 50  # any larger file: CT reaches 4, photographs 30

_T = TypeVar("_T")

# a list in a file; only its first fault is reported, because a million of them take a gigabyte
Many = Annotated[tuple[_T, ...], FailFast()]


def excess(values: int, size: int) -> str | None:
    """Return why a file of `size` bytes may not hold so many values; None if it may.

    >>> excess(512 * 512 * 700, 180_000), excess(40_000 * 40_000, 200_000_000)
    (None, None)
    >>> excess(40_000 * 40_000, 1_600_000)
    '1,600,000,000 values in 1,600,000 bytes; save it with less compression, or in smaller parts'
    """
    if values <= max(ALWAYS, min(PACKED, _PER_BYTE_PACKED * size), _PER_BYTE * size):
        return None
    return (
        f"{values:,} values in {size:,} bytes; save it with less compression, or in smaller parts"
    )


def regular(path: str, flags: int) -> int:
    """Open a regular file, as the `opener` of `open`.

    Raises
    ------
    OSError
        If it cannot be opened, or is a folder, a pipe, a device or a socket.
    """
    descriptor = os.open(path, flags | os.O_NONBLOCK)  # a pipe without a writer does not wait
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    raise OSError(errno.EINVAL, "a pipe or device, not a regular file", path)


def read_regular(path: Path, most: int = LARGEST_FILE) -> bytes:
    """Return the content of a regular file, as it is now: a file that grows is not followed.

    Raises
    ------
    OSError
        If it cannot be read, is not a regular file, or has more than `most` bytes.
    """
    with open(path, "rb", opener=regular) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"{size:,} bytes; the most are {most:,}", str(path))
        return file.read(size)
