"""Sites where something is not as the profile takes for granted: the cause is named, and a cure."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from .slurm import Slurm
from .study import LONG, Study

pytestmark = pytest.mark.cluster

# node1 has the GPUs, and is not in the default partition
PARTITIONS = {
    "plain": "Nodes=node2 Default=YES MaxTime=2-0 DefaultTime=60",
    "short": "Nodes=node1 MaxTime=0:30:00 DefaultTime=10",
    "gpus": "Nodes=node1 MaxTime=2-0 DefaultTime=60",
}


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk with room for next to nothing, mounted before the nodes start."""
    folder = tmp_path_factory.mktemp("full")
    mounted = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    subprocess.run(mounted, check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def bad_site(full: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """An account is required; and the nodes know no Apptainer if `hide` stands in its folder."""
    folder = tmp_path_factory.mktemp("bad")
    prolog = folder / "prolog.sh"
    prolog.write_text(
        f"#!/bin/bash\n[ ! -e {folder}/hide ] || echo export PATH="
        '$(tr : "\\n" <<< "$PATH" | grep -v /apptainer/ | paste -sd :)\n'
    )
    prolog.chmod(0o755)
    running = Slurm(
        folder, partitions=PARTITIONS, account_required=True, KillWait=2, TaskProlog=str(prolog)
    )
    with running:
        yield running


@pytest.fixture
def visitor(env: dict[str, str], bad_site: Slurm, ready: Path, tmp_path: Path) -> Iterator[Study]:
    """A study at that site."""
    there = env | {"SLURM_CONF": bad_site.env["SLURM_CONF"]}
    yield Study(tmp_path / "project", there, *LONG, ready)
    bad_site.drain()


def refused(study: Study, *defaults: str, more: tuple[str, ...] = ()) -> str:
    """Run the study with default resources of the site; return what is said when it fails."""
    given = ("--default-resources", "mem_mb=4000", "runtime=60", *defaults) if defaults else ()
    done = study.slurm(*given, *more, "--retries", "0", seconds=120)
    assert done.returncode != 0
    return done.stdout


def nothing_was_submitted(site: Slurm) -> bool:
    return not site.squeue()


def test_no_account(visitor: Study, bad_site: Slurm) -> None:
    said = refused(visitor)
    assert "SLURM would not run" in said
    assert "Invalid account" in said
    assert "`slurm_account` under `default-resources` in slurm/config.yaml" in said
    assert nothing_was_submitted(bad_site)


def test_partition_that_does_not_exist(visitor: Study, bad_site: Slurm) -> None:
    said = refused(visitor, "slurm_account=study", "slurm_partition=nowhere")
    assert "Invalid partition name specified" in said
    assert "--partition=nowhere" in said
    assert "Correct `slurm_partition` in slurm/config.yaml" in said
    assert nothing_was_submitted(bad_site)


def test_no_gpu_in_the_partition(visitor: Study, bad_site: Slurm) -> None:
    said = refused(visitor, "slurm_account=study")
    assert "SLURM would not run train: " in said
    assert "--gpus=1" in said
    assert "`slurm_partition` under `set-resources`, `train:` for the GPUs" in said
    assert nothing_was_submitted(bad_site)


def test_time_limit_beyond_the_partition_s(visitor: Study, bad_site: Slurm) -> None:
    said = refused(visitor, "slurm_account=study", "slurm_partition=short")
    assert "SLURM would not run sample, train: the time limit is beyond the partition's" in said
    assert "Lower `runtime` (minutes) under `set-resources`" in said
    assert nothing_was_submitted(bad_site)


def test_image_missing(visitor: Study, bad_site: Slurm, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"containers": str(tmp_path / "none")}))
    visitor.configs = (*visitor.configs, other)
    said = refused(visitor, "slurm_account=study", "slurm_partition=gpus")
    assert f"{tmp_path}/none/data.sif: no such image" in said
    assert "correct `containers` in the configuration" in said
    assert nothing_was_submitted(bad_site)


def test_no_apptainer_on_the_node(visitor: Study, bad_site: Slurm) -> None:
    hide = bad_site.folder / "hide"
    hide.touch()
    try:
        said = refused(visitor, "slurm_account=study", "slurm_partition=gpus")
    finally:
        hide.unlink()
    assert "neither `apptainer` nor `singularity` is on the PATH of this machine" in said
    assert "Load its module" in said


def test_disk_full(visitor: Study, full: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump({"paths": {"results": str(full / "results")}}))
    visitor.configs = (*visitor.configs, other)
    said = refused(visitor, "slurm_account=study", "slurm_partition=gpus")
    assert "the disk or quota is full; nothing was left behind" in said
    assert "Free some space and run the same command again" in said
