"""Cityscapes in the report: its scenes, labels and samples, drawn as coloured maps."""

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import (
    CLASSES,
    FIRST,
    FLIPS,
    IGNORE,
    MODE_PROBABILITIES,
    SECOND,
)
from probunet.metrics.modes import between_modes
from probunet.report.images import numbers, photograph
from probunet.report.palette import css
from probunet.report.runs import RunFolder
from probunet.report.view import About, Label, View
from probunet.store import Scenes

WIDTH = 256  # pixels, of a map as it is embedded
SAMPLE_WIDTH = 128  # pixels, of a sample's: there are sixteen of every run


def about(scenes: Scenes) -> About:
    """Return what is the same for all scenes."""
    first = dict(zip(SECOND.tolist(), FIRST.tolist(), strict=True))
    names = [*CLASSES, "ignored"]
    return About(
        kind="classes",
        subject="city",
        subjects="cities",
        truth="label",
        labels=[Label(name, css(k), first.get(k)) for k, name in enumerate(names)],
        flips={name: str(probability) for name, probability in FLIPS.items()},
    )


def views(scenes: Scenes, rows: NDArray[np.int64], size: tuple[int, int]) -> list[View]:
    """Return the scenes in these rows; all of a scene was sampled."""
    images = np.asarray(scenes.image.oindex[rows])
    labels = np.asarray(scenes.label.oindex[rows])
    present = np.stack([(labels == first).any(axis=(1, 2)) for first in FIRST], axis=1)
    apart = between_modes(present) @ MODE_PROBABILITIES @ MODE_PROBABILITIES
    return [
        View(
            subject=str(scenes.columns.city[row]),
            name=str(scenes.columns.frame[row]),
            area=float(np.isin(label, FIRST).sum()),
            disagreement=float(modes),
            picture=photograph(image),
            truth=_numbered(label, WIDTH),
            given=[],
            box=None,
            arrays={"truth": label},
        )
        for row, image, label, modes in zip(rows, images, labels, apart, strict=True)
    ]


def drawn(
    view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
) -> dict[str, Any]:
    """Return a run's maps of one scene, and by which name each sample calls each class."""
    label = view.arrays["truth"]
    small = np.stack([thinned(sample, SAMPLE_WIDTH) for sample in samples])
    return {
        "samples": numbers(small.reshape(-1, small.shape[-1])),
        "deterministic": _numbered(deterministic, WIDTH),
        "names": " ".join(_names(sample, label) for sample in samples),
    }


def tested(runs: list[RunFolder], scenes: Scenes) -> dict[int, dict[str, int]]:
    """Return how many images each fold was tested on, by city; of runs sampled from `scenes`."""
    folds = {}
    for run in runs:
        if run.samples is not None and run.samples.attributes.store == scenes.digest:
            cities = scenes.columns.city[run.samples.rows].tolist()
            folds[run.run.fold] = dict(sorted(Counter(cities).items()))
    return dict(sorted(folds.items()))


def thinned(classes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return class ids (H, W) with about `width` columns, where there are more: each k-th one."""
    every = max(1, round(classes.shape[1] / width))
    return classes[every // 2 :: every, every // 2 :: every]


def fitted(classes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return class ids (H, W) with about `width` columns: each k-th one, or each one k times."""
    times = max(1, round(width / classes.shape[1]))
    return thinned(classes, width).repeat(times, axis=0).repeat(times, axis=1)


def _numbered(classes: NDArray[np.uint8], width: int) -> str:
    """Return a map of class ids as a PNG; what is ignored has the number after the last class."""
    few = thinned(classes, width)
    return numbers(np.where(few == IGNORE, len(CLASSES), few).astype(np.uint8))


def _names(sample: NDArray[np.uint8], label: NDArray[np.uint8]) -> str:
    """Return a digit for each of the five classes: which name most of its pixels have.

    0: neither, or the class is not in the label; 1: the first one; 2: the second one.
    """
    digits = ""
    for first, second in zip(FIRST, SECOND, strict=True):
        there = sample[label == first]
        counts = int((there == first).sum()), int((there == second).sum())
        digits += "0" if not any(counts) else "12"[counts[1] > counts[0]]
    return digits
