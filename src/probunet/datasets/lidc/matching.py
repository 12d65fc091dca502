"""Find the file of each outlined slice, and check that it can be used."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from probunet.datasets.lidc.dicom import Z_TOLERANCE, read_slice
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason, Series, SliceFile
from probunet.datasets.lidc.outlines import LesionSlice, Scan
from probunet.datasets.lidc.tree import DicomFile
from probunet.datasets.raw_file import BadFileError
from probunet.errors import few
from probunet.files import sha256
from probunet.workers import in_processes

LICENCE = "CC BY 3.0, The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2015.LO9QL9SX"

_SHOWN = 3  # names in a detail
_SPACING_TOLERANCE = 0.01  # relative difference between a slice's spacing and the outlines'

_log = logging.getLogger(__name__)

# a series, the z of an outline, and the files of slices there; one file with a `reason` if none
# can be used
Match = tuple[Scan, float, tuple[DicomFile, ...]]
CheckedSlice = tuple[Scan, SliceFile | LeftOut]


def match(scan: Scan, zs: list[float], files: list[DicomFile]) -> list[Match]:
    """Return the files at each outline's z, in the order of `files`.

    If no slice is there, the only file has the reason why.
    """
    slices = [file for file in files if file.series == scan.series and file.reason is None]
    others = [file for file in files if file.series != scan.series or file.reason is not None]
    found = {z: tuple(file for file in slices if _is_at(file, z)) for z in zs}
    matches = [(scan, z, files) for z, files in found.items() if files]
    missing = [z for z, files in found.items() if not files]
    return sorted(matches + _explain(scan, missing, others), key=lambda match: match[1])


def _explain(scan: Scan, zs: list[float], others: list[DicomFile]) -> list[Match]:
    """Return why these z have no slice, as far as the other files show.

    If one z is missing and one file has an unreadable z, that file is taken for the slice.
    """
    matches: list[Match] = []
    unclear = []
    for z in zs:
        if file := next((file for file in others if _is_at(file, z)), None):
            if file.series not in (None, scan.series):
                detail = f"{file.series} instead of {scan.series}"
                file = DicomFile(file.path, file.series, file.z, Reason.WRONG_SERIES, detail)
            matches.append((scan, z, (file,)))
        else:
            unclear.append(z)
    unread = [
        file
        for file in others
        if file.z is None
        and file.series in (None, scan.series)
        # a file without .dcm that is not DICOM may be a licence or an index
        and (file.path.suffix.lower() == ".dcm" or file.reason is not Reason.NOT_DICOM)
    ]
    if len(unclear) == len(unread) == 1:
        return [*matches, (scan, unclear[0], (unread[0],))]
    names = few([f"{file.path.name}: {file.reason}" for file in unread], _SHOWN)
    detail = f"unreadable files beside it: {names}" if unread else ""
    missing = DicomFile(Path(), scan.series, None, Reason.MISSING, detail)
    return matches + [(scan, z, (missing,)) for z in unclear]


def check(root: Path, match: Match) -> CheckedSlice:
    """Return the manifest's entry of a slice, after reading all of its files.

    Files that cannot be used are ignored beside one that can. Equal files count once: those with
    the same bytes, or with the same SOPInstanceUID, spacing and Hounsfield units.
    """
    scan, z, files = match
    usable: list[SliceFile] = []
    errors: list[BadFileError] = []
    for file in files:
        try:
            usable.append(_read(root, scan, z, file))
        except BadFileError as error:
            error.path = None if error.reason is Reason.MISSING else _below(root, file.path)
            errors.append(error)
    if usable and _are_equal(root, usable):
        return scan, usable[0]
    if usable:
        names = few([file.path for file in usable], _SHOWN)
        errors = [BadFileError(Reason.DUPLICATE_Z, names, usable[0].path)]
    return scan, LeftOut(patient=scan.patient, series=scan.series, z=z, **errors[0].entry())


def _read(root: Path, scan: Scan, z: float, file: DicomFile) -> SliceFile:
    """Return the manifest's entry of a file; raise BadFileError if it cannot be used."""
    if file.reason is not None:
        raise BadFileError(file.reason, file.detail)
    header, _ = read_slice(file.path, scan.series)
    if abs(header.spacing - scan.pixel_spacing) > _SPACING_TOLERANCE * scan.pixel_spacing:
        spacings = f"{header.spacing} mm, and that of the outlines {scan.pixel_spacing} mm"
        raise BadFileError(Reason.GEOMETRY, f"the spacing is {spacings}")
    if abs(header.z - z) > Z_TOLERANCE:
        raise BadFileError(Reason.CHANGED, f"its z is {header.z}, and was {file.z}")
    return SliceFile(
        path=_below(root, file.path),
        z=header.z,
        bytes=file.path.stat().st_size,
        sha256=sha256(file.path),
    )


def _are_equal(root: Path, files: list[SliceFile]) -> bool:
    """Return whether usable files at one z hold the same slice."""
    if len({file.sha256 for file in files}) == 1:
        return True
    return len({_content(root / file.path) for file in files}) == 1


def _content(path: Path) -> tuple[str, float, bytes]:
    """Return what two files of one slice have in common; a file without an instance has its own."""
    header, hu = read_slice(path)
    return header.instance or str(path), header.spacing, hashlib.sha256(hu.tobytes()).digest()


def _below(root: Path, path: Path) -> str:
    return str(path.relative_to(root))


def check_series(
    root: Path,
    files: Mapping[str, list[DicomFile]],
    scans: Iterable[Scan],
    lesions: Mapping[str, list[LesionSlice]],
    processes: int | None,
) -> list[CheckedSlice]:
    """Return the entries of all outlined slices of these series."""
    matches: list[Match] = []
    for scan in scans:
        zs = sorted({lesion.z for lesion in lesions[scan.series]})
        matches += match(scan, zs, files.get(scan.series, []))
    entries = in_processes(partial(check, root), matches, processes, "checking slices")
    pairs = zip(matches, entries, strict=True)
    copied = sum(len(m[2]) > 1 and isinstance(entry[1], SliceFile) for m, entry in pairs)
    if copied:
        _log.info(
            "%s: %d slices are in more than one file; one of each is used, because the others are "
            "equal or damaged",
            root,
            copied,
        )
    return entries


def manifest_of(
    entries: list[CheckedSlice], source: str, root: str, absent_patients: int = 0
) -> Manifest:
    """Return the manifest of these entries; a series without usable slices is listed as well."""
    scans = {scan.series: scan for scan, _ in entries}
    slices: dict[str, list[SliceFile]] = {series: [] for series in scans}
    for scan, entry in entries:
        if isinstance(entry, SliceFile):
            slices[scan.series].append(entry)
    return Manifest(
        dataset="lidc",
        source=source,
        synthetic=False,
        root=root,
        licence=LICENCE,
        series=tuple(
            Series(patient=scan.patient, series=uid, outlines_of=uid, slices=tuple(slices[uid]))
            for uid, scan in scans.items()
        ),
        left_out=tuple(entry for _, entry in entries if isinstance(entry, LeftOut)),
        absent_patients=absent_patients,
    )


def _is_at(file: DicomFile, z: float) -> bool:
    return file.z is not None and abs(file.z - z) <= Z_TOLERANCE
