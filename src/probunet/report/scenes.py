"""Cityscapes in the report: its scenes, labels and samples, drawn as coloured maps."""

from collections import Counter
from dataclasses import dataclass
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
from probunet.report.choice import ImageScores
from probunet.report.images import indexed, numbers, photograph
from probunet.report.palette import PALETTE, coloured, css
from probunet.report.runs import RunFolder
from probunet.report.view import About, Label, View
from probunet.run import Run
from probunet.store import Samples, Scenes

SHOWN = 16  # samples per image, at most
WIDTH = 256  # pixels, of a map as it is embedded
SAMPLE_WIDTH = 170  # pixels, of a sample's: eight stand side by side
APART = "city"  # the column in which the images shown differ, where they can


@dataclass(frozen=True)
class Flip:
    """One of the five classes with two names, for the legend."""

    name: str
    probability: str  # of its second name
    colour: str
    second_colour: str


@dataclass(frozen=True)
class SceneMap:
    """A sample as a data URI, and which name it gives most pixels of each of the five classes."""

    picture: str
    names: list[str]  # "first", "second", or "none": neither, or the class is not in the label


@dataclass(frozen=True)
class SceneExample:
    """One test image: its picture, its label and what the model makes of it."""

    run: Run
    city: str
    frame: str
    ged: float
    size: tuple[int, int]  # height and width, pixels
    present: list[str]  # which of the five classes the label holds
    picture: str
    label: str
    deterministic: SceneMap
    samples: list[SceneMap]


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


def legend() -> list[Flip]:
    """Return the five classes with two names, and the colours of both."""
    return [
        Flip(name, str(probability), css(int(first)), css(int(second)))
        for (name, probability), first, second in zip(FLIPS.items(), FIRST, SECOND, strict=True)
    ]


def tested(runs: list[RunFolder], scenes: Scenes) -> dict[int, dict[str, int]]:
    """Return how many images each fold was tested on, by city; of runs sampled from `scenes`."""
    folds = {}
    for run in runs:
        if run.samples is not None and run.samples.attributes.store == scenes.digest:
            cities = scenes.columns.city[run.samples.rows].tolist()
            folds[run.run.fold] = dict(sorted(Counter(cities).items()))
    return dict(sorted(folds.items()))


def draw(run: Run, row: ImageScores, samples: Samples, scenes: Scenes) -> SceneExample:
    """Return the drawing of one test image."""
    index = int(row["row"])
    label = np.asarray(scenes.label[index])
    position = int(np.flatnonzero(samples.rows == index)[0])
    drawn = np.asarray(samples.samples[position, :SHOWN])
    return SceneExample(
        run=run,
        city=str(row["city"]),
        frame=str(row["frame"]),
        ged=float(row["ged"]),
        size=samples.attributes.size,
        present=[name for name, first in zip(FLIPS, FIRST, strict=True) if (label == first).any()],
        picture=photograph(np.asarray(scenes.image[index])),
        label=_drawn(label, WIDTH),
        deterministic=_map(np.asarray(samples.deterministic[position]), label, WIDTH),
        samples=[_map(sample, label, SAMPLE_WIDTH) for sample in drawn],
    )


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


def _map(sample: NDArray[np.uint8], label: NDArray[np.uint8], width: int) -> SceneMap:
    names = []
    for first, second in zip(FIRST, SECOND, strict=True):
        there = sample[label == first]
        counts = int((there == first).sum()), int((there == second).sum())
        names.append("none" if not any(counts) else ("first", "second")[counts[1] > counts[0]])
    return SceneMap(_drawn(sample, width), names)


def _drawn(classes: NDArray[np.uint8], width: int) -> str:
    return indexed(coloured(fitted(classes, width)), PALETTE)
