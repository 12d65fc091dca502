"""The colours of the classes with two names, and of the others."""

import numpy as np
from numpy.typing import NDArray

from probunet.flips import CLASSES, FIRST, IGNORE, SECOND

# red, green and blue by train id, as the publisher draws them (Cordts et al. 2016;
# cityscapesscripts, helpers.labels)
_FIRST_NAMES = bytes.fromhex(
    "804080 f423e8 464646 66669c be9999 999999 faaa1e dcdc00 6b8e23 98fb98 "
    "4682b4 dc143c ff0000 00008e 000046 003c64 005064 0000e6 770b20"
)
_TINT = 0.75  # share of white in a second name's colour
_IGNORED = (0, 0, 0)
_STRIPES = 6  # pixels from one stripe to the next
_STRIPE = 2  # pixels, of the first name's colour


def _palette() -> NDArray[np.uint8]:
    """Return the colours of the 24 classes and of ignored pixels, (25, 3)."""
    first = np.frombuffer(_FIRST_NAMES, np.uint8).reshape(-1, 3)
    colours = np.zeros((len(CLASSES) + 1, 3), np.uint8)
    colours[: len(first)] = first
    colours[SECOND] = np.rint(255 * _TINT + (1 - _TINT) * colours[FIRST])
    colours[-1] = _IGNORED
    return colours


PALETTE = _palette()


def css(train_id: int) -> str:
    """Return a class's colour in CSS.

    >>> css(0)
    '#804080'
    """
    red, green, blue = PALETTE[train_id]
    return f"#{red:02x}{green:02x}{blue:02x}"


def coloured(classes: NDArray[np.uint8], stripes: bool = True) -> NDArray[np.uint8]:
    """Return indices (H, W) into `PALETTE` for class ids (H, W).

    Second names are lighter, with stripes of the first name's colour: they differ without colour
    vision too.
    """
    indices = np.where(classes == IGNORE, len(CLASSES), classes).astype(np.uint8)
    if not stripes:
        return indices
    rows, columns = np.indices(classes.shape)
    striped = (rows + columns) % _STRIPES < _STRIPE
    for first, second in zip(FIRST, SECOND, strict=True):
        indices[(classes == second) & striped] = first
    return indices
