"""Threads, progress, disk space and licence files for downloads from any publisher."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Self, TypeVar

from tqdm import tqdm

from probunet.errors import ProbunetError
from probunet.files import check_links, written_whole

_LOG_INTERVAL = 30.0  # seconds
_SIGNAL_INTERVAL = 0.5  # seconds
_T = TypeVar("_T")
_R = TypeVar("_R")

_log = logging.getLogger(__name__)


def share_of(items: Sequence[_T], part: tuple[int, int] | None) -> list[_T]:
    """Return part i of n parts, counted from 0; all items if None."""
    number, parts = part or (0, 1)
    return list(items[number::parts])


def in_threads(
    function: Callable[[_T], _R],
    items: Sequence[_T],
    threads: int,
    stop: Callable[[], None] = lambda: None,
) -> list[_R]:
    """Return `function(item)` of each item, in order, on `threads` threads; raise the first error.

    At an error or Ctrl+C, `stop` is called: it must end the waits of the other threads.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            futures = [pool.submit(function, item) for item in items]
            pending = set(futures)
            while pending:  # returns now and then, so that Python can handle signals
                done, pending = wait(pending, _SIGNAL_INTERVAL, FIRST_EXCEPTION)
                for future in done:
                    future.result()
            return [future.result() for future in futures]
        except BaseException:
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_space(folder: Path, needed: int) -> None:
    """Raise an error if the folder cannot be written or its disk has less than `needed` bytes."""
    try:
        check_links(folder)
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise ProbunetError(f"{folder}: cannot be written ({error.strerror}).") from None
    if not writable:
        raise ProbunetError(f"{folder}: cannot be written; choose another folder.")
    if needed > free:
        raise ProbunetError(
            f"{folder}: the download needs {needed / 1e9:.1f} GB more, and the disk has "
            f"{free / 1e9:.1f} GB left. Free some space, or choose another folder "
            "(`paths.data` in the configuration)."
        )


def write_licence(folder: Path, text: str) -> None:
    """Write a data set's licence, or a reference to it, beside its folder."""
    with written_whole(folder.with_name(f"{folder.name}.LICENCE.txt")) as aside:
        aside.write_text(text.rstrip() + "\n", encoding="utf-8")


def root_of(folder: Path, manifest: Path) -> str:
    """Return a manifest's root: relative where possible, so that the data can be moved."""
    root, beside = folder.resolve(), manifest.parent.resolve()
    return str(root.relative_to(beside) if root.is_relative_to(beside) else root)


class Progress:
    """Progress of a download: a bar on a terminal, else a log line every 30 seconds."""

    def __init__(self, label: str, expected: int) -> None:
        self._label, self._expected = label, expected
        self._objects = self._bytes = 0
        self._start = self._logged = time.monotonic()
        self._lock = threading.Lock()
        self._bar = tqdm(total=expected, desc=label, unit="B", unit_scale=True, disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._objects:
            _log.info("%s: %s", self._label, self._line())

    def add(self, count: int, objects: int = 1) -> None:
        """Add `count` bytes and a number of objects; any thread may call it."""
        with self._lock:
            self._objects += objects
            self._bytes += count
            self._bar.set_postfix_str(f"{self._objects} objects", refresh=False)
            self._bar.update(count)
            if self._bar.disable and time.monotonic() - self._logged > _LOG_INTERVAL:
                self._logged = time.monotonic()
                _log.info("%s: %s", self._label, self._line())

    def _line(self) -> str:
        rate = self._bytes / max(time.monotonic() - self._start, 1e-3)
        left = max(0, self._expected - self._bytes)
        line = f"{self._objects} objects, {self._bytes / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s"
        return f"{line}, {left / rate / 60:.0f} min left" if left and rate else line
