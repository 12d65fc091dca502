"""Your own images in the report: pictures, and the masks of the graders who looked at them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size
from probunet.datasets.folder.store import Images, LabelledImages
from probunet.metrics.bits import bits_of, unpack_graders, upper_left
from probunet.pictures.encode import LEVELS, grey, photograph
from probunet.pictures.masks import Masks, ShownMasks, squared, view_masks
from probunet.pictures.view import About, Backdrop, Preset, Scale, View


@dataclass(frozen=True)
class ShownOwn:
    """What is shown of your own images, whatever their masks are."""

    images: Images | LabelledImages

    @property
    def truths(self) -> tuple[str, ...]:
        """The graders' names."""
        return self.images.graders

    @property
    def scale(self) -> Scale | None:
        """What the grey values of the pictures mean; None for photographs."""
        low, high = self.images.attributes.window
        whole = Preset("as trained on", (low + high) / 2, high - low)
        return Scale(low, high, "", [whole]) if self.images.attributes.channels == 1 else None

    def graders(self, row: int) -> list[int]:
        """Return who looked at an image, from 0."""
        return bits_of(int(self.images.given[row]))

    def name(self, row: int) -> str:
        """Return an image's file, as the table names it, and the slice of a volume."""
        name, place = str(self.images.columns.name[row]), int(self.images.columns.slice[row])
        return name if place < 0 else f"{name}, slice {place}"

    def own(self, row: int, array: NDArray[Any]) -> NDArray[Any]:
        """Return what an image has of its array, masks or labels (H, W, ...)."""
        return array[self.images.extent(np.array([row]))]

    def picture(self, image: NDArray[Any]) -> str:
        """Return an image (H, W, C) as a picture."""
        return picture(image, self.images.attributes.window)

    def square(self, row: int) -> str:
        """Return an image as a square picture, with zeros beyond its edge."""
        low, high = self.images.attributes.window
        image = self.own(row, np.asarray(self.images.image[row]))
        values = image.astype(np.float64) - low  # (H, W, C)
        square = np.moveaxis(squared(np.moveaxis(values, -1, 0)), 0, -1)
        return picture(square, (0, high - low))


@dataclass(frozen=True)
class ShownImages(ShownOwn, ShownMasks):
    """How your own images with binary masks are shown."""

    images: Images

    def about(self) -> About:
        """Return what is the same for all images."""
        return About("masks", "grader", names=self.images.graders, scale=self.scale)

    def views(self, rows: NDArray[np.int64], size: Size) -> list[View]:
        """Return a view of each of these images, which are sampled whole."""
        images, bits = self.images.image.oindex[rows], self.images.masks.oindex[rows]
        return [
            view_masks(
                self._masks(row, self.own(row, of)),
                [grader + 1 for grader in self.graders(row)],
                subject=str(self.images.subjects[row]),
                name=self.name(row),
                picture=self.picture(self.own(row, image)),
            )
            for row, image, of in zip(
                rows.tolist(), np.asarray(images), np.asarray(bits), strict=True
            )
        ]

    def drawn(
        self, view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Return packed samples (n, bytes) and the deterministic mask (bytes,) as PNGs."""
        stored, size = self.images.size, view.arrays["truth"].shape[1:]
        return super().drawn(
            view, *(upper_left(one, stored, size) for one in (samples, deterministic))
        )

    def backdrop(self, row: int, size: Size) -> Backdrop:
        """Return an image with zeros beyond its edge, and its graders' masks."""
        name = f"{self.images.subjects[row]}, {self.name(row)}"
        masks = self._masks(row, self.own(row, np.asarray(self.images.masks[row])))
        return Backdrop(name, self.square(row), masks)

    def _masks(self, row: int, bits: NDArray[np.uint8]) -> Masks:
        """Return the masks (G, H, W) of those who looked at an image."""
        masks: Masks = unpack_graders(bits[None], self.graders(row))[0]
        return masks


def picture(image: NDArray[Any], window: tuple[float, float]) -> str:
    """Return an image (H, W, C) within the window: grey as PNG, in colour as JPEG."""
    if image.shape[2] == 1:
        return grey(image[..., 0], *window)
    low, high = window
    levels = np.clip((image.astype(np.float64) - low) / (high - low), 0, 1) * LEVELS
    return photograph(np.rint(levels).astype(np.uint8))
