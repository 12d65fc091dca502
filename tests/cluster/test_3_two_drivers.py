"""Two Snakemakes on one folder."""

import pytest

from .slurm import Slurm
from .study import Study, training_under_way

pytestmark = pytest.mark.cluster


def test_the_second_is_refused_and_the_first_is_left_alone(study: Study, cluster: Slurm) -> None:
    first = study.start("--until", "train")
    training_under_way(study, cluster)
    second = study.slurm(seconds=60)
    assert second.returncode != 0
    assert f"another Snakemake runs here: process {first.pid} on " in second.stdout
    assert "Wait for it to end, or stop it there." in second.stdout
    dry = study.slurm("--dry-run", seconds=60)
    assert dry.returncode == 0, dry.stdout
    assert first.wait(300) == 0, study.log
    assert list((study.folder / "results").rglob("weights.pt"))
