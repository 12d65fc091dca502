"""Images with label maps of several graders, as the report shows them."""

import colorsys
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Absent
from probunet.flips import IGNORE
from probunet.metrics.classes import (
    Maps,
    class_distances,
    ignored_pixels,
    mean_distances,
    packed_classes,
)
from probunet.pictures.encode import numbers
from probunet.pictures.masks import OFTEN, box
from probunet.pictures.view import View

IGNORED = "#808080"  # pixels without a class
_FIRST = (  # Okabe and Ito 2008: can be told apart without full colour vision
    "#e69f00",
    "#56b4e9",
    "#009e73",
    "#f0e442",
    "#cc79a7",
    "#d55e00",
    "#0072b2",
)
_GOLDEN = 0.618034  # turns: hues that follow each other are far apart


def class_colours(count: int) -> list[str]:
    """Return a colour in CSS for each of so many classes; the first seven are Okabe and Ito's.

    >>> class_colours(2), len(set(class_colours(32)))
    (['#e69f00', '#56b4e9'], 32)
    """
    colours = list(_FIRST[:count])
    for k in range(count - len(colours)):
        value = (0.95, 0.6)[k % 2]
        rgb = colorsys.hsv_to_rgb(k * _GOLDEN % 1, 0.8, value)
        colours.append("#" + "".join(f"{round(255 * part):02x}" for part in rgb))
    return colours


def view_labels(
    maps: Maps,
    classes: int,
    scored: Sequence[int],
    absent: Absent,
    graders: Sequence[int],
    **known: Any,
) -> View:
    """Return the view of an image with the graders' label maps; `known` are its other fields.

    Maps are class ids (G, H, W) below `classes`; ignored pixels have this number in the picture.
    `scored` are the ids of all classes but the background.
    """
    marked = np.isin(maps, scored)
    return View(
        area=float(marked.sum() / len(maps)),
        disagreement=_disagreement(maps, scored, absent),
        truth=stacked(np.where(maps == IGNORE, classes, maps).astype(np.uint8)),
        graders=graders,
        box=box(marked),
        arrays={"truth": maps},
        **known,
    )


def drawn_labels(samples: Maps, deterministic: Maps, scored: Sequence[int]) -> dict[str, Any]:
    """Return a run's label maps (n, H, W) and its best guess (H, W) as pictures."""
    often = np.isin(samples, scored).mean(axis=0, keepdims=True) >= OFTEN
    single = np.isin(deterministic, scored)[None]
    return {
        "samples": stacked(samples),
        "deterministic": stacked(deterministic[None]),
        "box": box(np.concatenate((often, single))),
    }


def stacked(maps: Maps) -> str:
    """Return label maps (m, H, W), one below the other, as the grey values of a PNG."""
    return numbers(np.ascontiguousarray(maps.reshape(-1, maps.shape[-1])))


def rgb_of(colours: Sequence[str]) -> NDArray[np.uint8]:
    """Return colours in CSS, "#rrggbb", as (colours, 3)."""
    return np.array([list(bytes.fromhex(colour[1:])) for colour in colours], np.uint8)


def _disagreement(maps: Maps, scored: Sequence[int], absent: Absent) -> float:
    """Return E[d(Y, Y')] of graders' label maps (G, H, W); NaN for a single one."""
    if len(maps) < 2:
        return math.nan
    ignored = ignored_pixels(maps[None])
    one, all_of = (packed_classes(m, ignored, scored) for m in (maps[None, :1], maps[None]))
    pairs = mean_distances(class_distances(one, all_of), one, all_of, absent)
    return float(pairs.graders.mean())
