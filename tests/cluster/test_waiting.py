"""A cluster that is smaller than --cores, and a laptop without one."""

import os
from datetime import datetime
from pathlib import Path

import pytest

from .slurm import Slurm
from .study import Study

pytestmark = pytest.mark.cluster


def test_jobs_wait_for_cores_and_gpus(undisturbed: Study, cluster: Slurm) -> None:
    """--cores was 64; the nodes have 16 in all, and 2 GPUs."""
    rows = [
        row for row in cluster.sacct("--allocations") if row["Start"] not in ("Unknown", "None")
    ]
    parts = [dict(item.split("=") for item in row["AllocTRES"].split(",") if item) for row in rows]
    spans = [
        (datetime.fromisoformat(row["Start"]), datetime.fromisoformat(row["End"]), part)
        for row, part in zip(rows, parts, strict=True)
        if row["End"] != "Unknown"
    ]
    for resource, there in (("cpu", 16), ("gres/gpu", 2)):
        used = [
            sum(int(p.get(resource, 0)) for start, end, p in spans if start <= moment < end)
            for moment, _, _ in spans
        ]
        assert 0 < max(used) <= there


def test_dry_run_with_the_profile_where_there_is_neither_slurm_nor_apptainer(
    study: Study, tmp_path: Path
) -> None:
    programs = tmp_path / "laptop"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for program in Path(folder).iterdir():
            missing = program.name.startswith(("s", "apptainer", "singularity"))
            if not missing and not (programs / program.name).exists():
                (programs / program.name).symlink_to(program)
    laptop = {key: text for key, text in study.env.items() if not key.startswith("SLURM")}
    study.env = laptop | {"PATH": str(programs)}
    done = study.run("--profile", "slurm", "--cores", "64", "--dry-run", seconds=180)
    assert done.returncode == 0, done.stdout
    assert "train" in done.stdout
    real = study.run("--profile", "slurm", "--cores", "64", seconds=180)
    assert real.returncode != 0
    assert "neither `apptainer` nor `singularity`" in real.stdout
    assert os.path.lexists(study.folder / "Snakefile")
