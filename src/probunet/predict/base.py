"""What all inputs of a prediction have in common: a picture, and the views that a network sees.

A *picture* is a file or a series in its own grid: `pixels` are its own values. A *view* is a part
of one slice at the size that a network sees; `back` brings maps of the view into the slice's grid.
The reader of an input returns a `Picture`; `Views` say how the network looks at it: scaled to the
trained size or in tiles (`views.py`), or by crops around places in a CT (`series.py`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from probunet.errors import ProbunetError

DISCLAIMER = "Research use, no medical device."

Part = tuple[slice, slice]  # rows and columns of a slice


class UnusableError(ProbunetError):
    """An input that cannot be used; the others can."""


@dataclass(frozen=True)
class Picture:
    """An image to segment, in its own grid; a picture is a volume of one slice."""

    name: str  # as the user names it; unique among the inputs
    pixels: NDArray[Any]  # (slices, H, W, C), the file's own values; HU of a CT
    volume: bool = False
    # (4, 4), from (column, row, slice, 1) to mm; x to the right, y to the front, z upwards (RAS, as
    # in NIfTI); None: the file does not say it
    affine: NDArray[np.float64] | None = None
    header: Any = None  # of a NIfTI file, nibabel's
    tiff: bool = False  # whether results are written as TIFF
    # writes a label map (slices, H, W) uint8, with the names of its classes by id, as DICOM SEG;
    # None: the input is no DICOM series
    write_seg: Callable[[Path, NDArray[np.uint8], Sequence[str]], None] | None = None


@dataclass(frozen=True)
class Place:
    """A place in a picture, around which a crop is made."""

    x: float
    y: float
    z: float
    # "voxel": column, row and slice, from 0. "mm": of a DICOM series its patient coordinates (to
    # the left, to the back, upwards: LPS), of NIfTI its own (RAS)
    unit: str
    row: int = 0  # see `View.row`


@dataclass(frozen=True)
class View:
    """A part of a slice as a network sees it."""

    image: NDArray[Any]  # (h, w, C), values before the window
    part: Part  # of the slice's own grid, that `back` fills
    # maps (m, h, w), of any type, at that part: (m, rows, columns) of the same type; integers are
    # class ids, whose values are not mixed
    back: Callable[[NDArray[Any]], NDArray[Any]]
    filled: NDArray[np.bool_] | None = None  # (rows, columns), which pixels of it; None: all
    row: int = 0  # the samples are those of the image with this row in a study's store


class Views(Protocol):
    """How a network looks at a picture."""

    def of(self, k: int) -> Sequence[View]:
        """Return the views of slice `k`; no network sees a slice without one."""
