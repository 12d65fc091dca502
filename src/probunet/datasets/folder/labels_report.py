"""Your own label maps in the report: pictures, and the maps of the graders who looked at them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Size
from probunet.datasets.folder.report import ShownOwn
from probunet.datasets.folder.store import LabelledImages
from probunet.pictures.labels import IGNORED, class_colours, drawn_labels, rgb_of, view_labels
from probunet.pictures.view import About, Backdrop, Label, View
from probunet.truth.labels import BACKGROUND, stored_maps

_BACKGROUND = "#f2f2f2"  # where no picture lies behind


@dataclass(frozen=True)
class ShownLabelled(ShownOwn):
    """How your own images with label maps are shown."""

    images: LabelledImages

    @property
    def colours(self) -> list[str]:
        """The classes' colours: those of the masks' pixels if the classes have colours."""
        table, scored = self.images.attributes.classes, self.images.scored_classes
        generated = iter(class_colours(len(scored)))
        return [
            value if isinstance(value, str) else next(generated) if k in scored else _BACKGROUND
            for k, value in enumerate(table.values)
        ]

    def about(self) -> About:
        """Return what is the same for all images; the background has no colour."""
        labels = [
            Label(name, "" if name == BACKGROUND else colour)
            for name, colour in zip(self.images.class_names, self.colours, strict=True)
        ]
        labels.append(Label("ignored", IGNORED))
        return About("labels", "grader", names=self.images.graders, scale=self.scale, labels=labels)

    def views(self, rows: NDArray[np.int64], size: Size) -> list[View]:
        """Return a view of each of these images, which are sampled whole."""
        images, maps = self.images.image.oindex[rows], self.images.labels.oindex[rows]
        return [
            view_labels(
                np.moveaxis(self.own(row, of), -1, 0)[self.graders(row)],
                self.images.classes,
                self.images.scored_classes,
                self.images.absent,
                [grader + 1 for grader in self.graders(row)],
                subject=str(self.images.subjects[row]),
                name=self.name(row),
                picture=self.picture(self.own(row, image)),
            )
            for row, image, of in zip(
                rows.tolist(), np.asarray(images), np.asarray(maps), strict=True
            )
        ]

    def drawn(
        self, view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
    ) -> dict[str, Any]:
        """Return a run's label maps of one image."""
        height, width = view.arrays["truth"].shape[1:]
        maps, single = (
            stored_maps(one, self.images.classes, self.images.size)[..., :height, :width]
            for one in (samples, deterministic)
        )
        return drawn_labels(maps, single, self.images.scored_classes)

    def backdrop(self, row: int, size: Size) -> Backdrop:
        """Return an image's name and the classes' colours; of two classes, what lies behind."""
        name = f"{self.images.subjects[row]}, {self.name(row)}"
        if self.images.classes > 2:
            return Backdrop(name, colours=rgb_of(self.colours))
        labels = self.own(row, np.asarray(self.images.labels[row]))
        maps = np.moveaxis(labels, -1, 0)[self.graders(row)]
        return Backdrop(name, self.square(row), maps == 1)
