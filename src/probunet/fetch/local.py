"""An existing LIDC-IDRI tree: checked and listed; never copied, never written to."""

import logging
import os
from functools import partial
from pathlib import Path

from probunet.dicom import Z_TOLERANCE, BadSliceError, read_slice
from probunet.errors import ProbunetError
from probunet.fetch.tree import DicomFile, in_processes, read_tree
from probunet.files import locked, sha256
from probunet.manifest import LeftOut, Manifest, Reason, Series, SliceFile, count_reasons
from probunet.outlines import Scan, read_lesions, read_scans

LICENCE = "CC BY 3.0, The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2015.LO9QL9SX"

_SHOWN = 3  # names in a detail

_log = logging.getLogger(__name__)


def fetch_local(
    tree: Path, manifest: Path, patients: int | None = None, workers: int | None = None
) -> Manifest:
    """List a tree's slices with outlines, each read and hashed, and what had to be left out.

    Parameters
    ----------
    tree
        The folder that holds the DICOM files, searched in depth. A part of LIDC-IDRI will do.
    manifest
        Where to write the manifest.
    patients
        The first so many patients of the tree in order of their ids; all if None.
    workers
        Processes that read files; as many as there are processors if None.

    Raises
    ------
    ProbunetError
        If the tree is not there or cannot be read, none of its series has outlines, or another
        process writes the same manifest.
    """
    if not tree.is_dir():
        state = "not a folder" if tree.exists() else "no such folder"
        raise ProbunetError(f"{tree}: {state}; give the folder that holds your LIDC-IDRI slices.")
    with locked(manifest):
        made = _list(tree.resolve(), patients, workers or len(os.sched_getaffinity(0)))
        made.write(manifest)
    _tell(tree, made)
    return Manifest.read(manifest)


def _list(root: Path, patients: int | None, processes: int) -> Manifest:
    """Return the manifest of what lies below `root`."""
    lesions, scans = read_lesions(), read_scans()
    found = read_tree(root, {series: scans[series] for series in lesions}, patients, processes)
    matches: list[_Match] = []
    for series in sorted(found.files, key=lambda uid: (scans[uid].patient, uid)):
        zs = sorted({lesion.z for lesion in lesions[series]})
        matches += _matched(scans[series], zs, found.files[series])
    entries = in_processes(partial(_checked, root), matches, processes, "checking slices")
    return Manifest(
        dataset="lidc",
        source="local",
        synthetic=False,
        root=str(root),
        licence=LICENCE,
        series=_listed(entries),
        left_out=tuple(entry for _, entry in entries if isinstance(entry, LeftOut)),
        absent_patients=len({scans[series].patient for series in lesions}) - found.patients,
    )


# a series, an outline's z, and the file that holds the slice or tells why there is none
_Match = tuple[Scan, float, DicomFile]


def _matched(scan: Scan, zs: list[float], files: list[DicomFile]) -> list[_Match]:
    """Return for each outline's z the file of its slice, or one that tells why there is none."""
    slices = [file for file in files if file.series == scan.series and file.reason is None]
    others = [file for file in files if file.series != scan.series or file.reason is not None]
    matches, lacking = [], []
    for z in zs:
        here = [file for file in slices if _at(file, z)]
        if len(here) > 1:
            names = ", ".join(file.path.name for file in here)
            twice = DicomFile(here[0].path, scan.series, z, Reason.DUPLICATE_Z, names)
            matches.append((scan, z, twice))
        elif here:
            matches.append((scan, z, here[0]))
        else:
            lacking.append(z)
    return sorted(matches + _explained(scan, lacking, others), key=lambda match: match[1])


def _explained(scan: Scan, zs: list[float], others: list[DicomFile]) -> list[_Match]:
    """Return why these z have no slice, as far as the other files in the folder tell.

    A file whose z cannot be read is taken for the missing slice where there is just one of either.
    """
    matches, unclear = [], []
    for z in zs:
        here = [file for file in others if _at(file, z)]
        if here:
            matches.append((scan, z, _told_by(here[0], scan)))
        else:
            unclear.append(z)
    unread = [file for file in others if file.z is None and file.series in (None, scan.series)]
    # a name without .dcm promises nothing: a licence, an index of the folder
    unread = [
        file
        for file in unread
        if file.path.suffix.lower() == ".dcm" or file.reason is not Reason.NOT_DICOM
    ]
    if len(unclear) == len(unread) == 1:
        return [*matches, (scan, unclear[0], unread[0])]
    names = ", ".join(f"{file.path.name}: {file.reason}" for file in unread[:_SHOWN])
    more = f" and {len(unread) - _SHOWN} more" if len(unread) > _SHOWN else ""
    detail = f"beside it {names}{more}" if unread else ""
    missing = DicomFile(Path(), scan.series, None, Reason.MISSING, detail)
    return matches + [(scan, z, missing) for z in unclear]


def _told_by(file: DicomFile, scan: Scan) -> DicomFile:
    """Return the file with the reason why it is not the slice of this series."""
    if file.series in (None, scan.series):
        return file
    detail = f"{file.series} instead of {scan.series}"
    return DicomFile(file.path, file.series, file.z, Reason.WRONG_SERIES, detail)


def _checked(root: Path, match: _Match) -> tuple[Scan, SliceFile | LeftOut]:
    """Return the manifest's entry of a slice, after reading all of it."""
    scan, z, file = match
    reason, detail = file.reason, file.detail
    if reason is None:
        try:
            header, _ = read_slice(file.path, scan.series)
        except BadSliceError as error:
            reason, detail = error.reason, error.detail
    if reason is not None:
        path = None if reason is Reason.MISSING else str(file.path.relative_to(root))
        return scan, LeftOut(
            patient=scan.patient, series=scan.series, z=z, reason=reason, path=path, detail=detail
        )
    return scan, SliceFile(
        path=str(file.path.relative_to(root)),
        z=header.z,
        bytes=file.path.stat().st_size,
        sha256=sha256(file.path),
    )


def _listed(entries: list[tuple[Scan, SliceFile | LeftOut]]) -> tuple[Series, ...]:
    """Return the series with their usable slices; one that has none is listed without."""
    slices: dict[str, list[SliceFile]] = {scan.series: [] for scan, _ in entries}
    for scan, entry in entries:
        if isinstance(entry, SliceFile):
            slices[scan.series].append(entry)
    patients = {scan.series: scan.patient for scan, _ in entries}
    return tuple(
        Series(patient=patients[uid], series=uid, outlines_of=uid, slices=tuple(slices[uid]))
        for uid in slices
    )


def _at(file: DicomFile, z: float) -> bool:
    return file.z is not None and abs(file.z - z) <= Z_TOLERANCE


def _tell(tree: Path, made: Manifest) -> None:
    slices = sum(len(series.slices) for series in made.series)
    patients = len({series.patient for series in made.series})
    _log.info(
        "%s: %d slices with outlines of %d patients; %d patients of LIDC-IDRI with outlines are "
        "not in the tree",
        tree,
        slices,
        patients,
        made.absent_patients,
    )
    for reason, count in count_reasons(made.left_out).items():
        _log.warning("%s: left out %d: %s", tree, count, reason)
