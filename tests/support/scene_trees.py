"""Small trees of scenes: in the publisher's layout, and with a manifest."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from probunet.datasets.cityscapes.labels import TRAIN_ID_OF
from probunet.datasets.cityscapes.manifest import SceneFile, SceneManifest
from probunet.datasets.raw_file import RawFile
from probunet.files import sha256

SIZE = (8, 16)  # to prepare scenes at
FETCHED = (16, 32)  # size of pictures in the publisher's layout


def picture_path(tree: Path, split: str, city: str, frame: str) -> Path:
    return tree / "leftImg8bit" / split / city / f"{city}_{frame}_leftImg8bit.png"


def label_path(tree: Path, split: str, city: str, frame: str) -> Path:
    return tree / "gtFine" / split / city / f"{city}_{frame}_gtFine_labelIds.png"


def write_png(path: Path, values: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path)
    return path


def write_scene(tree: Path, split: str, city: str, frame: str) -> None:
    """Write a picture and a label of noise in the publisher's layout."""
    draw = np.random.default_rng([*f"{city}{frame}".encode()])
    colours = draw.integers(0, 256, (*FETCHED, 3), dtype=np.uint8)
    write_png(picture_path(tree, split, city, frame), colours)
    ids = draw.integers(0, 34, FETCHED, dtype=np.uint8)
    write_png(label_path(tree, split, city, frame), ids)


def to_train_ids(tree: Path) -> None:
    """Write train ids into a tree's files of label ids."""
    for path in tree.rglob("*_gtFine_labelIds.png"):
        write_png(path, TRAIN_ID_OF[np.asarray(Image.open(path))])


def write_turned(path: Path, values: Any, orientation: int) -> None:
    """Write a PNG whose orientation tag says how it is turned."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.asarray(values)).save(path, exif=exif)


def write_tree(root: Path, cities: dict[str, int], left_out=(), scale=(4, 4)) -> Path:
    """Write so many scenes of each city, 32 x 64 pixels, and return their manifest.

    `scale` is the number of rows and columns of each pixel of the prepared size.
    """
    random, scenes = np.random.default_rng(0), []
    for city, count in cities.items():
        for i in range(count):
            frame = f"{i:06}_000019"
            picture, label = root / f"{city}_{frame}_a.png", root / f"{city}_{frame}_b.png"
            height, width = SIZE[0] * scale[0], SIZE[1] * scale[1]
            colours = random.integers(0, 256, (height, width, 3)).astype(np.uint8)
            small = random.choice([*range(34), 255], SIZE)
            ids = np.repeat(np.repeat(small, scale[0], 0), scale[1], 1)
            write_png(picture, colours)
            write_png(label, ids.astype(np.uint8))
            images = {"picture": entry(picture), "label": entry(label)}
            scenes.append(SceneFile(city=city, frame=frame, size=(height, width), **images))
    made = SceneManifest(
        dataset="cityscapes",
        source="test",
        synthetic=True,
        root=str(root),
        licence="none",
        scenes=tuple(reversed(scenes)),
        left_out=tuple(left_out),
    )
    path = root.with_name("manifest.json")
    made.write(path)
    return path


def entry(path: Path) -> RawFile:
    return RawFile(path=path.name, bytes=path.stat().st_size, sha256=sha256(path))
