"""The two kinds of masks: binary ones, a bit for each grader, and label maps of several classes."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size
from probunet.datasets.folder.agreement import Marks, count_label_marks, count_marks
from probunet.datasets.folder.classes import Classes
from probunet.datasets.folder.fit import fit_labels, fit_masks
from probunet.datasets.folder.image_files import Decoded, decode_labels, decode_mask
from probunet.datasets.folder.mask_values import Values
from probunet.flips import IGNORE
from probunet.metrics.bits import mask_dtype


class MaskKind(Protocol):
    """How masks are read, combined and stored; `gathered` are those of all graders of an image."""

    array: ClassVar[str]  # of the store

    def decode(self, content: bytes) -> Decoded:
        """Return a mask file as (slices, H, W, 1); raises as `decode_mask` does."""

    def empty(self, *shape: int, graders: int) -> NDArray[Any]:
        """Return masks (..., H, W) of graders who have not looked."""

    def add(self, gathered: NDArray[Any], grader: int, mask: NDArray[Any]) -> None:
        """Add a grader's mask (slices, H, W, 1)."""

    def marks(self, mask: NDArray[Any]) -> bool:
        """Return whether a mask marks anything."""

    def marked(self, gathered: NDArray[Any]) -> NDArray[np.bool_]:
        """Return in which slices any grader marks anything, (slices,)."""

    def count(self, gathered: NDArray[Any], values: dict[int, Values]) -> list[Marks]:
        """Return what each grader marks; `values` are those in the files, by grader."""

    def fit(self, gathered: NDArray[Any], size: Size) -> NDArray[Any]:
        """Return the masks of one slice at another size."""


@dataclass(frozen=True)
class BinaryMasks:
    """Masks of foreground and background: integers (..., H, W), bit g = grader g."""

    threshold: float | None = None  # least grey level that is foreground; None: not 0
    array: ClassVar[str] = "masks"

    def decode(self, content: bytes) -> Decoded:
        """Return a mask file as (slices, H, W, 1) bool."""
        return decode_mask(content, self.threshold)

    def empty(self, *shape: int, graders: int) -> NDArray[Any]:
        """Return masks in which nobody marks anything."""
        return np.zeros(shape, mask_dtype(graders))

    def add(self, gathered: NDArray[Any], grader: int, mask: NDArray[Any]) -> None:
        """Add a grader's mask (slices, H, W, 1)."""
        gathered |= mask[..., 0].astype(gathered.dtype) << grader

    def marks(self, mask: NDArray[Any]) -> bool:
        """Return whether a mask marks anything."""
        return bool(mask.any())

    def marked(self, gathered: NDArray[Any]) -> NDArray[np.bool_]:
        """Return in which slices any grader marks anything, (slices,)."""
        marked: NDArray[np.bool_] = np.any(gathered, axis=(1, 2))
        return marked

    def count(self, gathered: NDArray[Any], values: dict[int, Values]) -> list[Marks]:
        """Return what each grader marks."""
        return count_marks(gathered, values)

    def fit(self, gathered: NDArray[Any], size: Size) -> NDArray[Any]:
        """Return masks (H, W) at another size."""
        return fit_masks(gathered, size)


@dataclass(frozen=True)
class LabelMaps:
    """Label maps of several classes: class ids (..., H, W, G) uint8."""

    classes: Classes
    array: ClassVar[str] = "labels"

    def decode(self, content: bytes) -> Decoded:
        """Return a mask file as (slices, H, W, 1) class ids."""
        return decode_labels(content, self.classes)

    def empty(self, *shape: int, graders: int) -> NDArray[Any]:
        """Return label maps without any class."""
        return np.full((*shape, graders), IGNORE, np.uint8)

    def add(self, gathered: NDArray[Any], grader: int, mask: NDArray[Any]) -> None:
        """Add a grader's label map (slices, H, W, 1)."""
        gathered[..., grader] = mask[..., 0]

    def marks(self, mask: NDArray[Any]) -> bool:
        """Return whether a label map has any scored class."""
        return bool(self.classes.marks(mask).any())

    def marked(self, gathered: NDArray[Any]) -> NDArray[np.bool_]:
        """Return in which slices any grader marks a scored class, (slices,)."""
        marked: NDArray[np.bool_] = np.any(self.classes.marks(gathered), axis=(1, 2, 3))
        return marked

    def count(self, gathered: NDArray[Any], values: dict[int, Values]) -> list[Marks]:
        """Return what each grader marks."""
        return count_label_marks(gathered, list(values), self.classes)

    def fit(self, gathered: NDArray[Any], size: Size) -> NDArray[Any]:
        """Return label maps (H, W, G) at another size."""
        return fit_labels(gathered, size)
