"""The cluster that the other tests here run on: does it do what a real one does?"""

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from . import slurm
from .slurm import Slurm, SlurmError, missing_packages

pytestmark = pytest.mark.cluster

HERE = Path(__file__).parent
# says what it hears, and goes on
UNWILLING = """exec python3 -uc 'import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("term"))
print("up")
while True: time.sleep(1)'"""


def rows(cluster: Slurm, job: str) -> dict[str, dict[str, str]]:
    """The job's and its steps' rows in the accounting as soon as all have ended there."""
    found = cluster.wait_for(
        lambda: [
            row
            for row in [cluster.sacct("--jobs", job)]
            if row and not {one["State"] for one in row} & {"PENDING", "RUNNING", "REQUEUED"}
        ],
        what=f"the end of job {job} in the accounting",
    )
    return {row["JobID"]: row for row in found[0]}


def state(cluster: Slurm, job: str) -> str:
    return next((row["STATE"] for row in cluster.squeue() if row["JOBID"] == job), "gone")


def text(file: Path) -> str:
    return file.read_text() if file.exists() else ""


def running(words: str) -> list[str]:
    """The command lines on this machine in which these words stand."""
    lines = subprocess.run(["ps", "-ewwo", "args"], capture_output=True, text=True).stdout
    return [line for line in lines.splitlines() if words in line]


def test_two_nodes_are_idle(cluster: Slurm) -> None:
    table = cluster.command("sinfo", "--noheader", "--Node", "--format=%N %T %c %G")
    assert table.split("\n")[:2] == ["node1 idle 8 gpu:2", "node2 idle 8 (null)"]


def test_only_a_job_that_asks_gets_a_gpu(cluster: Slurm, tmp_path: Path) -> None:
    script = "echo $SLURMD_NODENAME $SLURM_GPUS_ON_NODE"
    with_gpu = cluster.submit(script, "--gpus=1", f"--output={tmp_path}/with")
    without = cluster.submit(script, "--nodelist=node2", f"--output={tmp_path}/without")
    assert "gres/gpu=1" in rows(cluster, with_gpu)[with_gpu]["AllocTRES"].split(",")
    assert "gres/gpu" not in rows(cluster, without)[without]["AllocTRES"]
    assert (tmp_path / "with").read_text() == "node1 1\n"
    assert (tmp_path / "without").read_text() == "node2\n"


def test_more_gpus_than_there_are_wait(cluster: Slurm) -> None:
    jobs = [cluster.submit("sleep 60", "--gpus=1") for _ in range(3)]
    cluster.wait_for(lambda: [state(cluster, job) for job in jobs[:2]] == ["RUNNING"] * 2)
    assert state(cluster, jobs[2]) == "PENDING"
    cluster.cancel(jobs[0])
    cluster.wait_for(lambda: state(cluster, jobs[2]) == "RUNNING", what="the third job")
    cluster.drain()
    assert rows(cluster, jobs[0])[jobs[0]]["State"].startswith("CANCELLED")


def test_a_step_inside_a_job(cluster: Slurm, tmp_path: Path) -> None:
    """As Snakemake's jobs do: sbatch's script starts a step by srun."""
    job = cluster.submit("srun echo $SLURM_JOB_ID", f"--output={tmp_path}/out")
    assert rows(cluster, job)[f"{job}.0"]["State"] == "COMPLETED"
    assert (tmp_path / "out").read_text() == f"{job}\n"


def test_cancelled_job_hears_term_first(cluster: Slurm, tmp_path: Path) -> None:
    job = cluster.submit(UNWILLING, f"--output={tmp_path}/out")
    cluster.wait_for(lambda: "up" in text(tmp_path / "out"), what="the job's first line")
    cluster.cancel(job)
    assert rows(cluster, job)[job]["State"].startswith("CANCELLED")
    assert "term" in text(tmp_path / "out")


def test_killed_slurmd_that_returns_in_time_costs_nothing(cluster: Slurm, tmp_path: Path) -> None:
    """The job's own processes live on; it ends as if nothing had been."""
    job = cluster.submit("sleep 4; echo done", "--nodelist=node2", f"--output={tmp_path}/out")
    cluster.wait_for(lambda: state(cluster, job) == "RUNNING")
    cluster.kill_slurmd("node2")
    cluster.start_slurmd("node2")
    assert rows(cluster, job)[job]["State"] == "COMPLETED"
    assert text(tmp_path / "out") == "done\n"


def test_nothing_is_left_when_the_test_is_killed(tmp_path: Path) -> None:
    """No process and no port: not even a process that a job started in the background."""
    program = (
        "import sys, time; from pathlib import Path; from slurm import Slurm;"
        "up = Slurm(Path(sys.argv[1])); up.start();"
        "up.submit(f'setsid sleep 7531 & echo up > {sys.argv[1]}/out; sleep 7531');"
        "up.wait_for(lambda: (up.folder / 'out').exists()); print('up', flush=True);"
        "time.sleep(999)"
    )
    folder = tmp_path / "two"
    words = [sys.executable, "-c", program, str(folder)]
    env = os.environ | {"PYTHONPATH": str(HERE)}
    test = subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=env)
    assert test.stdout is not None
    line = test.stdout.readline()
    before = running(str(tmp_path))
    conf = (folder / "slurm.conf").read_text()
    ports = [int(port) for port in re.findall(r"Port=(\d+)", conf)]
    test.kill()
    test.wait()
    test.stdout.close()
    assert line == "up\n"
    assert len(before) > 6, before
    assert len(ports) == 4
    deadline = time.monotonic() + 10
    while (running(str(tmp_path)) or running("sleep 7531")) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not running(str(tmp_path))
    assert not running("sleep 7531")
    for port in ports:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(("127.0.0.1", port))


def test_log_of_a_daemon_that_does_not_come_up(tmp_path: Path) -> None:
    with pytest.raises(SlurmError, match=r"slurmctld has ended(.|\n)*nonsense"):
        Slurm(tmp_path / "bad", SelectType="select/nonsense").start()
    assert not running(str(tmp_path))


def test_says_which_packages_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(slurm.PROGRAMS, "no-such-program", "no-such-package")
    assert missing_packages() == ["no-such-package"]
    with pytest.raises(SlurmError, match=r"no-such-package.*install\.sh"):
        Slurm(tmp_path).start()


def test_says_that_root_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SlurmError, match="needs root"):
        Slurm(tmp_path).start()
