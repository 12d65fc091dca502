"""One whole study that several tests look at."""

import fcntl
import os
import shutil
from pathlib import Path

import pytest

from support.studies import TINY, TINY_STREETS, run_study

SECRET = "s3cret-p4ss/w%rd"
WHOLE = TINY | {
    "datasets": {"lidc": {"source": "phantom", "patients": 4}, "cityscapes": TINY_STREETS},
    "beta": [1, 10],
    "models": ["probabilistic_unet", "unet", "hierarchical_probabilistic_unet"],
    "hierarchical_probabilistic_unet": {"channels": [4, 8], "blocks": 1},
    "overrides": {
        "cityscapes": {
            "models": ["unet_ensemble", "image2image_vae"],
            "unet_ensemble": {"members": 2},
        }
    },
}


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of both data sets; tests read it, and change copies of it only."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:  # one for all processes
        shared = shared.parent
    folder = shared / "whole"
    with (shared / "whole.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        patch.setenv("CITYSCAPES_PASSWORD", SECRET)
        if not (folder / "results/report.html").is_file():
            run_study(folder, WHOLE)
    return folder


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """A copy of that study, in which nothing is to be done.

    It lies beside the study, because the report depends on the Snakefile's relative path.
    """
    copy = whole.with_name(f"{tmp_path.parent.name}-{tmp_path.name}-study")
    return shutil.copytree(whole, copy, symlinks=True)
