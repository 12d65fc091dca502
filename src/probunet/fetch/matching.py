"""Which file holds the slice that an outline was drawn on, and whether it can be used."""

from pathlib import Path

from probunet.dicom import Z_TOLERANCE, BadSliceError, read_slice
from probunet.fetch.tree import DicomFile
from probunet.files import sha256
from probunet.manifest import LeftOut, Reason, Series, SliceFile
from probunet.outlines import Scan

_SHOWN = 3  # names in a detail
_SPACING_TOLERANCE = 0.01  # relative, of a slice's against that of the outlines

# a series, an outline's z, and the file that holds the slice or tells why there is none
Match = tuple[Scan, float, DicomFile]


def match(scan: Scan, zs: list[float], files: list[DicomFile]) -> list[Match]:
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


def _explained(scan: Scan, zs: list[float], others: list[DicomFile]) -> list[Match]:
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


def check(root: Path, match: Match) -> tuple[Scan, SliceFile | LeftOut]:
    """Return the manifest's entry of a slice, after reading all of it."""
    scan, z, file = match
    reason, detail = file.reason, file.detail
    if reason is None:
        try:
            header, _ = read_slice(file.path, scan.series)
            if abs(header.spacing - scan.pixel_spacing) > _SPACING_TOLERANCE * scan.pixel_spacing:
                told = f"spacing {header.spacing} mm, where the outlines' is {scan.pixel_spacing}"
                raise BadSliceError(Reason.GEOMETRY, told)
            if abs(header.z - z) > Z_TOLERANCE:
                raise BadSliceError(Reason.CHANGED, f"its z is {header.z}, and was {file.z}")
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


def series_of(entries: list[tuple[Scan, SliceFile | LeftOut]]) -> tuple[Series, ...]:
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
