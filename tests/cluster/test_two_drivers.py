"""Two Snakemakes on one folder."""

from pathlib import Path

import pytest
import yaml

from probunet.job import read_jobs

from .slurm import Slurm
from .study import Study, training_under_way

pytestmark = pytest.mark.cluster


def test_the_second_is_refused_and_the_first_is_left_alone(
    study: Study, cluster: Slurm, tmp_path: Path
) -> None:
    first = study.start("--until", "train")
    training_under_way(study, cluster)
    second = study.slurm(seconds=60)
    assert second.returncode != 0
    assert f"another Snakemake runs here: process {first.pid} on " in second.stdout
    assert "Wait for it to end, or stop it there." in second.stdout
    elsewhere = tmp_path / "elsewhere.yaml"  # other files, which Snakemake's own lock lets pass
    elsewhere.write_text(yaml.safe_dump({"paths": {"results": "elsewhere"}}))
    configs, study.configs = study.configs, (*study.configs, elsewhere)
    third = study.slurm(seconds=60)
    assert third.returncode != 0
    assert f"another Snakemake runs here: process {first.pid} on " in third.stdout
    study.configs = configs
    dry = study.slurm("--dry-run", seconds=60)
    assert dry.returncode == 0, dry.stdout
    assert first.wait(300) == 0, study.log
    logs = (study.folder / "logs/train").rglob("*.log")
    assert [len(read_jobs(log)) for log in logs] == [1, 1]  # nobody has cancelled them
    assert list((study.folder / "results").rglob("weights.pt"))
