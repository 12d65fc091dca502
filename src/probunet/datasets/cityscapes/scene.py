"""Read scenes of Cityscapes and bring them to the size of the store."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probunet.datasets.cityscapes.labels import TRAIN_ID_OF
from probunet.datasets.cityscapes.manifest import SceneFile, SceneLeftOut, SceneReason
from probunet.datasets.raw_file import BadFileError, RawFile
from probunet.manifest import Unusable

RESAMPLING = (
    "picture: bilinear, by Pillow, whose kernel is widened by the factor of shrinking, against "
    "aliasing; label ids: nearest"
)


def read_scenes(
    root: Path, size: tuple[int, int], scenes: Sequence[SceneFile]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these scenes, and the unusable scenes, whose rows are zero."""
    image = np.zeros((len(scenes), *size, 3), dtype=np.uint8)
    label = np.zeros((len(scenes), *size), dtype=np.uint8)
    bad: list[Unusable] = []
    for row, scene in enumerate(scenes):
        try:
            image[row], label[row] = read_scene(root, scene, size)
        except BadFileError as error:
            bad.append(SceneLeftOut(city=scene.city, frame=scene.frame, **error.entry()))
    return {"image": image, "label": label}, bad


def read_scene(
    root: Path, scene: SceneFile, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a scene's picture (H, W, 3) and train ids (H, W) at `size`, height and width.

    The pixel formats are not checked again: the files must be those that `fetch` checked.

    Raises
    ------
    BadFileError
        If a file differs from its entry in the manifest.
    """
    width_first = size[::-1]
    picture = _open(root, scene.picture).resize(width_first, Image.Resampling.BILINEAR)
    label = _open(root, scene.label).resize(width_first, Image.Resampling.NEAREST)
    return np.asarray(picture), TRAIN_ID_OF[np.asarray(label)]


def _open(root: Path, file: RawFile) -> Image.Image:
    content = file.read(root, SceneReason.CHANGED)
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
        image.load()
    except Exception as error:  # decoders raise anything on damaged data
        raise BadFileError(SceneReason.TRUNCATED, str(error), file.path) from None
    return image
