"""Your own images in the report: pictures, and the masks of the graders who looked at them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size
from probunet.datasets.folder.store import Images
from probunet.metrics.bits import bits_of, unpack_graders
from probunet.pictures.encode import LEVELS, grey, photograph
from probunet.pictures.masks import Masks, ShownMasks, squared, view_masks
from probunet.pictures.view import About, Backdrop, Preset, Scale, View


@dataclass(frozen=True)
class ShownImages(ShownMasks):
    """How your own images are shown."""

    images: Images

    @property
    def truths(self) -> tuple[str, ...]:
        """The graders' names."""
        return self.images.graders

    def about(self) -> About:
        """Return what is the same for all images."""
        low, high = self.images.attributes.window
        whole = Preset("as trained on", (low + high) / 2, high - low)
        grey_values = self.images.attributes.channels == 1
        scale = Scale(low, high, "", [whole]) if grey_values else None
        return About("masks", "grader", names=self.images.graders, scale=scale)

    def views(self, rows: NDArray[np.int64], size: Size) -> list[View]:
        """Return a view of each of these images, which are sampled whole."""
        images, bits = self.images.image.oindex[rows], self.images.masks.oindex[rows]
        return [
            view_masks(
                self._masks(row, of),
                [grader + 1 for grader in self._graders(row)],
                subject=str(self.images.subjects[row]),
                name=self._name(row),
                picture=picture(image, self.images.attributes.window),
            )
            for row, image, of in zip(
                rows.tolist(), np.asarray(images), np.asarray(bits), strict=True
            )
        ]

    def backdrop(self, row: int, size: Size) -> Backdrop:
        """Return an image with zeros beyond its edge, and its graders' masks."""
        low, high = self.images.attributes.window
        values = np.asarray(self.images.image[row]).astype(np.float64) - low  # (H, W, C)
        square = np.moveaxis(squared(np.moveaxis(values, -1, 0)), 0, -1)
        name = f"{self.images.subjects[row]}, {self._name(row)}"
        masks = self._masks(row, np.asarray(self.images.masks[row]))
        return Backdrop(name, picture(square, (0, high - low)), masks)

    def _graders(self, row: int) -> list[int]:
        """Return who looked at an image, from 0."""
        return bits_of(int(self.images.given[row]))

    def _masks(self, row: int, bits: NDArray[np.uint8]) -> Masks:
        """Return the masks (G, H, W) of those who looked at an image."""
        masks: Masks = unpack_graders(bits[None], self._graders(row))[0]
        return masks

    def _name(self, row: int) -> str:
        """Return an image's file, as the table names it, and the slice of a volume."""
        name, place = str(self.images.columns.name[row]), int(self.images.columns.slice[row])
        return name if place < 0 else f"{name}, slice {place}"


def picture(image: NDArray[Any], window: tuple[float, float]) -> str:
    """Return an image (H, W, C) within the window: grey as PNG, in colour as JPEG."""
    if image.shape[2] == 1:
        return grey(image[..., 0], *window)
    low, high = window
    levels = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * LEVELS
    return photograph(np.rint(levels).astype(np.uint8))
