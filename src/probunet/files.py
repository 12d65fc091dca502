"""Atomic writes: an interrupted job leaves no incomplete file or folder under its final name."""

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
    """Yield a temporary path for a file or folder; rename it to `path` on success, else remove it.

    A temporary file that a killed process left is removed by the next call.

    Parameters
    ----------
    path
        The file or folder to write.
    lasting
        Whether to flush the content to disk, so that it survives a power failure.

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
            for entry in (aside, *aside.rglob("*")) if aside.is_dir() else (aside,):
                _flush(entry)
        if aside.is_dir():
            remove(path)  # a folder cannot be renamed to an existing one
        aside.replace(path)
        if lasting:
            _flush(path.parent)
    except BaseException as error:
        remove(aside)
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ProbunetError(
                f"{path}: the disk or quota is full; nothing was left behind. "
                "Free some space and run the same command again."
            ) from error
        if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS):
            raise ProbunetError(f"{path}: cannot be written ({error.strerror}).") from error
        raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock for writing `path`; it ends with the process.

    Raises
    ------
    ProbunetError
        If another process holds the lock, or the folder cannot be written.
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
    """Remove a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the file's sha256 as hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
