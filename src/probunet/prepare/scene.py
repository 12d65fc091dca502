"""Scenes: what a worker makes of pictures and labels, brought to the store's size."""

import hashlib
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from probunet.cityscapes import TRAIN_ID_OF
from probunet.errors import ProbunetError
from probunet.manifest import Unusable
from probunet.scene_manifest import SceneFile, SceneImage, SceneLeftOut, SceneReason

RESAMPLING = (
    "picture: bilinear, by Pillow, whose kernel is widened by the factor of shrinking, against "
    "aliasing; label ids: nearest"
)


class BadSceneError(Exception):
    """A scene that cannot be used: why, and for which file of the manifest."""

    def __init__(self, reason: SceneReason, path: str, detail: str) -> None:
        super().__init__(reason, path, detail)
        self.reason = reason
        self.path = path
        self.detail = detail


def read_scenes(
    root: Path, size: tuple[int, int], scenes: Sequence[SceneFile]
) -> tuple[dict[str, NDArray[Any]], list[Unusable]]:
    """Return the arrays of these scenes, and those that cannot be used: they are empty."""
    image = np.zeros((len(scenes), *size, 3), dtype=np.uint8)
    label = np.zeros((len(scenes), *size), dtype=np.uint8)
    bad: list[Unusable] = []
    for row, scene in enumerate(scenes):
        try:
            image[row], label[row] = read_scene(root, scene, size)
        except BadSceneError as error:
            bad.append(_left_out(scene, error))
    return {"image": image, "label": label}, bad


def read_scene(
    root: Path, scene: SceneFile, size: tuple[int, int]
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a scene's picture (H, W, 3) and train ids (H, W) at `size`, height and width.

    The forms of the files are not looked at again: they are the very files that `fetch` checked.

    Raises
    ------
    BadSceneError
        If a file is not what the manifest says.
    """
    width_first = size[::-1]
    picture = _open(root, scene.picture).resize(width_first, Image.Resampling.BILINEAR)
    label = _open(root, scene.label).resize(width_first, Image.Resampling.NEAREST)
    return np.asarray(picture), TRAIN_ID_OF[np.asarray(label)]


def _open(root: Path, file: SceneImage) -> Image.Image:
    """Return a PNG file, decoded, which must be what the manifest says."""
    try:
        content = (root / file.path).read_bytes()
    except FileNotFoundError:
        raise BadSceneError(SceneReason.CHANGED, file.path, "is gone") from None
    except OSError as error:
        raise ProbunetError(f"{root / file.path}: cannot be read ({error.strerror}).") from None
    if len(content) != file.bytes:
        detail = f"{len(content)} bytes instead of {file.bytes}"
        raise BadSceneError(SceneReason.CHANGED, file.path, detail)
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise BadSceneError(SceneReason.CHANGED, file.path, "has another sha256")
    try:
        image = Image.open(io.BytesIO(content), formats=["PNG"])
        image.load()
    except Exception as error:  # whatever a decoder raises over damaged data
        raise BadSceneError(SceneReason.TRUNCATED, file.path, str(error)) from None
    return image


def _left_out(scene: SceneFile, error: BadSceneError) -> SceneLeftOut:
    return SceneLeftOut(
        city=scene.city,
        frame=scene.frame,
        reason=error.reason,
        path=error.path,
        detail=error.detail,
    )
