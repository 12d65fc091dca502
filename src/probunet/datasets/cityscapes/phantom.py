"""Draw synthetic street scenes in the layout of Cityscapes; no download is needed.

The cities have the publisher's names, so that its split applies; every pixel is invented, and each
file says so.
"""

import logging
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from probunet.datasets.cityscapes.labels import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.datasets.cityscapes.manifest import SceneFile, SceneManifest
from probunet.datasets.cityscapes.streets import draw_street
from probunet.datasets.cityscapes.tree import (
    LABEL,
    LABELS,
    PICTURE,
    PICTURES,
    SYNTHETIC,
    SYNTHETIC_LICENCE,
)
from probunet.datasets.raw_file import RawFile
from probunet.errors import ProbunetError
from probunet.fetch.download import root_of
from probunet.files import locked, written_whole
from probunet.seeding import numpy_generator
from probunet.workers import in_processes

CITIES = (*TRAIN_CITIES[:4], *VALIDATION_CITIES, *TEST_CITIES)
NOTICE = f"{SYNTHETIC}, not a photograph; drawn by probunet in the layout of Cityscapes; CC0 1.0"

_PIXELS_PER_PROCESS = 2**22

_log = logging.getLogger(__name__)


def fetch_street_phantom(
    folder: Path,
    manifest: Path,
    images: int,
    size: tuple[int, int] = (1024, 2048),
    seed: int = 0,
    workers: int | None = None,
) -> SceneManifest:
    """Draw scenes into `folder` and return their manifest; equal seeds give equal bytes.

    About half of the scenes are of four training cities, a sixth of the three validation cities,
    and a third of the three test cities. `workers` processes, by default one per processor, do
    not change the result.

    Parameters
    ----------
    folder
        Receives `leftImg8bit` and `gtFine`.
    manifest
        Where to write the manifest.
    images
        Number of scenes, at least one for each of the ten cities.
    size
        Height and width of the pictures, pixels.

    Raises
    ------
    ProbunetError
        If there are fewer images than cities, the disk is full, or another process writes the
        same manifest.
    """
    names = _names(images)
    draw = partial(_write_scene, folder, size, seed)
    per_process = max(1, _PIXELS_PER_PROCESS // (size[0] * size[1]))
    with locked(manifest):
        with written_whole(folder / "README.txt") as aside:
            aside.write_text(f"{NOTICE}\n", encoding="utf-8")
        scenes = in_processes(draw, names, workers, "drawing", per_process)
        SceneManifest(
            dataset="cityscapes",
            source="phantom",
            synthetic=True,
            root=root_of(folder, manifest),
            licence=SYNTHETIC_LICENCE,
            scenes=tuple(scenes),
        ).write(manifest)
    _log.info("%d synthetic street scenes of %d cities in %s", images, len(CITIES), folder)
    return SceneManifest.read(manifest)


_Name = tuple[int, str, str]  # number among all scenes, city, frame


def _names(images: int) -> list[_Name]:
    """Return number, city and frame of each scene, by city and frame."""
    if images < len(CITIES):
        raise ProbunetError(
            f"images: {images} is less than the {len(CITIES)} cities, each of which needs a scene; "
            f"choose {len(CITIES)} or more."
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
    place = Path("val" if city in TEST_CITIES else "train", city)
    picture, label = draw_street(size, numpy_generator(seed, "street", number))
    return SceneFile(
        city=city,
        frame=frame,
        picture=_write(folder, PICTURES / place / f"{city}_{frame}{PICTURE}", picture),
        label=_write(folder, LABELS / place / f"{city}_{frame}{LABEL}", label),
        size=size,
    )


def _write(folder: Path, path: Path, pixels: NDArray[np.uint8]) -> RawFile:
    """Write a PNG whose description says that it is synthetic; return its entry."""
    text = PngInfo()
    text.add_text("Description", NOTICE)
    with written_whole(folder / path) as aside:
        # higher levels take much longer and hardly compress noise better
        Image.fromarray(pixels).save(aside, "PNG", pnginfo=text, compress_level=1)
    return RawFile.of(str(path), (folder / path).read_bytes())
