"""What the explorer shows of one test image, whichever kind of store it is from.

A kind of store has a module of its own, with three functions:

- `about(data)` returns what is the same for all images, see `About`;
- `views(data, rows, size)` returns a `View` of each of these rows of the store, in their order, of
  the centre of `size` (height, width) that was sampled;
- `drawn(view, samples, deterministic)` returns a run's segmentations of one image, as the store of
  samples holds them, (n, ...) and (...), as data URIs, and what else the page wants of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from numpy.typing import NDArray


@dataclass(frozen=True)
class Preset:
    """A window by its name: what lies `width` around `level` spans black to white."""

    name: str
    level: float
    width: float


@dataclass(frozen=True)
class Scale:
    """What the grey values of the pictures mean: 0 is `low`, 255 is `high`."""

    low: float
    high: float
    unit: str  # empty where there is none
    presets: Sequence[Preset]  # the first one is shown at first


@dataclass(frozen=True)
class Label:
    """A class, and its colour as a style sheet has it."""

    name: str
    colour: str
    first: int | None = None  # of a second name: the class that it is a name of


@dataclass(frozen=True)
class About:
    """What is the same for all images of a data set."""

    kind: Literal["masks", "classes"]  # binary masks of several graders, or one map of classes
    subject: str  # "patient"
    subjects: str  # "patients"
    truth: str  # "grader"
    names: Sequence[str] = ()  # the graders', where they have any
    spacing: float | None = None  # mm per pixel, both ways, where it is known
    scale: Scale | None = None  # None: a photograph, shown as it is
    labels: Sequence[Label] = ()  # of "classes"
    # of "classes": which of them have two names, and the probability of the second one
    flips: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """One test image."""

    subject: str
    name: str  # tells it from the subject's other images
    area: float  # pixels: the mean of the graders' masks, or of all ambiguous classes
    disagreement: float  # E[d(Y, Y')]; NaN where a single grader looked at it
    picture: str  # data URI
    truth: str  # data URI: masks one below the other, or a map of classes
    given: Sequence[int]  # which graders' masks these are, from 1
    box: tuple[int, int, int, int] | None  # to enlarge: left, top, right and bottom, pixels
    annotations: int | None = None  # where there may be more than masks
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)  # for `drawn`; not in the page
