"""What befalls jobs on a cluster changes no result and repeats no finished step."""

import time

import pytest

from probunet.files import sha256
from probunet.job import Job, read_jobs

from .slurm import Slurm
from .study import Study, kill, training_under_way

pytestmark = pytest.mark.cluster


def test_cancelled_training(study: Study, expected: Study, cluster: Slurm) -> None:
    driver = study.start()
    job = training_under_way(study, cluster)
    cluster.cancel(job)
    assert driver.wait(300) == 0, study.log
    assert_same(study, expected)
    assert [one.exit_code for one in tries(study) if one.slurm["SLURM_JOB_ID"] == job] == [75]


def test_training_that_reaches_its_time_limit(study: Study, expected: Study) -> None:
    """A minute is too short for it on two busy cores, or it ends in time: then nothing is shown."""
    done = study.slurm("--set-resources", "train:runtime=1", seconds=600)
    assert done.returncode == 0, done.stdout
    assert_same(study, expected)


def test_node_daemon_killed_and_back(study: Study, expected: Study, cluster: Slurm) -> None:
    driver = study.start()
    training_under_way(study, cluster)
    cluster.kill_slurmd("node1")
    time.sleep(2)
    cluster.start_slurmd("node1")
    assert driver.wait(300) == 0, study.log
    assert_same(study, expected)


def test_node_lost_and_back(study: Study, expected: Study, cluster: Slurm) -> None:
    driver = study.start()
    training_under_way(study, cluster)
    cluster.power_off("node1")
    time.sleep(2)
    cluster.start_slurmd("node1")
    assert driver.wait(300) == 0, study.log
    assert_same(study, expected)


def test_driver_killed(study: Study, expected: Study, cluster: Slurm) -> None:
    driver = study.start()
    job = training_under_way(study, cluster)
    kill(driver)
    done = study.slurm()
    assert done.returncode == 0, done.stdout
    assert "SLURM jobs of a Snakemake that was killed are cancelled" in done.stdout
    assert job in done.stdout
    assert_same(study, expected)


def test_driver_killed_and_its_jobs_end_before_the_next(
    study: Study, expected: Study, cluster: Slurm
) -> None:
    driver = study.start()
    training_under_way(study, cluster)
    kill(driver)
    cluster.wait_for(lambda: not cluster.squeue(), 120, "the end of the trainings")
    done = study.slurm()
    assert done.returncode == 0, done.stdout
    assert_same(study, expected)


def tries(study: Study) -> list[Job]:
    """Return every try of every job."""
    logs = sorted((study.folder / "logs").rglob("*.log"))
    return [job for log in logs for job in read_jobs(log)]


def assert_same(study: Study, expected: Study) -> None:
    """The results are the undisturbed ones, and each step ended well exactly once."""
    assert study.table() == expected.table()
    assert study.table("summary.csv") == expected.table("summary.csv")
    for weights in (expected.folder / "results").rglob("*.pt"):
        if "checkpoint" not in weights.parts:
            mine = study.folder / weights.relative_to(expected.folder)
            assert sha256(mine) == sha256(weights), mine
    for log in (study.folder / "logs").rglob("*.log"):
        done = [job for job in read_jobs(log) if job.succeeded]
        assert len(done) == 1, f"{log}: {len(done)} tries ended well"
