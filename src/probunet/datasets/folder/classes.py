"""The classes of masks of one's own: which value or colour of a pixel means which class.

A value is a number in the file: a grey level, or the index into a palette. A colour is that of an
RGB file, of a palette or of a grey level. In one data set, all classes have values, or all colours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.config import FolderSource
from probunet.datasets.folder.manifest import ClassTable, ImageReason
from probunet.datasets.raw_file import BadFileError
from probunet.flips import IGNORE
from probunet.truth.labels import BACKGROUND, objects

_UNKNOWN = 254  # while a mask is read; `MOST_CLASSES` are fewer
_LISTED = 4  # values that a message lists
_PIXELS = 2**22  # that are compared at a time
_GREY = 0x010101  # times a grey level: its colour


def class_table(source: FolderSource) -> ClassTable | None:
    """Return the classes that a data set's section names; None if its masks are binary.

    The background is the first one, and the others have their order in the section.
    """
    if source.classes is None:
        return None
    names = sorted(source.classes, key=lambda name: name != BACKGROUND)
    values = tuple(source.classes[name] for name in names)
    return ClassTable(names=tuple(names), values=values, ignore=source.ignore)


class Classes:
    """The classes of a data set; `ids` reads masks."""

    def __init__(self, table: ClassTable) -> None:
        self.names = table.names
        self.coloured = isinstance(table.values[0], str)
        self._values = [_number(value) for value in table.values]
        self._ignored = None if table.ignore is None else _number(table.ignore)
        self.scored = objects(self.names)

    def ids(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Return the class ids (..., 1) of pixels (..., 1 or 3 channels), or `IGNORE`.

        Raises
        ------
        BadFileError
            If a pixel has a value that is neither a class's nor `ignore`.
        """
        flat = pixels.reshape(-1, pixels.shape[-1])
        ids = np.full(len(flat), _UNKNOWN, np.uint8)
        unknown = []  # values of no class, and their numbers of pixels
        for start in range(0, len(flat), _PIXELS):
            part = flat[start : start + _PIXELS]
            values = (_colours(part) if self.coloured else _levels(part))[:, 0]
            own = ids[start : start + _PIXELS]
            for k, value in enumerate(self._values):
                own[values == value] = k
            if self._ignored is not None:
                own[values == self._ignored] = IGNORE
            if (wrong := own == _UNKNOWN).any():
                unknown.append(np.unique(values[wrong], return_counts=True))
        if unknown:
            raise BadFileError(ImageReason.NO_CLASS, self._described(*zip(*unknown, strict=True)))
        return ids.reshape(*pixels.shape[:-1], 1)

    def marks(self, ids: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which pixels have a class that is scored."""
        return np.isin(ids, self.scored)

    def _described(
        self, values: Sequence[NDArray[Any]], counts: Sequence[NDArray[np.int64]]
    ) -> str:
        """Return values with their numbers of pixels, the most frequent ones first."""
        found, position = np.unique(np.concatenate(values), return_inverse=True)
        totals = np.bincount(position, np.concatenate(counts)).astype(np.int64)
        order = np.argsort(-totals, kind="stable")[:_LISTED]
        named = [f"#{int(v):06x}" if self.coloured else f"{v:.12g}" for v in found[order]]
        numbers = zip(named, totals[order].tolist(), strict=True)
        text = ", ".join(f"{name} in {_counted(count, 'pixel')}" for name, count in numbers)
        further = len(found) - len(order)
        return text + (f", and {_counted(further, 'more value')}" if further else "")


def describe(table: ClassTable | None) -> str:
    """Return the classes as text, whatever their order.

    >>> describe(ClassTable(names=("background", "disc"), values=(0, 1), ignore=255))
    '{background: 0, disc: 1}, ignore: 255'
    """
    if table is None:
        return "none (binary masks)"
    pairs = sorted(zip(table.names, table.values, strict=True))
    text = "{" + ", ".join(f"{name}: {value}" for name, value in pairs) + "}"
    return text if table.ignore is None else f"{text}, ignore: {table.ignore}"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' if count > 1 else ''}"


def _number(value: int | str) -> int:
    """Return a value, or a colour as a number.

    >>> _number(2), _number("#010000")
    (2, 65536)
    """
    return value if isinstance(value, int) else int(value[1:], 16)


def _levels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the values (n, 1) of pixels, of which those of colours are refused."""
    if pixels.shape[-1] > 1 and (pixels != pixels[..., :1]).any():
        raise BadFileError(
            ImageReason.FORM, 'pixels in colour; name the classes by colours, such as "#ff0000"'
        )
    return pixels[..., :1]


def _colours(pixels: NDArray[Any]) -> NDArray[np.int64]:
    """Return the colours (n, 1) of pixels as numbers, 0xrrggbb."""
    if pixels.shape[-1] == 1:
        if not ((pixels >= 0) & (pixels <= 255) & (pixels == np.rint(pixels))).all():
            raise BadFileError(ImageReason.FORM, "values that are no colours of 8 bits")
        return pixels.astype(np.int64) * _GREY
    if pixels.dtype != np.uint8:
        raise BadFileError(ImageReason.FORM, f"colours of type {pixels.dtype}; save it with 8 bits")
    red, green, blue = np.moveaxis(pixels.astype(np.int64), -1, 0)
    colours: NDArray[np.int64] = (red << 16 | green << 8 | blue)[..., None]
    return colours
