"""What downloads of all publishers have in common."""

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

from probunet.errors import ProbunetError
from probunet.fetch.local import LICENCE
from probunet.fetch.matching import series_of
from probunet.files import written_whole
from probunet.manifest import LeftOut, Manifest, SliceFile, count_reasons
from probunet.outlines import Scan, read_lesions, read_outlined, read_scans

_EVERY = 30.0  # seconds between two lines of a log
_LOOK_UP = 0.5  # seconds
_T = TypeVar("_T")
_R = TypeVar("_R")

_log = logging.getLogger(__name__)


def wanted_series(patients: int | None) -> dict[str, tuple[Scan, list[float]]]:
    """Return the series that have outlines, each with the z of its outlined slices.

    Parameters
    ----------
    patients
        Those of the first so many patients in order of their ids; all if None.
    """
    scans = read_scans()
    outlined = [scans[series] for series in read_outlined()]
    ids = set(sorted({scan.patient for scan in outlined})[:patients])
    found = [scan for scan in outlined if scan.patient in ids]
    found.sort(key=lambda scan: (scan.patient, scan.series))
    lesions = read_lesions([scan.series for scan in found])
    return {scan.series: (scan, sorted({le.z for le in lesions[scan.series]})) for scan in found}


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
    """Return `function` of each item in order; the first error ends it.

    Parameters
    ----------
    function
        What to do with an item.
    items
        The items.
    threads
        How many may be under way.
    stop
        Called at an error, or when the user stops the program, so that no thread waits longer.
    """
    with ThreadPoolExecutor(threads) as pool:
        try:
            found = [pool.submit(function, item) for item in items]
            waiting = set(found)
            while waiting:  # with a look at signals now and then, which may reach another thread
                done, waiting = wait(waiting, _LOOK_UP, FIRST_EXCEPTION)
                for future in done:
                    future.result()
            return [future.result() for future in found]
        except BaseException:
            stop()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def check_space(folder: Path, needed: int) -> None:
    """Raise an error if the folder cannot be made or its disk cannot take so many bytes."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
        writable = os.access(folder, os.W_OK)
    except OSError as error:
        raise ProbunetError(f"{folder}: cannot be written ({error.strerror}).") from None
    if not writable:
        raise ProbunetError(f"{folder}: cannot be written; choose another folder.")
    if needed > free:
        raise ProbunetError(
            f"{folder}: {needed / 1e9:.1f} GB are still to come, and the disk has "
            f"{free / 1e9:.1f} GB left. Free some space, or name another folder "
            "(`paths.data` in config.yaml)."
        )


def write_licence(folder: Path, text: str) -> None:
    """Write a data set's licence, or where it stands, beside its folder."""
    with written_whole(folder.with_name(f"{folder.name}.LICENCE.txt")) as aside:
        aside.write_text(text.rstrip() + "\n")


def root_of(folder: Path, manifest: Path) -> str:
    """Return a manifest's root: relative where possible, so that the data can be moved."""
    root, beside = folder.resolve(), manifest.parent.resolve()
    return str(root.relative_to(beside) if root.is_relative_to(beside) else root)


def write_listing(
    folder: Path, manifest: Path, source: str, entries: list[tuple[Scan, SliceFile | LeftOut]]
) -> Manifest:
    """Write the manifest of LIDC-IDRI's slices in a folder, tell what it lacks, and return it."""
    made = Manifest(
        dataset="lidc",
        source=source,
        synthetic=False,
        root=root_of(folder, manifest),
        licence=LICENCE,
        series=series_of(entries),
        left_out=tuple(entry for _, entry in entries if isinstance(entry, LeftOut)),
    )
    made.write(manifest)
    slices = sum(len(series.slices) for series in made.series)
    _log.info("%s: %d slices with outlines of %d series", folder, slices, len(made.series))
    for reason, count in count_reasons(made.left_out).items():
        first = next(item for item in made.left_out if item.reason == reason)
        _log.warning("LIDC-IDRI: left out %d: %s; first %s", count, first.why, first.place)
    return Manifest.read(manifest)


class Progress:
    """Objects, bytes, rate and time left: a bar on a terminal, a line now and then in a log."""

    def __init__(self, told: str, expected: int) -> None:
        self._told, self._expected = told, expected
        self._objects = self._bytes = 0
        self._begun = self._last = time.monotonic()
        self._lock = threading.Lock()
        self._bar = tqdm(total=expected, desc=told, unit="B", unit_scale=True, disable=None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()
        if self._objects:
            _log.info("%s: %s", self._told, self._line())

    def add(self, count: int, objects: int = 1) -> None:
        """Count so many bytes of so many objects; may be called by any thread."""
        with self._lock:
            self._objects += objects
            self._bytes += count
            self._bar.set_postfix_str(f"{self._objects} objects", refresh=False)
            self._bar.update(count)
            if self._bar.disable and time.monotonic() - self._last > _EVERY:
                self._last = time.monotonic()
                _log.info("%s: %s", self._told, self._line())

    def _line(self) -> str:
        seconds = max(time.monotonic() - self._begun, 1e-3)
        rate = self._bytes / seconds
        left = max(0, self._expected - self._bytes)
        line = f"{self._objects} objects, {self._bytes / 1e6:.1f} MB, {rate / 1e6:.1f} MB/s"
        return f"{line}, {left / rate / 60:.0f} min left" if left and rate else line
