"""Raw files of a data set: their manifest entries, and what to do if one cannot be used."""

import hashlib
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from probunet.errors import ProbunetError, printable
from probunet.files import check_links, dangling_link, dangling_links
from probunet.limits import read_regular
from probunet.manifest import Entry, Unusable, count_reasons

_LOGGED = 10  # files per reason that a log names

Content = bytes  # `RawFile.bytes` hides the type

_log = logging.getLogger(__name__)


class BadFileError(Exception):
    """A file that cannot be used: the reason, a detail, and the path where it is known."""

    def __init__(self, reason: StrEnum, detail: str = "", path: str | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason, self.path = reason, path
        self.detail = printable(detail, most=500)  # a decoder's words can be the file's

    def entry(self, path: str | None = None) -> dict[str, Any]:
        """Return reason, path (`path` if the error has none) and detail for `Unusable`."""
        return {"reason": self.reason, "path": self.path or path, "detail": self.detail}


@contextmanager
def reading(path: str | None) -> Iterator[None]:
    """Add the path to a BadFileError that has none."""
    try:
        yield
    except BadFileError as error:
        error.path = error.path or path
        raise


class MissingFileError(ProbunetError):
    """There is no such file."""


class RawFile(Entry):
    """A file of a manifest; `path` is relative to the manifest's root."""

    path: str
    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: str, content: Content) -> Self:
        """Return the entry of a file with this content."""
        return cls(path=path, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    def read(self, root: Path, changed: StrEnum) -> Content:
        """Return the file's content.

        Raises
        ------
        BadFileError
            With the reason `changed` if the file differs from its entry.
        ProbunetError
            If it cannot be read.
        """
        try:
            content = read_content(root / self.path)
        except MissingFileError:
            raise BadFileError(changed, "is gone", self.path) from None
        if len(content) != self.bytes:
            detail = f"{len(content)} bytes instead of {self.bytes}"
            raise BadFileError(changed, detail, self.path)
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise BadFileError(changed, "has another sha256", self.path)
        return content


def read_content(path: Path) -> bytes:
    """Return a regular file's content; raise MissingFileError or ProbunetError if it cannot be."""
    try:
        return read_regular(path)
    except ValueError:
        raise ProbunetError(f"{path}: cannot be read; no file's name can contain NUL.") from None
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError)
        kind = MissingFileError if missing else ProbunetError
        problem = dangling_link(path) if missing else None
        raise kind(problem or f"{path}: cannot be read ({error.strerror}).") from None


def check_folder(folder: Path, advice: str) -> None:
    """Raise ProbunetError with the advice unless `folder` is a folder.

    A warning counts the links in it whose target does not exist, and names the first.
    """
    if not folder.is_dir():
        check_links(folder)
        state = "not a folder" if folder.exists() else "no such folder"
        raise ProbunetError(f"{folder}: {state}; {advice}.")
    if dangling := dangling_links(folder):
        _log.warning(
            "%s: %d links in it lead to nothing and are left out; the first: %s",
            folder,
            len(dangling),
            dangling_link(dangling[0]),
        )


def log_left_out(where: object, left_out: Sequence[Unusable]) -> None:
    """Log how many were left out for each reason, then a few files of each."""
    counts = count_reasons(left_out)
    if counts:
        told = "; ".join(f"{reason}: {count}" for reason, count in counts.items())
        _log.warning("%s: %d cannot be used: %s", where, len(left_out), told)
    for reason in counts:
        items = [item for item in left_out if item.reason == reason]
        for item in items[:_LOGGED]:
            _log.warning("%s: left out: %s: %s", where, printable(item.place), item.why)
        if len(items) > _LOGGED:
            _log.warning("%s: left out: and %d more: %s", where, len(items) - _LOGGED, reason)
