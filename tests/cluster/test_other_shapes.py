"""The same steps as other jobs: a data set prepared by several, trainings as one array."""

from pathlib import Path

import pytest
import yaml

from probunet.datasets.lidc.store import open_crops
from probunet.job import read_jobs

from .slurm import Slurm
from .study import LONG, Study

pytestmark = pytest.mark.cluster


def test_parts_are_prepared_on_both_nodes_and_make_the_same_store(
    env: dict[str, str], images: Path, cluster: Slurm, undisturbed: Study, tmp_path: Path
) -> None:
    file = tmp_path / "parts.yaml"
    file.write_text(yaml.safe_dump({"prepare": {"jobs": 2}, "containers": str(images)}))
    study = Study(tmp_path / "project", env, *LONG, file)
    done = study.slurm("--until", "prepare")
    assert done.returncode == 0, done.stdout
    logs = (study.folder / "logs/prepare").glob("lidc.?-of-2.log")
    ids = {read_jobs(log)[0].slurm["SLURM_JOB_ID"] for log in logs}
    rows = {row["JobID"]: row for row in cluster.sacct("--allocations")}
    assert {rows[job]["NodeList"] for job in ids} == {"node1", "node2"}  # eight cores each
    made, expected = (open_crops(one.folder / "data/lidc.zarr") for one in (study, undisturbed))
    assert made.digest == expected.digest


def test_trainings_as_one_array(expected: Study, cluster: Slurm) -> None:
    """The weights of other runs are compared with these in `test_interruptions`."""
    assert list((expected.folder / "results").rglob("weights.pt"))
    arrays = [row["JobID"] for row in cluster.sacct("--allocations") if "_" in row["JobID"]]
    assert len(arrays) == 2
    assert len({job.partition("_")[0] for job in arrays}) == 1
