"""Test images with the label maps of several graders; stored samples are class ids."""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from probunet.flips import IGNORE
from probunet.metrics.bits import pack
from probunet.truth.graders.sampling import GradedImages
from probunet.truth.labels import Labelled


class LabelImages(GradedImages[Labelled]):
    """Test images for sampling; see `truth.base.Sampled`."""

    def truth(self, rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return class ids (B, G, H, W); the first class where a grader has not looked."""
        maps = np.moveaxis(self.read_truth(self.data.labels, rows, IGNORE), -1, 1).copy()
        maps[~np.stack([self.given(row) for row in rows.tolist()])] = 0
        return maps

    def stored(self, class_ids: Tensor) -> NDArray[np.uint8]:
        """Return segmentations (..., H, W): class ids, or packed masks of two classes."""
        maps = class_ids.cpu().numpy()
        return pack(maps.astype(bool)) if self.data.classes == 2 else maps
