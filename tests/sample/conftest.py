"""The discs of the training's tests, and a run trained until it finds some of them."""

import importlib.util
from pathlib import Path

import pytest

from probunet.config import Settings
from probunet.run import Run
from probunet.train.loop import train

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
