"""Tiny stores of crops and of scenes, their folds, and settings that train in a second."""

from pathlib import Path

import numpy as np
import pytest

from probunet.config import Settings, check
from probunet.files import written_whole
from probunet.folds import Fold, Folds
from probunet.run import Run
from probunet.store import (
    SHARD,
    SIZE,
    Columns,
    CropAttributes,
    SceneAttributes,
    SceneColumns,
    create_crops,
    create_scenes,
    seal,
    write_shard,
)

PATIENTS = ("a", "b", "c", "d")
CROPS = 24
CITIES = ("aachen", "bochum", "ulm", "munster")
SCENES = 16


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "discs.zarr"
    write_discs(path, seed=0)
    return path


@pytest.fixture(scope="session")
def folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folds") / "folds.json"
    fold = Fold(train=("a", "b"), validation=("c",), test=("d",))
    Folds(dataset="discs", seed=0, folds=(fold,)).write(path)
    return path


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "streets.zarr"
    write_streets(path, seed=0)
    return path


@pytest.fixture(scope="session")
def city_folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("folds") / "cities.json"
    fold = Fold(train=("aachen", "bochum"), validation=("ulm",), test=("munster",))
    Folds(dataset="streets", seed=0, folds=(fold,)).write(path)
    return path


@pytest.fixture
def run() -> Run:
    return Run("discs", "probabilistic_unet", 1.0, 0, 0)


@pytest.fixture
def settings() -> Settings:
    return tiny_settings()


def tiny_settings(**training: object) -> Settings:
    values = {
        "steps": 6,
        "batch": 2,
        "crop": 32,
        "learning_rates": [1e-3, 1e-4],
        "validation_every": 3,
        "validation_images": 3,
        "validation_samples": 2,
        "checkpoint_every": 2,
        "log_every": 2,
    }
    return check(
        Settings,
        {
            "architecture": {"channels": [4, 8], "convolutions": 1, "latent_dim": 2},
            "training": {**values, **training},
            "evaluation": {"crop": 32, "samples": 4, "n": [1, 4]},
        },
        "test",
    )


def write_discs(path: Path, seed: int) -> None:
    """Write crops with a bright disc each; grader g outlines it g pixels wider, the last none."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE, :SIZE] - (SIZE - 1) / 2
    radius = random.uniform(4, 12, CROPS)
    distance = np.hypot(x, y)
    image = np.where(distance < radius[:, None, None], 50, -800)
    image = (image + random.normal(0, 20, image.shape)).astype(np.int16)
    masks = np.zeros(image.shape, np.uint8)
    for grader in range(3):
        masks |= ((distance < radius[:, None, None] + grader) << grader).astype(np.uint8)
    columns = Columns(
        patient=np.array([PATIENTS[i * len(PATIENTS) // CROPS] for i in range(CROPS)]),
        series=np.array([f"1.{i}" for i in range(CROPS)]),
        z=np.arange(CROPS, dtype=np.float64),
        lesion=np.zeros(CROPS, np.int32),
        annotations=np.full(CROPS, 3, np.uint8),
    )
    with written_whole(path) as aside:
        create_crops(aside, columns, _attributes())
        for shard in range(-(-CROPS // SHARD)):
            part = slice(shard * SHARD, (shard + 1) * SHARD)
            write_shard(aside, shard, image=image[part], masks=masks[part])
        seal(aside)


def write_streets(path: Path, seed: int, size: tuple[int, int] = (16, 32)) -> None:
    """Write scenes: road and sidewalk below, a tree, a person, a car; a border that is ignored.

    The first scene of each city shows buildings only, which the flips do not concern.
    """
    random = np.random.default_rng(seed)
    height, width = size
    label = np.full((SCENES, height, width), 2, np.uint8)  # building
    for i, one in enumerate(label):
        if i * len(CITIES) % SCENES:
            one[height // 2 :] = 0  # road
            one[height // 2 : height // 2 + 3] = 1  # sidewalk
            for train_id in (8, 11, 13):  # vegetation, person, car
                left = random.integers(1, width - 6)
                one[4 : height // 2 + 2, left : left + 5] = train_id
        one[:, :1] = one[:1] = 255
    colours = random.integers(0, 255, (256, 3))
    image = colours[label] + random.normal(0, 10, (*label.shape, 3))
    columns = SceneColumns(
        city=np.array([CITIES[i * len(CITIES) // SCENES] for i in range(SCENES)]),
        frame=np.array([f"{i:06}_000019" for i in range(SCENES)]),
    )
    with written_whole(path) as aside:
        create_scenes(aside, columns, _scene_attributes(size))
        write_shard(aside, 0, image=image.clip(0, 255).astype(np.uint8), label=label)
        seal(aside)


def _attributes() -> CropAttributes:
    return CropAttributes(
        dataset="discs",
        source="test",
        synthetic=True,
        protocol="kohl2018",
        spacing=0.5,
        outlines="",
        more_than_four="",
        annotations={"3": CROPS},
        left_out={},
        left_out_patients=(),
        manifest_sha256="",
        licence="",
        versions={},
    )


def _scene_attributes(size: tuple[int, int]) -> SceneAttributes:
    return SceneAttributes(
        dataset="streets",
        source="test",
        synthetic=True,
        protocol="kohl2018-cityscapes",
        size=size,
        resampling="",
        labels="",
        flips={},
        left_out={},
        manifest_sha256="",
        licence="",
        versions={},
    )
