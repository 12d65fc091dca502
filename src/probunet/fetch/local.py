"""An existing LIDC-IDRI tree: checked and listed; never copied, never written to."""

import logging
import os
from functools import partial
from pathlib import Path

from probunet.errors import ProbunetError
from probunet.fetch.matching import Match, check, match, series_of
from probunet.fetch.tree import in_processes, read_tree
from probunet.files import locked
from probunet.manifest import LeftOut, Manifest, count_reasons
from probunet.outlines import read_lesions, read_scans

LICENCE = "CC BY 3.0, The Cancer Imaging Archive, doi 10.7937/K9/TCIA.2015.LO9QL9SX"

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
    matches: list[Match] = []
    for series in sorted(found.files, key=lambda uid: (scans[uid].patient, uid)):
        zs = sorted({lesion.z for lesion in lesions[series]})
        matches += match(scans[series], zs, found.files[series])
    entries = in_processes(partial(check, root), matches, processes, "checking slices")
    return Manifest(
        dataset="lidc",
        source="local",
        synthetic=False,
        root=str(root),
        licence=LICENCE,
        series=series_of(entries),
        left_out=tuple(entry for _, entry in entries if isinstance(entry, LeftOut)),
        absent_patients=len({scans[series].patient for series in lesions}) - found.patients,
    )


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
