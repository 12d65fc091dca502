"""What the report shows of a test image, whatever data set it is from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size


@dataclass(frozen=True)
class Preset:
    """A window with a name: black to white spans `width` values around `level`."""

    name: str
    level: float
    width: float


@dataclass(frozen=True)
class Scale:
    """What the grey values of the pictures mean: 0 is `low`, 255 is `high`."""

    low: float
    high: float
    unit: str  # empty if there is none
    presets: Sequence[Preset]  # the first one is shown at first


@dataclass(frozen=True)
class Label:
    """A class, and its colour in CSS."""

    name: str
    colour: str  # empty: is not drawn
    first: int | None = None  # of a second name: the class that it is a name of


@dataclass(frozen=True)
class About:
    """What is the same for all images of a data set."""

    # binary masks of several graders, one label map, or label maps of several graders
    kind: Literal["masks", "classes", "labels"]
    truth: str  # what a mask or label map is called: "grader"
    names: Sequence[str] = ()  # the graders', if they have any
    spacing: float | None = None  # mm per pixel in both directions, if known
    scale: Scale | None = None  # None: a photograph, shown as it is
    labels: Sequence[Label] = ()  # of "classes" and "labels"
    # of "classes": those with two names, and the probability of the second one
    flips: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """One test image."""

    subject: str
    name: str  # distinguishes it from the other images of the subject
    area: float  # pixels: the mean of the graders' masks, or of all ambiguous classes
    disagreement: float  # E[d(Y, Y')]; NaN for a single grader
    picture: str  # data URI
    truth: str  # data URI: masks one below the other, or a label map
    graders: Sequence[int] = ()  # whose masks these are, from 1
    box: tuple[int, int, int, int] | None = None  # to enlarge: left, top, right, bottom, pixels
    annotations: int | None = None  # if there may be more than masks
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)  # for `drawn`; not in the page


@dataclass(frozen=True)
class Backdrop:
    """What lies behind the segmentations of an image's latent grid."""

    name: str  # the image's, with its subject's
    # the picture as a square, a data URI, and the graders' masks (G, H, W); None: the
    # segmentations are label maps, which hide what lies behind
    picture: str = ""
    masks: NDArray[np.bool_] | None = None
    colours: NDArray[np.uint8] | None = None  # of label maps, (classes, 3); None: Cityscapes'


class Shown(Protocol):
    """How the images of one store are shown; a data set has such a class in its `report.py`."""

    @property
    def truths(self) -> Sequence[str]:
        """Return what the posteriors of the latent grid have seen: "grader 1", ..."""

    def about(self) -> About:
        """Return what is the same for all images."""

    def views(self, rows: NDArray[np.int64], size: Size) -> list[View]:
        """Return a view of each of these rows: of the central part (height, width) sampled."""

    def drawn(
        self, view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Return a run's segmentations of one image as data URIs, and what else the page needs.

        Samples (n, ...) and deterministic guess (...) are as the store of samples holds them.
        """

    def backdrop(self, row: int, size: Size) -> Backdrop:
        """Return what lies behind the latent grid of an image, of its central part."""
