"""A tiny store of crops with discs for lesions, folds, and settings that train in a second."""

from pathlib import Path

import numpy as np
import pytest

from probunet.config import Settings, check
from probunet.files import written_whole
from probunet.folds import Fold, Folds
from probunet.run import Run
from probunet.store import SHARD, SIZE, Columns, CropAttributes, create_crops, seal, write_shard

PATIENTS = ("a", "b", "c", "d")
CROPS = 24


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
