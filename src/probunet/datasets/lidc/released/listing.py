"""The manifest of a released set, and how it differs from the one that was released."""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from probunet.datasets.lidc.released.manifest import (
    CropLeftOut,
    ReleasedCrop,
    ReleasedManifest,
)
from probunet.datasets.lidc.released.sets import LICENCE, SETS
from probunet.datasets.raw_file import RawFile, log_left_out
from probunet.errors import ProbunetError, few
from probunet.manifest import count_reasons

_log = logging.getLogger(__name__)


def list_released(
    source: str,
    where: Path,
    root: str,
    crops: Sequence[ReleasedCrop],
    left_out: Sequence[CropLeftOut],
    *,
    patients: int | None = None,
    archives: Sequence[RawFile] = (),
) -> ReleasedManifest:
    """Return the manifest of a released set; it logs what was left out, and what is unlikely.

    Parameters
    ----------
    source
        The set's name in `SETS`.
    where
        The user's folder or file, for messages.
    root
        The manifest's root.
    crops, left_out
        What the set contains.
    patients
        The first so many patients are used, ordered by id; all if None.
    archives
        What the crops were unpacked from.

    Raises
    ------
    ProbunetError
        If no crop can be used.
    """
    log_left_out(where, left_out)
    if not crops:
        counts = "; ".join(f"{reason}: {n}" for reason, n in count_reasons(left_out).items())
        found = f" ({counts})" if counts else ""
        raise ProbunetError(
            f"{where}: holds no usable crop of the set {source}{found}; see "
            "docs/how-to/released-crops.md for its layout."
        )
    warnings = [*_compare(source, crops), *_shared(crops)]
    known = {crop.patient for crop in crops} | {item.patient for item in left_out} - {""}
    ids = set(sorted(known)[:patients])
    used = [crop for crop in crops if crop.patient in ids]
    _log.info("%s: %d crops of %d patients", where, len(used), len({crop.patient for crop in used}))
    for warning in warnings:
        _log.warning("%s: warning: %s", where, warning)
    return ReleasedManifest(
        dataset="lidc",
        source=source,
        synthetic=False,
        root=root,
        licence=LICENCE,
        crops=tuple(used),
        left_out=tuple(one for one in left_out if not one.patient or one.patient in ids),
        patients=patients,
        archives=tuple(archives),
        warnings=tuple(warnings),
    )


def _compare(source: str, crops: Sequence[ReleasedCrop]) -> Iterator[str]:
    """Yield how the counts of crops and patients, or series, differ from the released set's."""
    known, counted = SETS[source].counts, SETS[source].counted
    parts = [crop.split if len(known) > 1 else "" for crop in crops]
    images = Counter(parts)
    units: dict[str, set[str]] = defaultdict(set)
    for part, crop in zip(parts, crops, strict=True):
        units[part].add(crop.patient if counted == "patients" else crop.series)
    for split in sorted({*images, *known}):
        found, expected = (images[split], len(units[split])), known.get(split, (0, 0))
        if found != expected:
            part = f" of {split}" if split else ""
            yield (
                f"{found[0]:,} usable crops{part} of {found[1]} {counted}; the released set has "
                f"{expected[0]:,} of {expected[1]}"
            )


def _shared(crops: Sequence[ReleasedCrop]) -> Iterator[str]:
    """Yield a warning about patients in several parts of the publisher's split."""
    if shared := in_several_splits([crop.patient for crop in crops], [c.split for c in crops]):
        yield (
            f"patients in several parts of the published split: {few(shared)}; it cannot be used "
            "as it is: remove them from all parts but one, or choose `split: patients`"
        )


def in_several_splits(patients: Sequence[str], splits: Sequence[str]) -> list[str]:
    """Return the patients that are in several parts of a split, from both of each crop.

    >>> in_several_splits(["a", "a", "b"], ["train", "test", "test"])
    ['a']
    """
    counts = Counter(patient for patient, _ in {*zip(patients, splits, strict=True)})
    return sorted(patient for patient, count in counts.items() if count > 1)
