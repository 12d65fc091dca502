"""Decide which pixels a mask marks, and refuse masks whose values do not say it.

The background is 0, black. A mask has one other value at most, unless a threshold is set. Colours
count by their grey level, 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601); so do those of a
palette, whatever their indices.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.manifest import ImageReason
from probunet.datasets.raw_file import BadFileError

ADVICE = "set `threshold` (under datasets in the configuration), or save masks with 0 as background"
_ALONE = {0, 1, 255, 65535}  # values that a mask without another one may have
_PARTS = np.array([299, 587, 114])  # of red, green and blue in 1000 parts of a grey level
_LISTED = 6  # values that a message lists

Values = tuple[float, ...]  # in ascending order; of many values the lowest ones and the highest


def marked_pixels(
    pixels: NDArray[Any], threshold: float | None = None
) -> tuple[NDArray[np.bool_], Values]:
    """Return which pixels (..., 1 or 3 channels) a mask marks, (..., 1), and its values.

    With a threshold, grey levels of at least this value are marked.

    Raises
    ------
    BadFileError
        If there is no threshold, and the values are not 0 and one other.
    """
    levels = grey_levels(pixels)
    values = values_of(levels)
    if threshold is not None:
        return levels >= threshold, values
    if not (set(values) <= _ALONE if len(values) == 1 else len(values) == 2 and 0 in values):
        raise BadFileError(ImageReason.VALUES, f"{describe_values(values)}; {ADVICE}")
    return levels != 0, values


def grey_levels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the grey levels (..., 1) of pixels (..., 1 or 3 channels).

    >>> grey_levels(np.array([[255, 0, 0], [7, 7, 7]], np.uint8)).tolist()
    [[76.245], [7.0]]
    """
    if pixels.shape[-1] == 1:
        return pixels
    levels: NDArray[Any] = (pixels.astype(np.float64) @ _PARTS / 1000)[..., None]
    return levels


def values_of(levels: NDArray[Any]) -> Values:
    """Return the values that occur; of many the lowest ones and the highest.

    >>> values_of(np.array([0, 255, 0])), values_of(np.arange(300))
    ((0.0, 255.0), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 299.0))
    """
    low, high = levels.min(), levels.max()
    between = np.unique(levels[(levels != low) & (levels != high)])
    return merge_values([[float(low), *between[:_LISTED].astype(float).tolist(), float(high)]])


def merge_values(several: list[list[float]]) -> Values:
    """Return the values of several masks together, in the form of `values_of`."""
    together = sorted({value for values in several for value in values})
    if len(together) <= _LISTED + 1:
        return tuple(together)
    return (*together[:_LISTED], together[-1])


def describe_values(values: Values) -> str:
    """Return the values as text.

    >>> describe_values((3.0, 253.0)), describe_values((0.0,))
    ('values 3, 253', 'value 0')
    >>> describe_values(values_of(np.arange(300)))
    'values 0, 1, 2, 3, 4, 5 to 299'
    """
    named = [f"{value:g}" for value in values]
    if len(named) > _LISTED:
        return f"values {', '.join(named[:-1])} to {named[-1]}"
    return f"value{'s' if len(named) > 1 else ''} {', '.join(named)}"
