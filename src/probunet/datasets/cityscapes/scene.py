"""Read scenes of Cityscapes and bring them to the size of the store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from probunet.datasets.cityscapes.config import Fit
from probunet.datasets.cityscapes.labels import TRAIN_ID_OF
from probunet.datasets.cityscapes.manifest import SceneFile, SceneLeftOut, SceneReason
from probunet.datasets.cityscapes.png import decode_pixels
from probunet.datasets.raw_file import BadFileError, RawFile, reading
from probunet.manifest import Unusable

RESAMPLING = (
    "picture: bilinear, by Pillow, whose kernel is widened by the factor of shrinking, against "
    "aliasing; label ids: nearest"
)


def read_scenes(
    root: Path, size: tuple[int, int], fit: Fit, scenes: Sequence[SceneFile]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these scenes, and the unusable scenes, whose rows are zero."""
    image = np.zeros((len(scenes), *size, 3), dtype=np.uint8)
    label = np.zeros((len(scenes), *size), dtype=np.uint8)
    bad: list[Unusable] = []
    for row, scene in enumerate(scenes):
        try:
            image[row], label[row] = read_scene(root, scene, size, fit)
        except BadFileError as error:
            bad.append(SceneLeftOut(city=scene.city, frame=scene.frame, **error.entry()))
    return {"image": image, "label": label}, bad


def read_scene(
    root: Path, scene: SceneFile, size: tuple[int, int], fit: Fit = "stretch"
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a scene's picture (H, W, 3) and train ids (H, W) at `size`, height and width.

    `fit` says what happens if the aspect ratios differ; padding is black, and ignored in the label.
    The pixel formats are not checked again: the files must be those that `fetch` checked.

    Raises
    ------
    BadFileError
        If a file differs from its entry in the manifest.
    """
    picture = fitted(_open(root, scene.picture), size, fit, Image.Resampling.BILINEAR)
    label = fitted(_open(root, scene.label), size, fit, Image.Resampling.NEAREST)
    return np.asarray(picture), TRAIN_ID_OF[np.asarray(label)]


def fitted(
    image: Image.Image, size: tuple[int, int], fit: Fit, method: Image.Resampling
) -> Image.Image:
    """Return an image at `size`, height and width; padding is 0, as a label id: unlabelled."""
    width_first = size[1], size[0]
    if fit == "pad":
        return ImageOps.pad(image, width_first, method, color=0)
    if fit == "crop":
        return ImageOps.fit(image, width_first, method)
    return image.resize(width_first, method)


def _open(root: Path, file: RawFile) -> Image.Image:
    with reading(file.path):
        return decode_pixels(file.read(root, SceneReason.CHANGED))
