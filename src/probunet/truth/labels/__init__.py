"""Ground truth of several graders with more than one class: their label maps have equal weights."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import Absent, DataPlace, Settings, Size
from probunet.flips import IGNORE
from probunet.metrics.bits import unpack
from probunet.metrics.classes import Maps
from probunet.store import Samples
from probunet.truth.base import Batches, Sampled, Subset
from probunet.truth.graders import ByGraders
from probunet.truth.rows import each_row

if TYPE_CHECKING:
    import pandas as pd
    import torch
    import zarr

BACKGROUND = "background"  # a class of this name is no object: it is not scored


class Labelled(ByGraders):
    """An open store of images with the label maps of several graders."""

    # (n, H, W, G) uint8, class ids; `IGNORE`: no class, or the grader has not looked at the image
    labels: "zarr.Array[Any]"

    scored_if = "has a pixel that no grader ignores"

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class id."""

    @property
    @abstractmethod
    def absent(self) -> Absent:
        """What a class counts that neither of two maps has, see `metrics.classes`."""

    @property
    def classes(self) -> int:
        """Number of classes of a segmentation."""
        return len(self.class_names)

    @property
    def scored_classes(self) -> list[int]:
        """The ids of all classes but the background."""
        return objects(self.class_names)

    def arrays(self, rows: NDArray[np.int64], *part: slice) -> tuple[NDArray[Any], ...]:
        """Return the images and their labels, as batches have them."""
        from probunet.truth.labels.training import read_maps

        return read_maps(self, rows, *part)

    def batches(
        self,
        rows: NDArray[np.int64],
        settings: Settings,
        device: "torch.device",
        place: DataPlace = "device",
        all_graders: bool = False,
    ) -> Batches:
        """Return these images for training."""
        from probunet.truth.graders.training import load_batches
        from probunet.truth.labels.training import LabelBatches

        return load_batches(LabelBatches, self, rows, settings, device, place, all_graders)

    def scorable(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows of images with a pixel that no grader ignores."""
        given = np.stack([self.given[rows] >> g & 1 for g in range(len(self.graders))], axis=-1)
        maps = zip(each_row(self.labels, rows), given.astype(bool), strict=True)
        return rows[[not ((one == IGNORE) & of).any(axis=-1).all() for one, of in maps]]

    def subset(self, rows: NDArray[np.int64], settings: Settings, device: "torch.device") -> Subset:
        """Return these images for validation."""
        from probunet.truth.labels.training import load_label_subset

        return load_label_subset(self, rows, settings, device)

    def sampled(self, settings: Settings, seed: int) -> Sampled:
        """Return the images for sampling."""
        from probunet.truth.labels.sampling import LabelImages

        return LabelImages(self, settings)

    def score(self, drawn: Samples, seed: int, n: list[int]) -> "Iterator[pd.DataFrame]":
        """Yield the scores of a run's test images, some images at a time."""
        from probunet.truth.labels.scoring import score_labels

        return score_labels(drawn, self, n)


def objects(class_names: Sequence[str]) -> list[int]:
    """Return the ids of all classes but the background.

    >>> objects(("background", "disc", "cup"))
    [1, 2]
    """
    return [k for k, name in enumerate(class_names) if name != BACKGROUND]


def stored_maps(stored: NDArray[np.uint8], classes: int, size: Size) -> Maps:
    """Return the label maps (..., H, W) of a store of samples, which packs those of two classes."""
    return unpack(stored, *size).view(np.uint8) if classes == 2 else stored
