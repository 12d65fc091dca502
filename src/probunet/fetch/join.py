"""One manifest of the parts that several jobs have fetched, as if one job had fetched all."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from probunet.errors import ProbunetError
from probunet.fetch.download import root_of
from probunet.files import locked
from probunet.manifest import LeftOut, Manifest, Series

_ALIKE = ("dataset", "source", "synthetic", "root", "licence")
_E = TypeVar("_E", Series, LeftOut)


def join_manifests(parts: list[Path], manifest: Path) -> Manifest:
    """Write the manifest of all parts' slices, and return it.

    Parameters
    ----------
    parts
        Manifests of shares of LIDC-IDRI below one root, in any order.
    manifest
        Where to write theirs.

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
        for name in _ALIKE:
            if (told := getattr(part, name)) != (expected := getattr(first, name)):
                raise ProbunetError(
                    f"{path}: {name}: {told}, but {parts[0]} has {expected}; join the parts of one "
                    "fetch alone."
                )
        for series in part.series:
            if series.series in holders:
                raise ProbunetError(
                    f"{path}: series {series.series} is in {holders[series.series]}, too; join "
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
    """Return entries by patient and series; those of one series stay in their order."""
    return tuple(sorted(entries, key=lambda entry: (entry.patient, entry.series)))
