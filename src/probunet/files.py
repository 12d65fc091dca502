"""Atomic writes: an interrupted job leaves no incomplete file or folder under its final name."""

import errno
import fcntl
import hashlib
import logging
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from pathlib import Path
from typing import IO, Any

from probunet.errors import ProbunetError

logger = logging.getLogger(__name__)

# what a file system answers that does not have a function at all
_NO_LOCKS = frozenset({errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
_SPECIAL = frozenset({errno.ELOOP, errno.EMLINK, errno.ENXIO})  # a link, or a pipe without reader
_NO_FSYNC = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP})
# of a folder, some file systems refuse it with these
_NO_FOLDER_FSYNC = _NO_FSYNC | {
    errno.EACCES,
    errno.EPERM,
    errno.EBADF,
    errno.EISDIR,
    errno.EROFS,
}
_warned: set[str] = set()  # kinds of warnings that this process has given


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
    check_links(path.parent)
    aside = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove(aside)
        yield aside
        if lasting:
            for entry in (aside, *aside.rglob("*")) if aside.is_dir() else (aside,):
                _flush_path(entry)
        if aside.is_dir():
            remove(path)  # a folder cannot be renamed to an existing one
        aside.replace(path)
        if lasting:
            _flush_path(path.parent)
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

    On a file system without locks nothing is held, and a warning says so.

    Raises
    ------
    ProbunetError
        If another process holds the lock, or the folder cannot be written.
    """
    check_links(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = open_own(lock, "a+")
    except OSError as error:
        raise ProbunetError(f"{path}: cannot be written ({error.strerror}).") from None
    with handle:
        try:
            held = try_lock(handle)
        except OSError as error:
            raise ProbunetError(f"{path}: cannot be locked ({error.strerror}).") from None
        if held is False:
            raise ProbunetError(
                f"{path}: another process is writing here; wait for it to end or stop it."
            )
        yield


def open_own(path: Path, mode: str) -> IO[Any]:
    """Open a file of a fixed name to lock it or to add to it; `mode` is a, a+ or ab.

    Anybody who can write to the folder can put a link, a pipe or a device in its place: what a
    link leads to stays as it is.

    Raises
    ------
    ProbunetError
        If a link or another special file is in its place.
    """

    def opener(name: str, flags: int) -> int:
        # without O_NONBLOCK, a pipe that nobody reads is waited for
        descriptor = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.ENXIO, "not a regular file")
        return descriptor

    encoding = None if "b" in mode else "utf-8"
    try:
        return open(path, mode, encoding=encoding, opener=opener)
    except OSError as error:
        if error.errno not in _SPECIAL:
            raise
        raise ProbunetError(
            f"{path}: is a link or another special file, not a regular file; remove it."
        ) from None


def try_lock(handle: IO[Any]) -> bool | None:
    """Lock an open file until it is closed, and return whether that succeeded.

    False means that another process holds the lock; None that the file system has no locks, of
    which the first call warns.
    """
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
        _warn_once(
            "locks",
            f"{Path(handle.name).parent}: this file system has no locks ({error.strerror}), so "
            "nothing refuses a second process that writes the same files; start only one.",
        )
        return None
    return True


def flush(handle: int | IO[Any], path: Path) -> None:
    """Flush an open file, `path`, to disk; warn once if its file system cannot."""
    with _flushing(path, _NO_FSYNC):
        os.fsync(handle)


def check_links(path: Path) -> None:
    """Raise ProbunetError if `path`, or a folder on the way to it, is a link without its target."""
    if problem := dangling_link(path):
        raise ProbunetError(problem)


def dangling_link(path: Path) -> str | None:
    """Return a sentence about the link without its target on the way to `path`; None without."""
    for part in (*reversed(path.parents), path):
        if is_link(part) and not exists(part):
            return (
                f"{part}: is a link to {part.readlink()}, which does not exist or cannot be seen "
                "from here. Create it or correct the link; for a step in a container, add the "
                "folder to APPTAINER_BIND."
            )
    return None


def dangling_links(folder: Path) -> list[Path]:
    """Return the links in a folder, at any depth, whose target does not exist."""
    return sorted(link for link in links_below(folder) if not exists(link))


def links_below(folder: Path) -> Iterator[Path]:
    """Yield the links in a folder, at any depth; links to folders are followed.

    Folders that cannot be listed are passed over, and so are stores: they hold no links.
    """
    waiting, seen = [str(folder)], {os.path.realpath(folder)}
    while waiting:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                path, real = Path(entry.path), entry.path
                is_folder = entry.is_dir(follow_symlinks=False)
                if entry.is_symlink():
                    yield path
                    real = os.path.realpath(path)
                    is_folder = exists(path) and path.is_dir()
                if is_folder and real not in seen and path.suffix != ".zarr":
                    seen.add(real)
                    waiting.append(entry.path)


def exists(path: Path) -> bool:
    """Return whether a path exists and can be seen from here; `Path.exists` can raise an error."""
    return os.path.exists(path)  # noqa: PTH110


def is_link(path: Path) -> bool:
    """Return whether a path is a link that can be seen; `Path.is_symlink` can raise an error."""
    return os.path.islink(path)  # noqa: PTH114


def remove(path: Path) -> None:
    """Remove a file, or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def read_file(path: Path, missing: str, most: int = 2**30) -> bytes:
    """Return the content of a file that one of our commands wrote.

    Parameters
    ----------
    missing
        What to say, after the path, if there is no such file.
    most
        Bytes; a larger file is refused before it is read.

    Raises
    ------
    ProbunetError
        If it is missing, no regular file, too large, or cannot be read.
    """
    if check_regular(path, missing) > most:
        raise ProbunetError(
            f"{path}: is larger than {most} bytes, and such a file never is; replace it by the "
            "right one."
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise ProbunetError(f"{path}: cannot be read ({error.strerror}).") from None


def check_regular(path: Path, missing: str) -> int:
    """Return the size of a file in bytes; raise ProbunetError if it is missing or not regular.

    A pipe would be waited for, and a device can be endless. `missing` is what to say, after the
    path, if there is no such file.
    """
    check_links(path)
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ProbunetError(f"{path}: {missing}") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise ProbunetError(f"{path}: cannot be read ({reason}).") from None
    if not stat.S_ISREG(found.st_mode):
        raise ProbunetError(f"{path}: is not a regular file; replace it by one.")
    return found.st_size


def link_or_copy(file: Path, target: Path) -> None:
    """Make `target` a second name of a file, or a copy where its file system allows no links."""
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)


def sha256(path: Path) -> str:
    """Return the file's sha256 as hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _warn_once(kind: str, text: str) -> None:
    """Log the first warning of a kind in this process; a process that starts workers speaks."""
    if kind not in _warned and parent_process() is None:
        _warned.add(kind)
        logger.warning("%s", text)


def _flush_path(path: Path) -> None:
    with _flushing(path, _NO_FOLDER_FSYNC if path.is_dir() else _NO_FSYNC):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def _flushing(path: Path, codes: frozenset[int]) -> Iterator[None]:
    """Warn once if the code inside fails with an error that means: no flush on this file system."""
    try:
        yield
    except OSError as error:
        if error.errno not in codes:
            raise
        _warn_once(
            "flush",
            f"{path}: this file system cannot flush files or folders to disk ({error.strerror}): "
            "what was written last can be lost in a power failure.",
        )
