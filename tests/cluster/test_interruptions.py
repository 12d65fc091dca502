"""Job failures on a cluster change no result and repeat no finished step."""

import os
import random
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from probunet.files import sha256
from probunet.job import Job, read_jobs

from .slurm import Slurm
from .study import Study, kill, training_under_way

pytestmark = pytest.mark.cluster

KILLS = int(os.environ.get("PROBUNET_KILLS", "2"))  # 30 by hand


def test_cancelled_training(study: Study, expected: Study, cluster: Slurm) -> None:
    """SLURM tells every process, that which holds the image too: the training may not save itself.

    Apptainer without setuid mounts images with squashfuse, whose end takes the image away. Then the
    next try goes on from the last checkpoint that was due.
    """
    driver = study.start()
    job = training_under_way(study, cluster)
    cluster.cancel(job)
    assert driver.wait(900) == 0, study.log
    assert_same(study, expected)
    (cancelled,) = (one for one in tries(study) if one.slurm["SLURM_JOB_ID"] == job)
    assert cancelled.exit_code in (75, None)


def test_training_that_reaches_its_time_limit(study: Study, ready: Path, tmp_path: Path) -> None:
    """SLURM's shortest limit, a minute, and a training that takes longer."""
    longer = tmp_path / "longer.yaml"
    training = {"steps": 3000, "validation_every": 1000, "checkpoint_every": 3000}
    longer.write_text(yaml.safe_dump({"training": training}))
    study.configs = (*study.configs, longer)
    left_alone = Study(tmp_path / "left alone", study.env, *study.configs)
    fold = "results/lidc/probabilistic_unet/beta-1/fold-0/seed-0"
    alone = left_alone.start(f"{fold}/weights.pt")
    # a busy machine needs many tries
    limits = ("--set-resources", "train:runtime=1", "--retries", "20")
    done = study.slurm(f"{fold}/weights.pt", *limits, seconds=1500)
    assert done.returncode == 0, done.stdout
    assert alone.wait(900) == 0, left_alone.log
    assert_same_weights(study, left_alone)
    assert {job.exit_code for job in tries(study)} == {0, 75}


def test_node_back(study: Study, expected: Study, cluster: Slurm) -> None:
    """First only SLURM's daemon on the node is killed, then everything that runs there."""
    driver = study.start("--until", "train")
    for stop in (cluster.kill_slurmd, cluster.power_off):
        training_under_way(study, cluster)
        stop("node1")
        time.sleep(2)
        cluster.start_slurmd("node1")
    assert driver.wait(900) == 0, study.log
    assert_same_weights(study, expected)


def test_second_driver_is_refused_and_a_killed_one_is_cleared_up(
    study: Study, expected: Study, cluster: Slurm, tmp_path: Path
) -> None:
    driver = study.start("--until", "train")
    job = training_under_way(study, cluster)
    assert_another_is_refused(study, driver.pid, tmp_path)
    assert job in {row["JOBID"] for row in cluster.squeue()}  # the first driver's job runs on
    assert driver.poll() is None
    kill(driver)
    done = study.slurm("--until", "train")
    assert done.returncode == 0, done.stdout
    assert "SLURM jobs of a Snakemake that was killed are cancelled" in done.stdout
    assert job in done.stdout
    assert_same_weights(study, expected)


def assert_another_is_refused(study: Study, first: int, folder: Path) -> None:
    """A second Snakemake in the same folder is refused, for other files too; a dry run is not."""
    elsewhere = folder / "elsewhere.yaml"  # other files, which Snakemake's own lock allows
    elsewhere.write_text(yaml.safe_dump({"paths": {"results": "elsewhere"}}))
    configs = study.configs
    for more in ((), (elsewhere,)):
        study.configs = (*configs, *more)
        second = study.slurm(seconds=180)
        assert second.returncode != 0
        assert f"another Snakemake runs here: process {first} on " in second.stdout
        assert "Wait for it to end, or stop it there." in second.stdout
    study.configs = configs
    dry = study.slurm("--dry-run", seconds=180)
    assert dry.returncode == 0, dry.stdout


def test_driver_killed_and_its_jobs_end_before_the_next(
    study: Study, expected: Study, cluster: Slurm
) -> None:
    driver = study.start("--until", "train")
    training_under_way(study, cluster)
    kill(driver)
    cluster.wait_for(lambda: not cluster.squeue(), 600, "the end of the trainings")
    done = study.slurm("--until", "train")
    assert done.returncode == 0, done.stdout
    assert_same_weights(study, expected)


def test_driver_killed_at_random_moments(study: Study, expected: Study) -> None:
    """Alone or with what it started here; its jobs run on, end by themselves or are cancelled."""
    chance = random.Random(int(os.environ.get("PROBUNET_SEED", "8")))
    finished: dict[Path, int] = {}  # when each training ended
    kills = 0
    for _ in range(KILLS):
        driver = study.start()
        with suppress(subprocess.TimeoutExpired):
            assert driver.wait(chance.uniform(0, 120)) == 0, study.log
            break
        if chance.random() < 0.5:
            driver.kill()
            driver.wait()
        else:
            kill(driver)
        kills += 1
        time.sleep(chance.choice([0, 2, 30]))
        for file in (study.folder / "results").rglob("checkpoint/finished/digest"):
            finished.setdefault(file, file.stat().st_mtime_ns)
    done = study.slurm()
    assert done.returncode == 0, done.stdout
    assert kills
    for name in ("scores.csv", "summary.csv", "comparison.csv"):
        assert study.table(name) == expected.table(name)
    assert_equal_weights(study, expected)
    for file, ended in finished.items():
        assert file.stat().st_mtime_ns == ended, f"{file}: trained anew"


def tries(study: Study) -> list[Job]:
    """Return every try of every job."""
    logs = sorted((study.folder / "logs").rglob("*.log"))
    return [job for log in logs for job in read_jobs(log)]


def assert_same(study: Study, expected: Study) -> None:
    """The results are the undisturbed ones."""
    assert study.table() == expected.table()
    assert study.table("summary.csv") == expected.table("summary.csv")
    assert_same_weights(study, expected)


def assert_same_weights(study: Study, expected: Study) -> None:
    """The trainings that ran ended with the undisturbed weights; each step ended well once."""
    assert_equal_weights(study, expected)
    for log in (study.folder / "logs").rglob("*.log"):
        done = [job for job in read_jobs(log) if job.succeeded]
        assert len(done) == 1, f"{log}: {len(done)} tries ended well"


def assert_equal_weights(study: Study, expected: Study) -> None:
    """The trainings that ran ended with the undisturbed weights."""
    found = [
        file for file in (study.folder / "results").rglob("*.pt") if "checkpoint" not in file.parts
    ]
    assert found
    for file in found:
        assert sha256(file) == sha256(expected.folder / file.relative_to(study.folder)), file
