"""Ground truth of one label map whose classes have second names with known probabilities."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import DataPlace, Settings
from probunet.flips import CLASSES
from probunet.store import Samples
from probunet.truth.base import Batches, Data, Sampled, Subset

if TYPE_CHECKING:
    import pandas as pd
    import torch
    import zarr


class Flipped(Data):
    """An open store of images with one label map each, which defines 32 modes."""

    label: "zarr.Array[Any]"  # (n, H, W) uint8, train ids 0 to 18; 255: not scored
    classes = len(CLASSES)
    class_names = CLASSES
    scored_if = "contains a class with two names"

    def window(self, settings: Settings) -> None:
        """Return None: the images are 8-bit colours."""

    def arrays(self, rows: NDArray[np.int64], *part: slice) -> tuple[NDArray[Any], ...]:
        """Return the images and their labels, as batches have them."""
        from probunet.truth.modes.training import read_scenes

        return read_scenes(self, rows, *part)

    def batches(
        self,
        rows: NDArray[np.int64],
        settings: Settings,
        device: "torch.device",
        place: DataPlace = "device",
        all_graders: bool = False,
    ) -> Batches:
        """Return these images for training.

        `all_graders` has no effect: of 32 modes, `training.graders_per_image` are drawn.
        """
        from probunet.truth.modes.training import load_scenes

        return load_scenes(self, rows, settings, device, place)

    def scorable(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the rows whose labels contain one of the five classes with two names."""
        from probunet.truth.modes.training import scored_rows

        return scored_rows(self, rows)

    def subset(self, rows: NDArray[np.int64], settings: Settings, device: "torch.device") -> Subset:
        """Return these images for validation."""
        from probunet.truth.modes.training import load_scene_subset

        return load_scene_subset(self, rows, device)

    def sampled(self, settings: Settings, seed: int) -> Sampled:
        """Return the images for sampling."""
        from probunet.truth.modes.sampling import SceneImages

        return SceneImages(self, seed)

    def score(self, drawn: Samples, seed: int, n: list[int]) -> "Iterator[pd.DataFrame]":
        """Yield the scores of a run's test images, some images at a time."""
        from probunet.truth.modes.scoring import score_scenes

        return score_scenes(drawn, self, seed, n)
