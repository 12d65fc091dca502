"""Whole or absent: files and folders are written aside, flushed, and renamed."""

import errno
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probunet.errors import ProbunetError


@contextmanager
def written_whole(path: Path, lasting: bool = True) -> Iterator[Path]:
    """Yield a path aside of `path`; on success it takes `path`'s place, on failure it is removed.

    Serves files and folders alike. What a killed process left aside is removed by the next one.

    Parameters
    ----------
    path
        The file or folder to write.
    lasting
        Whether it must survive a power cut as it is. What is checked before it is used need not.

    Raises
    ------
    ProbunetError
        If the disk is full or the folder cannot be written.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(aside)
        yield aside
        if lasting:
            _flush(aside)
        if aside.is_dir():
            remove(path)  # a folder cannot be renamed over another
        aside.replace(path)
        if lasting:
            _flush_entry(path.parent)
    except OSError as error:
        remove(aside)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ProbunetError(
                f"{path}: the disk or quota is full; nothing was left behind. "
                "Free some space and run the same command again."
            ) from error
        if error.errno in (errno.EACCES, errno.EROFS):
            raise ProbunetError(f"{path}: cannot be written ({error.strerror}).") from error
        raise
    except BaseException:
        remove(aside)
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the only right to write `path`; the system releases it however the process ends.

    Raises
    ------
    ProbunetError
        If another process holds it, or its folder cannot be written.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = lock.open("w")
    except OSError as error:
        raise ProbunetError(f"{path}: cannot be written ({error.strerror}).") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ProbunetError(
                f"{path}: another process is writing here; wait for it to end or stop it."
            ) from None
        yield


def remove(path: Path) -> None:
    """Remove a file or a folder with all that is in it, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the file's sha256 as hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _flush(path: Path) -> None:
    for entry in (path, *path.rglob("*")) if path.is_dir() else (path,):
        _flush_entry(entry)


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
