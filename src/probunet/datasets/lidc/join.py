"""Join the manifests of parts that several jobs fetched, as if one job had fetched all."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from probunet.datasets.lidc.manifest import LeftOut, Manifest, Series
from probunet.errors import ProbunetError
from probunet.fetch.download import root_of
from probunet.files import locked

_EQUAL = ("dataset", "source", "synthetic", "root", "licence")
_E = TypeVar("_E", Series, LeftOut)


def join_manifests(parts: list[Path], manifest: Path) -> Manifest:
    """Write and return the manifest of all parts, given in any order.

    Raises
    ------
    ProbunetError
        If a part is missing, of another source or root than the first, or holds a series that
        another part holds too.
    """
    read = [Manifest.read(part) for part in parts]
    first = read[0]
    holders: dict[str, Path] = {}
    for path, part in zip(parts, read, strict=True):
        for name in _EQUAL:
            if (value := getattr(part, name)) != (expected := getattr(first, name)):
                raise ProbunetError(
                    f"{path}: {name}: {value}, but {parts[0]} has {expected}; join only the parts "
                    "of one fetch."
                )
        for series in part.series:
            if series.series in holders:
                raise ProbunetError(
                    f"{path}: series {series.series} is also in {holders[series.series]}; join "
                    "each part once."
                )
            holders[series.series] = path
    with locked(manifest):
        first.model_copy(
            update={
                "root": root_of(Path(first.root), manifest),
                "series": _in_order(one for part in read for one in part.series),
                "left_out": _in_order(one for part in read for one in part.left_out),
                "absent_patients": sum(part.absent_patients for part in read),
            }
        ).write(manifest)
    return Manifest.read(manifest)


def _in_order(entries: Iterable[_E]) -> tuple[_E, ...]:
    """Return entries sorted by patient and series; the order within a series is kept."""
    return tuple(sorted(entries, key=lambda entry: (entry.patient, entry.series)))
