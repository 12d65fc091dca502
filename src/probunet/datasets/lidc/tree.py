"""Find the files of each CT series in a folder tree.

Download tools name folders and files differently, so a file is identified by its header. Names are
used only in a folder where no header can be read.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NoReturn

from probunet.datasets.lidc.dicom import read_dataset, read_header
from probunet.datasets.lidc.manifest import Reason
from probunet.datasets.lidc.outlines import Scan
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from probunet.memory import raise_if_memory_lacks
from probunet.workers import in_processes

ADVICE = "give the folder that holds your LIDC-IDRI slices"

_FILES_PER_PROCESS = 1000


@dataclass(frozen=True)
class DicomFile:
    """What a file's header says; with a `reason` if it is not a usable slice."""

    path: Path
    series: str | None = None
    z: float | None = None  # mm
    reason: Reason | None = None
    detail: str = ""
    instance: str = ""  # SOPInstanceUID, the same in copies; empty if it is absent


@dataclass(frozen=True)
class Tree:
    """The wanted series of a tree, each with all files of its folders."""

    files: Mapping[str, list[DicomFile]]
    patients: int  # in the tree, wanted or not


def read_tree(
    root: Path, scans: Mapping[str, Scan], patients: int | None, processes: int | None
) -> Tree:
    """Return the files of those series of `scans` that are below `root`.

    To save time, three headers identify the series of a folder; all are read if these disagree, or
    if the series is wanted: if its patient is among the first `patients`, ordered by id.

    Raises
    ------
    ProbunetError
        If a folder or file cannot be read, or the tree holds none of the series.
    """
    known: dict[Path, DicomFile] = {}

    def read(paths: list[Path], label: str) -> None:
        unknown = [path for path in paths if path not in known]
        for file in in_processes(look, unknown, processes, label, _FILES_PER_PROCESS):
            known[file.path] = file

    folders = _candidates(root)
    read([path for paths in folders.values() for path in _three_of(paths)], "identifying folders")
    pure = {folder: _only_series(known, paths) for folder, paths in folders.items()}
    mixed = [path for folder, series in pure.items() if series is None for path in folders[folder]]
    read(mixed, "identifying files")

    series_in = {
        folder: {series} if series else _all_series(folder, known, folders[folder], scans)
        for folder, series in pure.items()
    }
    present = scans.keys() & set().union(*series_in.values())
    if not present:
        _raise_no_series(root, list(known.values()))
    ids = sorted({scans[series].patient for series in present})
    wanted = {series for series in present if scans[series].patient in ids[:patients]}

    chosen = [folder for folder in folders if series_in[folder] & wanted]
    read([path for folder in chosen for path in folders[folder]], "reading headers")
    files: dict[str, list[DicomFile]] = defaultdict(list)
    for folder in chosen:
        for series in series_in[folder] & wanted:
            files[series] += [known[path] for path in folders[folder]]
    return Tree(files, len(ids))


def look(path: Path, beginning: BytesIO | None = None, truncated: bool = False) -> DicomFile:
    """Return what the header of a file says, or its first bytes, which may end within it."""
    try:
        header = read_header(beginning or path, truncated=truncated)
    except BadFileError as error:
        series, z = _series_and_z(beginning or path)
        if series is None and error.reason is Reason.GEOMETRY:
            return DicomFile(path, None, z, Reason.TRUNCATED, "no series UID in its header")
        return DicomFile(path, series, z, Reason(error.reason), error.detail)
    return DicomFile(path, header.series, header.z, instance=header.instance)


def _series_and_z(file: Path | BytesIO) -> tuple[str | None, float | None]:
    """Return series and z of an unusable slice, as far as they can be read."""
    series = None
    try:
        dataset = read_dataset(file, defer_size=None)
        series = str(dataset.SeriesInstanceUID)
        return series, float(dataset.ImagePositionPatient[2])
    except Exception as error:  # the reason why it is unusable is known already
        raise_if_memory_lacks(error)
        return series, None


def _candidates(root: Path) -> dict[Path, list[Path]]:
    """Return the files that may be DICOM by their names, in order, by folder."""

    def fail(error: OSError) -> NoReturn:
        raise ProbunetError(f"{error.filename}: cannot be read ({error.strerror}).")

    folders: dict[Path, list[Path]] = {}
    seen: set[Path] = set()  # links may form loops
    for name, below, names in os.walk(root, followlinks=True, onerror=fail):
        folder = Path(name)
        if (real := folder.resolve()) in seen:
            below.clear()
            continue
        seen.add(real)
        below.sort()
        if paths := [folder / name for name in sorted(names) if _may_be_dicom(name)]:
            folders[folder] = paths
    if not folders:
        raise ProbunetError(f"{root}: no DICOM file in it; {ADVICE}.")
    return folders


def _may_be_dicom(name: str) -> bool:
    """Return whether a name has no suffix, .dcm, or digits (of a UID or a z) as its suffix."""
    suffix = Path(name).suffix.lower()
    return not name.startswith(".") and (suffix in ("", ".dcm") or suffix[1:].isdigit())


def _three_of(paths: list[Path]) -> set[Path]:
    return {paths[0], paths[len(paths) // 2], paths[-1]}


def _only_series(known: Mapping[Path, DicomFile], paths: list[Path]) -> str | None:
    """Return the series of a folder's three files if they agree."""
    several = {known[path].series for path in _three_of(paths)}
    return several.pop() if len(several) == 1 else None


def _all_series(
    folder: Path, known: Mapping[Path, DicomFile], paths: list[Path], scans: Mapping[str, Scan]
) -> set[str]:
    """Return all series of a folder, or the one in its path if no header can be read."""
    several = {series for path in paths if (series := known[path].series) is not None}
    if several:
        return several
    named = scans.keys() & set(folder.parts)
    if not named:
        of_patient = {scan.patient: series for series, scan in sorted(scans.items(), reverse=True)}
        named = {of_patient[part] for part in folder.parts if part in of_patient}
    return named


def _raise_no_series(root: Path, files: list[DicomFile]) -> NoReturn:
    """Raise an error that names what the tree holds instead."""
    series = Counter(file.series for file in files if file.series is not None)
    bad = Counter(str(file.reason) for file in files if file.series is None)
    found = [f"{len(series)} series ({', '.join(list(series)[:2])}, ...)"] if series else []
    found += [f"{count} files: {reason}" for reason, count in bad.most_common()]
    raise ProbunetError(
        f"{root}: holds no CT series of LIDC-IDRI with outlines; the files examined are: "
        f"{'; '.join(found)}. Give the folder that holds your LIDC-IDRI slices."
    )
