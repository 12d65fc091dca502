"""A whole study on the cluster: each step in its container, GPUs for the trainings alone."""

import json
from pathlib import Path

import pytest

from .slurm import Slurm
from .study import Study

pytestmark = pytest.mark.cluster


def test_whole(undisturbed: Study) -> None:
    assert undisturbed.rows()
