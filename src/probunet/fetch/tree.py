"""Which files of a folder tree belong to which CT series.

Folders and files are named differently by each download tool, so a file is what its header says.
Names serve only where not one header of a folder can be read.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn, TypeVar

import pydicom
from tqdm import tqdm

from probunet.dicom import BadSliceError, read_header
from probunet.errors import ProbunetError
from probunet.manifest import Reason
from probunet.outlines import Scan

_FILES_PER_PROCESS = 1000  # fewer are read before another process has started
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True)
class DicomFile:
    """What a file's header tells; with a `reason` if it is not a slice to use."""

    path: Path
    series: str | None = None
    z: float | None = None  # mm
    reason: Reason | None = None
    detail: str = ""


@dataclass(frozen=True)
class Tree:
    """The wanted series of a tree, each with all files of the folders that it lies in."""

    files: Mapping[str, list[DicomFile]]
    patients: int  # in the tree, wanted or not


def read_tree(root: Path, scans: Mapping[str, Scan], patients: int | None, processes: int) -> Tree:
    """Return the files of those series of `scans` that lie below `root`.

    Three headers tell which series a folder holds, so that folders of other series, or of
    patients that are not wanted, cost no more. Where the three do not agree, all are read.

    Parameters
    ----------
    root
        The tree's folder.
    scans
        The series to look for, by their UIDs.
    patients
        The first so many patients in order of their ids; all if None.
    processes
        How many processes may read.

    Raises
    ------
    ProbunetError
        If a folder or file cannot be read, or none of the series is there.
    """
    folders = _candidates(root)
    probes = [path for paths in folders.values() for path in _three_of(paths)]
    known = _read(probes, processes, "looking into folders")
    pure = {folder: _only_series(known, paths) for folder, paths in folders.items()}
    mixed = [path for folder, series in pure.items() if series is None for path in folders[folder]]
    known |= _read([path for path in mixed if path not in known], processes, "looking closer")

    series_in = {
        folder: {series} if series else _every_series(folder, known, folders[folder], scans)
        for folder, series in pure.items()
    }
    present = scans.keys() & set().union(*series_in.values())
    if not present:
        _refuse(root, list(known.values()))
    ids = sorted({scans[series].patient for series in present})
    wanted = {series for series in present if scans[series].patient in ids[:patients]}

    chosen = [folder for folder in folders if series_in[folder] & wanted]
    paths = [path for folder in chosen for path in folders[folder]]
    known |= _read([path for path in paths if path not in known], processes, "reading headers")
    files: dict[str, list[DicomFile]] = defaultdict(list)
    for folder in chosen:
        for series in series_in[folder] & wanted:
            files[series] += [known[path] for path in folders[folder]]
    return Tree(files, len(ids))


def in_processes(
    function: Callable[[_T], _R],
    items: list[_T],
    processes: int,
    told: str,
    per_process: int | None = None,
) -> list[_R]:
    """Return `function` of each item in order, with a progress bar on a terminal.

    There is one process more for every `per_process` items, which take it some seconds.
    """
    per_process = per_process or _FILES_PER_PROCESS
    processes = min(processes, 1 + len(items) // per_process)
    progress = tqdm(total=len(items), desc=told, unit="file", disable=None if items else True)
    results = []
    with progress:
        if processes == 1:
            for item in items:
                results.append(function(item))
                progress.update()
            return results
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for result in pool.map(function, items, chunksize=max(1, per_process // 20)):
                results.append(result)
                progress.update()
    return results


def _candidates(root: Path) -> dict[Path, list[Path]]:
    """Return the files that may be DICOM by their names, in order, by folder."""

    def refuse(error: OSError) -> NoReturn:
        raise ProbunetError(f"{error.filename}: cannot be read ({error.strerror}).")

    folders: dict[Path, list[Path]] = {}
    seen: set[Path] = set()  # links may lead in circles
    for name, below, names in os.walk(root, followlinks=True, onerror=refuse):
        folder = Path(name)
        if (real := folder.resolve()) in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        if paths := [folder / name for name in sorted(names) if _may_be_dicom(name)]:
            folders[folder] = paths
    if not folders:
        raise ProbunetError(
            f"{root}: no DICOM file in it; give the folder that holds your LIDC-IDRI slices."
        )
    return folders


def _may_be_dicom(name: str) -> bool:
    """Return whether it ends on .dcm or on nothing; what ends on digits is a UID or a z."""
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (suffix in ("", ".dcm") or suffix[1:].isdigit())


def _three_of(paths: list[Path]) -> set[Path]:
    return {paths[0], paths[len(paths) // 2], paths[-1]}


def _read(paths: list[Path], processes: int, told: str) -> dict[Path, DicomFile]:
    return {file.path: file for file in in_processes(look, paths, processes, told)}


def look(path: Path, beginning: BytesIO | None = None, cut: bool = False) -> DicomFile:
    """Return what the header of a file tells, or its beginning, which may be `cut` within it."""
    try:
        header = read_header(beginning or path, cut=cut)
    except BadSliceError as error:
        series, z = _all_the_same(beginning or path)
        if series is None and error.reason is Reason.GEOMETRY:
            return DicomFile(path, None, z, Reason.TRUNCATED, "no series UID in its header")
        return DicomFile(path, series, z, error.reason, error.detail)
    return DicomFile(path, header.series, header.z)


def _all_the_same(file: Path | BytesIO) -> tuple[str | None, float | None]:
    """Return series and z of a file that is no usable slice, where they can be read."""
    if isinstance(file, BytesIO):
        file.seek(0)
    try:
        dataset = pydicom.dcmread(file, stop_before_pixels=True)
        series = str(dataset.SeriesInstanceUID)
    except Exception:  # why it is not usable is known already
        return None, None
    try:
        return series, float(dataset.ImagePositionPatient[2])
    except Exception:
        return series, None


def _only_series(known: Mapping[Path, DicomFile], paths: list[Path]) -> str | None:
    """Return the series that a folder's three files agree on, if they do."""
    several = {known[path].series for path in _three_of(paths)}
    return several.pop() if len(several) == 1 else None


def _every_series(
    folder: Path, known: Mapping[Path, DicomFile], paths: list[Path], scans: Mapping[str, Scan]
) -> set[str]:
    """Return all series of a folder, or the one in its path's name if no header tells any."""
    several = {series for path in paths if (series := known[path].series) is not None}
    if several:
        return several
    named = scans.keys() & set(folder.parts)
    if not named:
        of_patient = {scan.patient: series for series, scan in sorted(scans.items(), reverse=True)}
        named = {of_patient[part] for part in folder.parts if part in of_patient}
    return named


def _refuse(root: Path, files: list[DicomFile]) -> NoReturn:
    """Tell what is there instead of a series with outlines."""
    series = Counter(file.series for file in files if file.series is not None)
    bad = Counter(str(file.reason) for file in files if file.series is None)
    found = [f"{len(series)} series ({', '.join(list(series)[:2])}, ...)"] if series else []
    found += [f"{count} files: {reason}" for reason, count in bad.most_common()]
    raise ProbunetError(
        f"{root}: holds no CT series of LIDC-IDRI with outlines; of the files looked at: "
        f"{'; '.join(found)}. Give the folder that holds your LIDC-IDRI slices."
    )
