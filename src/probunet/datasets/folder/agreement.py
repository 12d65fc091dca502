"""What each grader's masks contain, how far graders agree, and warnings about unlikely masks.

The overlap of two masks is their IoU, 1 if both are empty. Two graders who mark at random share
a b / p pixels of an image of p pixels, of which they mark a and b: agreement by chance.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.classes import Classes
from probunet.datasets.folder.manifest import GraderCheck
from probunet.datasets.folder.mask_values import Values, describe_values, merge_values
from probunet.flips import IGNORE
from probunet.metrics.bits import intersections, mask_dtype, pack_graders, words

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
    of_class: tuple[int, ...] = ()  # pixels of each class and, last, ignored ones; (): binary


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


def count_label_marks(
    maps: NDArray[np.uint8], graders: Sequence[int], classes: Classes
) -> list[Marks]:
    """Return the marks of an image's graders in label maps (slices, H, W, all graders).

    Overlaps are means over the scored classes, and shared pixels sums over them.
    """
    by_class = [count_marks(_bits(maps == k), dict.fromkeys(graders, ())) for k in classes.scored]
    together = []
    for g, own in zip(graders, zip(*by_class, strict=True), strict=True):
        sums = {
            name: sum(getattr(one, name) for one in own)
            for name in ("marked", "others", "overlap", "shared", "chance")
        }
        counts = np.bincount(maps[..., g].ravel(), minlength=IGNORE + 1)
        of_class = (*counts[: len(classes.names)].tolist(), int(counts[IGNORE]))
        together.append(own[0]._replace(**sums, of_class=of_class))
    return together


def _bits(masks: NDArray[np.bool_]) -> NDArray[Any]:
    """Return masks (..., G) bit-packed, bit g = grader g."""
    dtype = mask_dtype(masks.shape[-1])
    bits = np.zeros(masks.shape[:-1], dtype)
    for g in range(masks.shape[-1]):
        bits |= masks[..., g].astype(dtype) << g
    return bits


def check_graders(
    names: Sequence[str],
    marks: Iterable[Marks],
    left_out: Mapping[int, int],
    classes: Sequence[str] = (),
) -> tuple[GraderCheck, ...]:
    """Return what each grader's masks contain, with warnings.

    `left_out` is the number of images that were left out because of a grader's mask, by grader;
    `classes` are the names of the classes, if there are more than foreground and background.
    """
    by_grader: dict[int, list[Marks]] = {g: [] for g in range(len(names))}
    for one in marks:
        by_grader[one.grader].append(one)
    return tuple(
        _check(name, by_grader[g], left_out.get(g, 0), classes) for g, name in enumerate(names)
    )


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


def _check(name: str, marks: Sequence[Marks], left_out: int, classes: Sequence[str]) -> GraderCheck:
    images = sum(one.images for one in marks)
    if not images:
        return GraderCheck(grader=name, values="no values", images=0, marked=0.0, left_out=left_out)
    share = sum(one.marked for one in marks) / sum(one.pixels for one in marks)
    others = sum(one.others for one in marks)
    shared, chance = sum(one.shared for one in marks), sum(one.chance for one in marks)
    warnings = []
    if share > MUCH and not classes:
        warnings.append(
            f"marks more than half of the pixels ({share:.1%}); if it is the background, invert "
            "the masks"
        )
    if share == 0:
        setting = "`classes`" if classes else "`threshold` if it is set"
        warnings.append(f"marks no pixel; check the masks, and {setting}")
    if shared < chance * (1 - _ROUNDING):
        mistake = "have classes swapped, or are" if classes else "are inverted or"
        warnings.append(
            "agrees with the other graders less than by chance; check whether the masks "
            f"{mistake} of other images"
        )
    return GraderCheck(
        grader=name,
        values=_describe(marks, classes),
        images=images,
        marked=share,
        overlap=sum(one.overlap for one in marks) / others if others else None,
        left_out=left_out,
        warnings=tuple(warnings),
    )


def _describe(marks: Sequence[Marks], classes: Sequence[str]) -> str:
    """Return the values in a grader's masks, or the share of each class, as text."""
    if not classes:
        return describe_values(merge_values([list(one.values) for one in marks]))
    counts = np.sum([one.of_class for one in marks], axis=0)
    shares = zip([*classes, "ignored"], 100 * counts / counts.sum(), strict=True)
    return ", ".join(f"{name} {share:.1f}%" for name, share in shares if name != "ignored" or share)
