"""Synthetic street scenes in the layout of Cityscapes, so that everything runs without a download.

The cities are the publisher's by name, so that its split applies; every pixel is invented, and
the files say so themselves.
"""

import logging
import os
from functools import partial
from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from probunet.cityscapes import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.errors import ProbunetError
from probunet.fetch.cityscapes import LABEL, LABELS, PICTURE, PICTURES, SYNTHETIC, SYNTHETIC_LICENCE
from probunet.fetch.streets import draw_street
from probunet.fetch.tree import in_processes
from probunet.files import locked, sha256, written_whole
from probunet.scene_manifest import SceneFile, SceneImage, SceneManifest
from probunet.seeding import numpy_generator

CITIES = (*TRAIN_CITIES[:4], *VALIDATION_CITIES, *TEST_CITIES)
NOTICE = f"{SYNTHETIC}, not a photograph; drawn by probunet in the layout of Cityscapes; CC0 1.0"

_PIXELS_PER_PROCESS = 2**22  # fewer are drawn before another process has started

_log = logging.getLogger(__name__)


def fetch_street_phantom(
    folder: Path,
    manifest: Path,
    images: int,
    size: tuple[int, int] = (1024, 2048),
    seed: int = 0,
    workers: int | None = None,
) -> SceneManifest:
    """Draw scenes into `folder` and write their manifest; the same seed gives the same bytes.

    About half of the scenes are of four of the publisher's training cities, a sixth of the three
    cities for validation, and a third of the three for testing.

    Parameters
    ----------
    folder
        Becomes a tree of `leftImg8bit` and `gtFine`.
    manifest
        Where to write the manifest.
    images
        How many scenes; at least one for each of the ten cities.
    size
        Height and width of the pictures, pixels.
    seed
        Fixes every pixel.
    workers
        Processes; as many as there are processors if None. They do not change a byte.

    Raises
    ------
    ProbunetError
        If there are fewer images than cities, the disk is full, or another process writes the
        same manifest.
    """
    names = _names(images)
    draw = partial(_write_scene, folder, size, seed)
    processes = workers or len(os.sched_getaffinity(0))
    per_process = max(1, _PIXELS_PER_PROCESS // (size[0] * size[1]))
    with locked(manifest):
        with written_whole(folder / "README.txt") as aside:
            aside.write_text(f"{NOTICE}\n")
        scenes = in_processes(draw, names, processes, "drawing", per_process)
        root, beside = folder.resolve(), manifest.parent.resolve()
        SceneManifest(
            dataset="cityscapes",
            source="phantom",
            synthetic=True,
            root=str(root.relative_to(beside) if root.is_relative_to(beside) else root),
            licence=SYNTHETIC_LICENCE,
            scenes=tuple(scenes),
        ).write(manifest)
    _log.info("%d synthetic street scenes of %d cities in %s", images, len(CITIES), folder)
    return SceneManifest.read(manifest)


_Name = tuple[int, str, str]  # number among all scenes, city, frame


def _names(images: int) -> list[_Name]:
    """Return what scenes there are, in order of city and frame."""
    if images < len(CITIES):
        raise ProbunetError(
            f"images: {images} asked for, but there are {len(CITIES)} cities, each with one at "
            f"least; choose {len(CITIES)} or more."
        )
    test, validation = max(3, round(images / 3)), max(3, round(images / 6))
    counts: dict[str, int] = {}
    for cities, several in (
        (TRAIN_CITIES[:4], images - test - validation),
        (VALIDATION_CITIES, validation),
        (TEST_CITIES, test),
    ):
        for i, city in enumerate(cities):
            counts[city] = several // len(cities) + (i < several % len(cities))
    names = [(city, f"{i:06}_000019") for city in sorted(counts) for i in range(counts[city])]
    return [(number, city, frame) for number, (city, frame) in enumerate(names)]


def _write_scene(folder: Path, size: tuple[int, int], seed: int, name: _Name) -> SceneFile:
    """Draw and write a scene; return its entry of the manifest."""
    number, city, frame = name
    split = "val" if city in TEST_CITIES else "train"
    picture, label = draw_street(size, numpy_generator(seed, "street", number))
    shown, labelled = (
        Path(part, split, city, f"{city}_{frame}{suffix}")
        for part, suffix in ((PICTURES, PICTURE), (LABELS, LABEL))
    )
    return SceneFile(
        city=city,
        frame=frame,
        picture=_write(folder, shown, Image.fromarray(picture)),
        label=_write(folder, labelled, Image.fromarray(label)),
    )


def _write(folder: Path, path: Path, image: Image.Image) -> SceneImage:
    """Write a PNG that says it is synthetic; return its entry."""
    text = PngInfo()
    text.add_text("Description", NOTICE)
    with written_whole(folder / path) as aside:
        # noise compresses hardly better at higher levels, and takes many times as long
        image.save(aside, "PNG", pnginfo=text, compress_level=1)
    return SceneImage(
        path=str(path), bytes=(folder / path).stat().st_size, sha256=sha256(folder / path)
    )
