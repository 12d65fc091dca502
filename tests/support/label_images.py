"""Made-up eyes whose graders draw a cup in a disc, as a folder of label maps and as a store.

Each grader of an image draws one of three modes at random: a small cup, a large one, or none. The
image tells where the disc is, and nothing about the mode.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.manifest import ClassTable
from probunet.datasets.folder.store import (
    ImageColumns,
    LabelAttributes,
    LabelledImages,
    create_images,
)
from probunet.flips import IGNORE
from probunet.metrics.bits import pack
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import Latent, seal, write_samples, write_shard
from support.own_images import write_picture, write_table
from support.samples import sample_attributes

Maps = NDArray[np.uint8]
CLASSES = {"background": 0, "disc": 1, "cup": 2}
PROBABILITIES = np.array([0.5, 0.3, 0.2])  # of the modes
CUPS = (0.35, 0.75, 0.0)  # radius of the cup by mode, in radii of the disc
HEADER = ["image", "subject", "mask_anna", "mask_ben", "mask_eva"]


def eye(size: tuple[int, int], random: np.random.Generator) -> tuple[Maps, Maps]:
    """Return an image (H, W) and the label maps of its modes (3, H, W)."""
    height, width = size
    radius = 0.4 * min(size)
    middle = np.array(size) // 2 + random.integers(-2, 3, 2)  # whole pixels: equal shapes
    y, x = np.ogrid[:height, :width]
    distance = np.hypot(y + 0.5 - middle[0], x + 0.5 - middle[1]) / radius
    disc = distance < 1
    modes = np.stack([disc.astype(np.uint8) + (distance < cup) for cup in CUPS]).astype(np.uint8)
    image = (60 + 120 * disc + random.normal(0, 4, size)).clip(0, 255).astype(np.uint8)
    return image, modes


def write_eyes(
    folder: Path, subjects: int, images: int = 2, size: tuple[int, int] = (32, 32), seed: int = 0
) -> dict[str, Maps]:
    """Write a folder of images of three graders, and its table; return the modes by image."""
    random, rows, modes = np.random.default_rng(seed), [], {}
    for number in range(subjects * images):
        image, own = eye(size, random)
        name = write_picture(folder / f"images/{number:03}.png", image)
        drawn = random.choice(3, 3, p=PROBABILITIES)
        masks = [
            write_picture(folder / f"masks/{number:03}_{g}.png", own[mode])
            for g, mode in enumerate(drawn)
        ]
        rows.append([name, f"subject {number // images}", *masks])
        modes[name] = own
    write_table(folder, rows, HEADER)
    return modes


def write_labelled(
    path: Path,
    given: list[int],
    size: tuple[int, int] = (16, 24),
    names: tuple[str, ...] = tuple(CLASSES),
    absent: str = "equal",
    ignored: float = 0.1,
    seed: int = 0,
) -> Path:
    """Write and seal a store of random label maps of three graders, `given` telling who has looked.

    Maps are blocks, so that they overlap; some lack a class. `ignored` is the share of ignored
    pixels of a map.
    """
    count, random = len(given), np.random.default_rng(seed)
    labels = random_maps(random, (count, 3), size, len(names), ignored)
    for row, who in enumerate(given):
        labels[row, [not who >> g & 1 for g in range(3)]] = IGNORE
    labels = np.moveaxis(labels, 1, -1)
    attributes = LabelAttributes(
        dataset=path.stem,
        source="folder",
        synthetic=False,
        size=size,
        channels=1,
        values="uint8",
        graders=("mask_0", "mask_1", "mask_2"),
        window=(0.0, 255.0),
        window_from="",
        resampling="",
        resampled=0,
        annotations={},
        left_out={},
        left_out_subjects=(),
        unmarked=0,
        manifest_sha256="0",
        licence="none",
        versions={},
        classes=ClassTable(names=names, values=tuple(range(len(names))), ignore=255),
        absent=absent,
    )
    columns = ImageColumns(
        subject=np.array([f"P{row * 4 // count}" for row in range(count)]),
        name=np.array([f"images/{row}.png" for row in range(count)]),
        slice=np.full(count, -1, np.int32),
        given=np.array(given, np.uint8),
    )
    create_images(path, columns, attributes)
    image = random.integers(0, 255, (count, *size, 1)).astype(np.uint8)
    write_shard(path, 0, image=image, labels=labels)
    seal(path)
    return path


def random_maps(
    random: np.random.Generator,
    lead: tuple[int, ...],
    size: tuple[int, int],
    classes: int,
    ignored: float = 0.0,
) -> Maps:
    """Return label maps (*lead, H, W) of blocks of 2 x 2 pixels; each lacks classes at random."""
    shape = (-(-size[0] // 2), -(-size[1] // 2))
    maps = np.empty((*lead, *size), np.uint8)
    for place in np.ndindex(*lead):
        known = random.choice(classes, random.integers(1, classes + 1), replace=False)
        blocks = random.choice(known, shape).repeat(2, axis=0).repeat(2, axis=1)
        maps[place] = blocks[: size[0], : size[1]]
        maps[place][random.random(size) < random.choice([0, ignored])] = IGNORE
    return maps


def write_label_run(results: Path, images: LabelledImages) -> Path:
    """Write samples, scores and a latent space of a run that tests all images."""
    random, count = np.random.default_rng(0), len(images)
    run = Run(images.attributes.dataset, "probabilistic_unet", 1.0, 0, 0)
    folder = results / run.folder
    folder.mkdir(parents=True)
    size = images.attributes.size

    def stored(*lead: int) -> Maps:
        maps = random_maps(random, lead, size, images.classes)
        return pack(maps.astype(bool)) if images.classes == 2 else maps

    mean = np.zeros((2, len(images.graders), 4), np.float32)
    latent = Latent(
        rows=np.array([1, 2]),
        directions=np.array([[0, 1], [2, 3]]),
        steps=np.array([-1, 0, 1], np.float32),
        grid=stored(2, 3, 3),
        posterior_mean=mean,
        posterior_log_sigma=mean,
    )
    arrays = {
        "rows": np.arange(count),
        "samples": stored(count, 4),
        "deterministic": stored(count),
        "prior_mean": np.zeros((count, 4), np.float32),
        "prior_log_sigma": np.zeros((count, 4), np.float32),
    }
    about = sample_attributes(
        run, classes=images.classes, size=size, samples=4, store=images.digest
    )
    write_samples(folder / "samples.zarr", about, arrays, latent)
    score_run(folder / "samples.zarr", images.path, folder / "scores.parquet", (1, 4))
    return folder
