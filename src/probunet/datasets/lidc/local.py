"""List an existing LIDC-IDRI tree; its files are read and checked, never copied or changed."""

import logging
from pathlib import Path

from probunet.datasets.lidc.manifest import Manifest
from probunet.datasets.lidc.matching import check_series, manifest_of
from probunet.datasets.lidc.outlines import read_lesions, read_scans
from probunet.datasets.lidc.tree import ADVICE, read_tree
from probunet.datasets.raw_file import check_folder, log_left_out
from probunet.files import locked

_log = logging.getLogger(__name__)


def fetch_local(
    tree: Path, manifest: Path, patients: int | None = None, workers: int | None = None
) -> Manifest:
    """Return the manifest of a tree's outlined slices, after reading and hashing each.

    The tree is a folder with DICOM files in any subfolders; a part of LIDC-IDRI is enough. Only
    the first `patients` patients are used, ordered by id; all if None. `workers` processes read
    files; by default one per processor.

    Raises
    ------
    ProbunetError
        If the tree does not exist or cannot be read, none of its series has outlines, or another
        process writes the same manifest.
    """
    check_folder(tree, ADVICE)
    with locked(manifest):
        root, lesions, scans = tree.resolve(), read_lesions(), read_scans()
        found = read_tree(root, {series: scans[series] for series in lesions}, patients, workers)
        series = sorted(found.files, key=lambda uid: (scans[uid].patient, uid))
        entries = check_series(root, found.files, map(scans.__getitem__, series), lesions, workers)
        absent = len({scans[series].patient for series in lesions}) - found.patients
        _warn_fewer(tree, patients, found.patients)
        listed = manifest_of(entries, "local", str(root), absent)
        listed.write(manifest)
    _log.info(
        "%s: %d slices with outlines of %d patients; %d patients of LIDC-IDRI with outlines are "
        "not in the tree",
        tree,
        sum(len(one.slices) for one in listed.series),
        len({one.patient for one in listed.series}),
        absent,
    )
    log_left_out(tree, listed.left_out)
    return Manifest.read(manifest)


def _warn_fewer(tree: Path, asked: int | None, found: int) -> None:
    """Log that the tree has fewer patients than the configuration asks for."""
    if asked is not None and found < asked:
        patients = f"{found} patients" if found > 1 else "1 patient"
        folds = f"`folds` can be at most {found}" if found > 1 else "folds need at least two"
        _log.warning(
            "%s: datasets.lidc.patients: %d, but the tree has %s with outlines; all that it has "
            "are used, and %s",
            tree,
            asked,
            patients,
            folds,
        )
