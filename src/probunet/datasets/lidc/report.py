"""LIDC-IDRI in the report: its crops and their graders' masks."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size
from probunet.datasets.lidc.store import LidcCrops
from probunet.metrics.bits import GRADERS, unpack_graders
from probunet.pictures.encode import grey
from probunet.pictures.masks import Masks, ShownMasks, view_masks
from probunet.pictures.numbers import number
from probunet.pictures.view import About, Backdrop, Preset, Scale, View

WINDOW = (-1350.0, 150.0)  # HU: the usual lung window, width 1500 around -600
SAME = 0.1  # mm: slices that are nearer to each other have the same number in a crop's name
# from air to soft tissue; bone, and vessels with contrast agent, are clipped
SCALE = Scale(
    low=-1400,
    high=600,
    unit="HU",
    presets=[Preset("lung", -600, 1500), Preset("mediastinum", 40, 400)],
)


@dataclass(frozen=True)
class ShownCrops(ShownMasks):
    """How crops are shown."""

    crops: LidcCrops

    @property
    def scale(self) -> Scale:
        """The values that can be chosen."""
        return SCALE

    @property
    def window(self) -> tuple[float, float]:
        """The values that are black and white behind the latent grid."""
        return WINDOW

    @property
    def truths(self) -> tuple[str, ...]:
        """The graders' names."""
        return self.crops.graders

    def about(self) -> About:
        """Return what is the same for all crops."""
        return About("masks", "grader", spacing=self.crops.attributes.spacing, scale=self.scale)

    def views(self, rows: NDArray[np.int64], size: Size) -> list[View]:
        """Return a view of the centre of each of these crops."""
        images, graders = self._centres(rows, size)
        return [
            view_masks(
                masks,
                range(1, GRADERS + 1),
                subject=str(self.crops.subjects[row]),
                name=self.name_of(row),
                picture=grey(image, self.scale.low, self.scale.high),
                annotations=int(self.crops.columns.annotations[row]),
            )
            for row, image, masks in zip(rows.tolist(), images, graders, strict=True)
        ]

    def backdrop(self, row: int, size: Size) -> Backdrop:
        """Return a crop's centre in the usual window, and its graders' masks."""
        [image], [masks] = self._centres(np.array([row]), size)
        return Backdrop(str(self.crops.subjects[row]), grey(image, *self.window), masks)

    def name_of(self, row: int) -> str:
        """Return a crop's slice, and its lesion if several crops are of that slice."""
        columns = self.crops.columns
        name = f"z {number(float(columns.z[row]), 1)} mm"
        near = np.abs(columns.z - columns.z[row]) < SAME
        several = (near & (columns.patient == columns.patient[row])).sum() > 1
        return f"{name}, lesion {columns.lesion[row]}" if several else name

    def _centres(self, rows: NDArray[np.int64], size: Size) -> tuple[NDArray[Any], Masks]:
        """Return the crops' centres (n, h, w), HU, and their masks (n, 4, h, w)."""
        starts = [(a - b) // 2 for a, b in zip(self.crops.size, size, strict=True)]
        centre = [slice(a, a + side) for a, side in zip(starts, size, strict=True)]
        masks = np.asarray(self.crops.masks.oindex[rows, *centre])
        return np.asarray(self.crops.image.oindex[rows, *centre]), unpack_graders(masks)
