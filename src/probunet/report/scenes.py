"""Cityscapes in the report: its scenes, labels and samples, drawn as coloured maps."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import FIRST, FLIPS, SECOND
from probunet.report.choice import ImageScores
from probunet.report.images import indexed, photograph
from probunet.report.palette import PALETTE, coloured, css
from probunet.report.runs import RunFolder
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


def fitted(classes: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    """Return class ids (H, W) with about `width` columns: each k-th one, or each one k times."""
    every = max(1, round(classes.shape[1] / width))
    times = max(1, round(width / classes.shape[1]))
    thinned = classes[every // 2 :: every, every // 2 :: every]
    return thinned.repeat(times, axis=0).repeat(times, axis=1)


def _map(sample: NDArray[np.uint8], label: NDArray[np.uint8], width: int) -> SceneMap:
    names = []
    for first, second in zip(FIRST, SECOND, strict=True):
        there = sample[label == first]
        counts = int((there == first).sum()), int((there == second).sum())
        names.append("none" if not any(counts) else ("first", "second")[counts[1] > counts[0]])
    return SceneMap(_drawn(sample, width), names)


def _drawn(classes: NDArray[np.uint8], width: int) -> str:
    return indexed(coloured(fitted(classes, width)), PALETTE)
