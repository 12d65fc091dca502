"""Stores of street scenes: of arrays, and of scenes that the demo's painter draws."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.cityscapes.labels import TRAIN_ID_OF
from probunet.datasets.cityscapes.store import SceneAttributes, SceneColumns, Scenes, create_scenes
from probunet.datasets.cityscapes.streets import draw_street
from probunet.files import written_whole
from probunet.flips import CLASSES, FIRST
from probunet.seeding import numpy_generator
from probunet.store import seal, write_shard

CITIES = {"aachen": 4, "bochum": 4, "ulm": 4, "munster": 3}  # scenes of each
SIZE = (16, 32)
Array = NDArray[np.uint8]


def scene_attributes(**changed: Any) -> SceneAttributes:
    """Return what a store of scenes says of itself."""
    usual = {
        "dataset": "cityscapes",
        "source": "phantom",
        "synthetic": True,
        "protocol": "kohl2018-cityscapes",
        "size": SIZE,
        "resampling": "",
        "labels": "",
        "flips": {},
        "left_out": {},
        "manifest_sha256": "",
        "licence": "",
        "versions": {},
    }
    return SceneAttributes(**usual | changed)


def scenes_of(cities: Sequence[str], **attributes: Any) -> Scenes:
    """Return an open store of a scene of each city, without pictures."""
    frames = np.arange(len(cities)).astype(str)
    columns, nothing = SceneColumns(np.array(cities), frames), np.zeros((len(cities), 1))
    about = scene_attributes(**attributes)
    return Scenes(Path("data/cityscapes.zarr"), about, "", columns, nothing, nothing)


def write_scenes(
    path: Path,
    image: Array,
    label: Array,
    city: Sequence[str],
    frames: Sequence[int] | None = None,
    **attributes: Any,
) -> Path:
    """Write a store of pictures (n, H, W, 3) and train ids (n, H, W), whole or not at all."""
    numbers = range(len(label)) if frames is None else frames
    frame = np.array([f"{i:06}_000019" for i in numbers])
    attributes = {"size": label.shape[1:], **attributes}
    with written_whole(path) as aside:
        columns = SceneColumns(city=np.array(city), frame=frame)
        create_scenes(aside, columns, scene_attributes(**attributes))
        write_shard(aside, 0, image=image, label=label)
        seal(aside)
    return path


def draw_streets(count: int, size: tuple[int, int] = SIZE, seed: int = 0) -> tuple[Array, Array]:
    """Return pictures and train ids of scenes with all five classes that have two names."""
    images, labels, number = [], [], 0
    while len(labels) < count:
        image, ids = draw_street(size, numpy_generator(seed, "street", number))
        number += 1
        if np.isin(FIRST, TRAIN_ID_OF[ids]).all():
            images.append(image)
            labels.append(TRAIN_ID_OF[ids])
    return np.stack(images), np.stack(labels)


def write_streets(path: Path, seed: int = 0, size: tuple[int, int] = SIZE) -> Path:
    """Write scenes of `CITIES`; the first of each city has none of the five classes."""
    image, label = draw_streets(sum(CITIES.values()), size, seed)
    city = [name for name, count in CITIES.items() for _ in range(count)]
    for first in (city.index(name) for name in CITIES):
        label[first][np.isin(label[first], FIRST)] = CLASSES.index("building")
    return write_scenes(path, image, label, city, dataset=path.stem)
