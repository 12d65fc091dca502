"""What each grader's masks contain, how far graders agree, and warnings about unlikely masks.

The overlap of two masks is their IoU, 1 if both are empty. Two graders who mark at random share
a b / p pixels of an image of p pixels, of which they mark a and b: agreement by chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.manifest import GraderCheck
from probunet.datasets.folder.mask_values import Values, describe_values, merge_values
from probunet.metrics.bits import intersections, pack_graders, words

MUCH = 0.5  # share of pixels above which a grader is suspected of marking the background
_ROUNDING = 1e-9  # relative error of sums of shared pixels


class Marks(NamedTuple):
    """A grader's mask of one picture, or of the used slices of a volume."""

    grader: int
    values: Values
    images: int
    pixels: int
    marked: int
    others: int  # masks of other graders, over all images
    overlap: float  # sum of the IoUs with them
    shared: float  # pixels marked by both, summed over them
    chance: float  # what `shared` is by chance


def count_marks(bits: NDArray[Any], values: dict[int, Values]) -> list[Marks]:
    """Return the marks of an image's graders.

    `bits` are the masks (slices, H, W), bit g = grader g; `values` are those in the files, by
    grader.
    """
    graders = list(values)
    pixels = bits[0].size
    sums = np.zeros((4, len(graders)))  # marked, overlap, shared, chance
    for one in bits:
        shared = intersections(words(pack_graders(one[None], graders))[0]).astype(np.float64)
        areas = shared.diagonal().copy()
        union = areas[:, None] + areas - shared
        overlap = np.divide(shared, union, out=np.ones_like(shared), where=union > 0)
        chance = areas[:, None] * areas / pixels
        sums[0] += areas
        for total, pairs in zip(sums[1:], (overlap, shared, chance), strict=True):
            total += pairs.sum(axis=1) - pairs.diagonal()
    others = len(bits) * (len(graders) - 1)
    return [
        Marks(g, values[g], len(bits), len(bits) * pixels, int(marked), others, *further.tolist())
        for g, marked, further in zip(graders, sums[0], sums[1:].T, strict=True)
    ]


def check_graders(
    names: Sequence[str], marks: Iterable[Marks], left_out: Mapping[int, int]
) -> tuple[GraderCheck, ...]:
    """Return what each grader's masks contain, with warnings.

    `left_out` is the number of images that were left out because of a grader's mask, by grader.
    """
    by_grader: dict[int, list[Marks]] = {g: [] for g in range(len(names))}
    for one in marks:
        by_grader[one.grader].append(one)
    return tuple(_check(name, by_grader[g], left_out.get(g, 0)) for g, name in enumerate(names))


def describe_check(check: GraderCheck) -> str:
    """Return what a grader's masks contain, as one line."""
    left_out = f"; {check.left_out:,} left out because of the mask" if check.left_out else ""
    if not check.images:
        return f"{check.grader}: no image{left_out}"
    overlap = (
        "no image with another grader"
        if check.overlap is None
        else f"mean IoU with the others {check.overlap:.2f}"
    )
    images = f"{check.images:,} image{'s' if check.images > 1 else ''}"
    return (
        f"{check.grader}: {check.values}; marks {check.marked:.1%} of the pixels of {images}; "
        f"{overlap}{left_out}"
    )


def _check(name: str, marks: Sequence[Marks], left_out: int) -> GraderCheck:
    images = sum(one.images for one in marks)
    if not images:
        return GraderCheck(grader=name, values="no values", images=0, marked=0.0, left_out=left_out)
    share = sum(one.marked for one in marks) / sum(one.pixels for one in marks)
    others = sum(one.others for one in marks)
    shared, chance = sum(one.shared for one in marks), sum(one.chance for one in marks)
    warnings = []
    if share > MUCH:
        warnings.append(
            f"marks more than half of the pixels ({share:.1%}); if it is the background, invert "
            "the masks"
        )
    if share == 0:
        warnings.append("marks no pixel; check the masks, and `threshold` if it is set")
    if shared < chance * (1 - _ROUNDING):
        warnings.append(
            "agrees with the other graders less than by chance; check whether the masks are "
            "inverted or of other images"
        )
    return GraderCheck(
        grader=name,
        values=describe_values(merge_values([list(one.values) for one in marks])),
        images=images,
        marked=share,
        overlap=sum(one.overlap for one in marks) / others if others else None,
        left_out=left_out,
        warnings=tuple(warnings),
    )
