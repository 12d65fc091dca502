"""The colours of Cityscapes' classes, and of the second names."""

import numpy as np
from numpy.typing import NDArray

from probunet.cityscapes import CLASSES, FIRST, IGNORE, SECOND

# by train id, as the publisher draws them (Cordts et al. 2016; cityscapesscripts, helpers.labels)
_FIRST_NAMES = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
)
_TINT = 0.75  # share of white in a second name's colour
_IGNORED = (0, 0, 0)
_STRIPES = 6  # pixels from one stripe to the next
_STRIPE = 2  # pixels, of the first name's colour


def _palette() -> NDArray[np.uint8]:
    """Return colours (25, 3): of the 24 classes, and of what is ignored."""
    colours = np.zeros((len(CLASSES) + 1, 3), np.uint8)
    colours[: len(_FIRST_NAMES)] = _FIRST_NAMES
    colours[SECOND] = np.rint(255 * _TINT + (1 - _TINT) * colours[FIRST])
    colours[-1] = _IGNORED
    return colours


PALETTE = _palette()


def css(train_id: int) -> str:
    """Return a class's colour as a style sheet has it.

    >>> css(0)
    '#804080'
    """
    red, green, blue = PALETTE[train_id]
    return f"#{red:02x}{green:02x}{blue:02x}"


def coloured(classes: NDArray[np.uint8], stripes: bool = True) -> NDArray[np.uint8]:
    """Return indices (H, W) into `PALETTE` for class ids (H, W).

    Second names are lighter, with stripes of the first one's colour across: they are told apart
    without any sense of colour.
    """
    indices = np.where(classes == IGNORE, len(CLASSES), classes).astype(np.uint8)
    if not stripes:
        return indices
    rows, columns = np.indices(classes.shape)
    striped = (rows + columns) % _STRIPES < _STRIPE
    for first, second in zip(FIRST, SECOND, strict=True):
        indices[(classes == second) & striped] = first
    return indices
