"""Cityscapes in the report: its scenes as photographs, labels and samples as coloured maps."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size
from probunet.datasets.cityscapes.store import Scenes
from probunet.flips import CLASSES, FIRST, FLIPS, IGNORE, MODE_PROBABILITIES, SECOND
from probunet.metrics.modes import between_modes
from probunet.pictures.encode import numbers, photograph
from probunet.pictures.maps import thinned
from probunet.pictures.palette import css
from probunet.pictures.view import About, Backdrop, Label, View

WIDTH = 256  # pixels, of a map as it is embedded
SAMPLE_WIDTH = 128  # pixels, of a sample's: each run has sixteen of them


@dataclass(frozen=True)
class ShownScenes:
    """How scenes are shown."""

    scenes: Scenes

    @property
    def truths(self) -> tuple[str, ...]:
        """What the posterior has seen: one label, its names drawn at random."""
        return ("flipped label",)

    def about(self) -> About:
        """Return what is the same for all scenes."""
        names = [*CLASSES, "ignored"]
        first = dict(zip(SECOND.tolist(), FIRST.tolist(), strict=True))
        return About(
            "classes",
            "label",
            labels=[Label(name, css(k), first.get(k)) for k, name in enumerate(names)],
            flips={name: str(probability) for name, probability in FLIPS.items()},
        )

    def views(self, rows: NDArray[np.int64], size: Size) -> list[View]:
        """Return a view of each of these scenes, which are sampled whole."""
        images = np.asarray(self.scenes.image.oindex[rows])
        labels = np.asarray(self.scenes.label.oindex[rows])
        present = np.stack([(labels == first).any(axis=(1, 2)) for first in FIRST], axis=1)
        apart = between_modes(present) @ MODE_PROBABILITIES @ MODE_PROBABILITIES
        return [
            View(
                subject=str(self.scenes.columns.city[row]),
                name=str(self.scenes.columns.frame[row]),
                area=float(np.isin(label, FIRST).sum()),
                disagreement=float(distance),
                picture=photograph(image),
                truth=_numbered(label),
                arrays={"truth": label},
            )
            for row, image, label, distance in zip(rows, images, labels, apart, strict=True)
        ]

    def drawn(
        self, view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Return a run's maps of one scene, and by which name each sample calls each class."""
        small = np.stack([thinned(sample, SAMPLE_WIDTH) for sample in samples])
        return {
            "samples": numbers(small.reshape(-1, small.shape[-1])),
            "deterministic": _numbered(deterministic),
            "names": " ".join(_names(sample, view.arrays["truth"]) for sample in samples),
        }

    def backdrop(self, row: int, size: Size) -> Backdrop:
        """Return a scene's name: the segmentations hide its photograph."""
        return Backdrop(f"{self.scenes.columns.city[row]} {self.scenes.columns.frame[row]}")


def _numbered(classes: NDArray[np.uint8]) -> str:
    """Return a map of class ids as a PNG; ignored pixels have the number after the last class."""
    few = thinned(classes, WIDTH)
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
