"""No step of a study listens on a port: any user of the machine could connect to it."""

import os
from pathlib import Path

import pytest

from support.listening import linux, listening, watched
from support.studies import study


@linux
@pytest.mark.slow
def test_no_step_listens_on_a_port(tmp_path: Path) -> None:
    """Snakemake, and fetch, prepare, train, sample, score and report."""
    own = listening(os.getpid())  # a plugin of pytest's
    with watched(os.getpid()) as found:
        phantom = {"lidc": {"source": "phantom", "patients": 4}}
        results = study(tmp_path, phantom, models=["probabilistic_unet"])
    assert (results / "report.html").exists()
    assert found - own == set()
