"""The discs of the training's tests, and a run trained until it finds some of them.

Besides, a store of tiny scenes, and weights as they are drawn at first: what is tested on scenes is
what is stored, not how good it is.
"""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from probunet.cityscapes import IGNORE
from probunet.config import Settings
from probunet.folds import Fold, Folds
from probunet.models import build
from probunet.models.weights import WeightsInfo, save_weights
from probunet.run import Run
from probunet.store import (
    Crops,
    SceneAttributes,
    SceneColumns,
    create_scenes,
    open_data,
    seal,
    write_shard,
)
from probunet.train.loop import train

CITIES = ("aachen", "bochum", "frankfurt")
SCENES = 9
SIZE = (8, 16)

_spec = importlib.util.spec_from_file_location(
    "discs", Path(__file__).parents[1] / "train" / "conftest.py"
)
assert _spec is not None
assert _spec.loader is not None
discs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(discs)

store, folds, run = discs.store, discs.folds, discs.run  # fixtures


@pytest.fixture(scope="session")
def settings() -> Settings:
    small: Settings = discs.tiny_settings(steps=60, batch=8, learning_rates=[1e-2])
    return small


@pytest.fixture(scope="session")
def weights(
    tmp_path_factory: pytest.TempPathFactory, store: Path, folds: Path, settings: Settings
) -> Path:
    root = tmp_path_factory.mktemp("run")
    run = Run("discs", "probabilistic_unet", 1.0, 0, 0)
    train(run, store, folds, settings, root / run.folder, root / "checkpoint", "cpu", 1)
    return root / run.folder / "weights.pt"


@pytest.fixture
def other_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("other") / "discs.zarr"
    discs.write_discs(path, seed=1)
    return path


@pytest.fixture(scope="session")
def scene_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scenes") / "cityscapes.zarr"
    random = np.random.default_rng(0)
    city = np.array([CITIES[i % len(CITIES)] for i in range(SCENES)])
    columns = SceneColumns(city=city, frame=np.array([f"{i:06}_000019" for i in range(SCENES)]))
    attributes = SceneAttributes(
        dataset="cityscapes",
        source="test",
        synthetic=True,
        protocol="kohl2018-cityscapes",
        size=SIZE,
        resampling="",
        labels="",
        flips={},
        left_out={},
        manifest_sha256="",
        licence="",
        versions={},
    )
    create_scenes(path, columns, attributes)
    image = random.integers(0, 256, (SCENES, *SIZE, 3)).astype(np.uint8)
    label = random.choice([0, 1, 8, 11, 13, IGNORE], (SCENES, *SIZE)).astype(np.uint8)
    write_shard(path, 0, image=image, label=label)
    seal(path)
    return path


@pytest.fixture(scope="session")
def scene_folds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene-folds") / "folds.json"
    fold = Fold(train=("aachen",), validation=("bochum",), test=("frankfurt",))
    Folds(dataset="cityscapes", folds=(fold,)).write(path)
    return path


def write_untrained(
    path: Path, run: Run, store: Path, settings: Settings, model: str | None = None, seed: int = 0
) -> Path:
    """Write the weights of a run before its first step, as a training would."""
    data, name = open_data(store), model or run.model
    crops = isinstance(data, Crops)
    info = WeightsInfo(
        model=name,
        architecture=settings.architecture_of(name),
        in_channels=1 if crops else 3,
        classes=2 if crops else 24,
        window=settings.intensity.window if crops else None,
        crop=32 if crops else None,
        run=run.folder,
        store=data.digest,
        step=seed,
        validation_ged=None,
    )
    built = build(
        name, info.architecture, in_channels=info.in_channels, classes=info.classes, seed=seed
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, built, info)
    return path


@pytest.fixture
def untrained():
    return write_untrained
