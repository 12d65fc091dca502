"""Count the crops of LIDC-IDRI from the outlines alone, without DICOM files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from probunet.datasets.lidc.outlines import read_lesions, read_scans


@dataclass(frozen=True)
class CropCounts:
    """Numbers of crops of protocol kohl2018 in all of LIDC-IDRI."""

    crops: int
    by_annotations: dict[str, int]
    patients: int
    series: int


def count_crops() -> CropCounts:
    """Return the numbers of crops, in total and by number of annotations, patients and series."""
    lesions = read_lesions()
    scans = read_scans()
    counts = [len(lesion.annotations) for slices in lesions.values() for lesion in slices]
    patients = {scans[series].patient for series in lesions}
    return CropCounts(len(counts), count_annotations(counts), len(patients), len(lesions))


def count_annotations(counts: Iterable[int]) -> dict[str, int]:
    """Return how many crops have 1, 2, 3, 4 and more than 4 annotations.

    >>> count_annotations([1, 4, 4, 6])
    {'1': 1, '2': 0, '3': 0, '4': 2, 'more than 4': 1}
    """
    found = Counter("more than 4" if n > 4 else str(n) for n in counts)
    return {key: found[key] for key in ("1", "2", "3", "4", "more than 4")}


def describe_counts(counts: CropCounts) -> str:
    """Return the counts as lines of text."""
    lines = [f"{counts.crops:,} crops of {counts.patients} patients in {counts.series} series"]
    lines += [
        f"{number:7,} with {key} annotation{'' if key == '1' else 's'}"
        for key, number in counts.by_annotations.items()
    ]
    return "\n".join(lines)
