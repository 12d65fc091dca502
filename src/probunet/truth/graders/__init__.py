"""Ground truth of several graders: their masks of an image have equal weights."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from probunet.config import DataPlace, Settings
from probunet.store import SHARD, Samples
from probunet.truth.base import Batches, Data, Sampled, Subset

if TYPE_CHECKING:
    import pandas as pd
    import torch
    import zarr


class ByGraders(Data):
    """An open store of images that several graders segmented."""

    @property
    @abstractmethod
    def given(self) -> NDArray[np.unsignedinteger[Any]]:
        """The graders of each image, (n,), bit g = grader g."""

    @property
    @abstractmethod
    def graders(self) -> tuple[str, ...]:
        """Names of the graders, in the order of the bits."""

    @abstractmethod
    def window(self, settings: Settings) -> tuple[float, float]:
        """Return the values that are scaled to 0 and 1."""


class Graded(ByGraders):
    """An open store of images with the masks of several graders."""

    masks: "zarr.Array[Any]"  # (n, H, W), bit g = grader g; see `bits.mask_dtype`
    classes = 2

    def unmarked(self) -> int:
        """Return the number of images in which no grader marks a pixel; reads all masks."""
        shards = (np.asarray(self.masks[i : i + SHARD]) for i in range(0, len(self), SHARD))
        return sum(int((~shard.reshape(len(shard), -1).any(axis=1)).sum()) for shard in shards)

    def arrays(self, rows: NDArray[np.int64], *part: slice) -> tuple[NDArray[Any], ...]:
        """Return the images and their masks, as batches have them."""
        from probunet.truth.graders.training import read_masks

        return read_masks(self, rows, *part)

    def batches(
        self,
        rows: NDArray[np.int64],
        settings: Settings,
        device: "torch.device",
        place: DataPlace = "device",
        all_graders: bool = False,
    ) -> Batches:
        """Return these images for training."""
        from probunet.truth.graders.training import load_masks

        return load_masks(self, rows, settings, device, place, all_graders)

    def subset(self, rows: NDArray[np.int64], settings: Settings, device: "torch.device") -> Subset:
        """Return these images for validation."""
        from probunet.truth.graders.training import load_mask_subset

        return load_mask_subset(self, rows, settings, device)

    def sampled(self, settings: Settings, seed: int) -> Sampled:
        """Return the images for sampling."""
        from probunet.truth.graders.sampling import MaskImages

        return MaskImages(self, settings)

    def score(self, drawn: Samples, seed: int, n: list[int]) -> "Iterator[pd.DataFrame]":
        """Yield the scores of a run's test images, some images at a time."""
        from probunet.truth.graders.scoring import score_masks

        return score_masks(drawn, self, n)
