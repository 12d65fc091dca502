"""The discs' settings with more steps, and a run trained until it finds some of the discs."""

import pytest

from probunet.run import Run
from probunet.train.loop import train
from support.settings import tiny_settings


@pytest.fixture(scope="session")
def settings():
    return tiny_settings(steps=60, batch=8, learning_rates=[1e-2])


@pytest.fixture(scope="session")
def weights(tmp_path_factory, store, folds, settings):
    root = tmp_path_factory.mktemp("run")
    run = Run("discs", "probabilistic_unet", 1.0, 0, 0)
    train(run, store, folds, settings, root / run.folder, root / "checkpoint", "cpu", 1)
    return root / run.folder / "weights.pt"
