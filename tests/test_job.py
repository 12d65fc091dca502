import json
import os
import shutil
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path

import pytest

from probunet import job
from probunet.job import Job, code_commit, read_jobs, recorded

RUN = """
import sys
from probunet.job import recorded
with recorded("train"):
    exec(sys.argv[1])
"""


def run(code: str, log: Path, **environment: str) -> tuple[int, Job]:
    """What a process that runs this code as a job exits with, and its record."""
    with log.open("a") as stderr:
        done = subprocess.run(
            [sys.executable, "-c", RUN, code], stderr=stderr, env=os.environ | environment
        )
    return done.returncode, read_jobs(log)[-1]


def lines(log: Path) -> list[dict[str, object]]:
    return [
        json.loads(line.removeprefix("job "))
        for line in log.read_text().splitlines()
        if line.startswith("job {")
    ]


def test_a_job_tells_what_it_is_and_how_it_ended(tmp_path):
    log = tmp_path / "train.log"
    code, found = run("import numpy, time; time.sleep(0.2)", log)
    assert code == 0
    assert found.succeeded
    assert (found.command, found.exit_code) == ("train", 0)
    assert found.seconds is not None
    assert 0.2 <= found.seconds < 60
    assert found.ended is not None
    begun, ended = map(datetime.fromisoformat, (found.started, found.ended))
    assert 0 <= (ended - begun).total_seconds() <= found.seconds + 1
    assert str(begun.tzinfo) == "UTC"
    assert set(found.versions) == {"python", "numpy"}  # what was not imported is not named
    assert (found.threads, found.gpu, found.container, found.slurm) == (None, None, None, {})
    assert [line["event"] for line in lines(log)] == ["start", "end"]


@pytest.mark.parametrize(
    ("code", "exit_code"),
    [
        ("sys.exit(75)", 75),
        ("sys.exit()", 0),
        ("sys.exit('a message')", 1),
        ("1 / 0", 1),
        ("raise KeyboardInterrupt", 1),
    ],
)
def test_the_last_line_is_there_however_a_job_ends(tmp_path, code, exit_code):
    _, found = run(code, tmp_path / "log")
    assert found.exit_code == exit_code
    assert found.succeeded == (exit_code == 0)
    assert found.ended is not None


def test_a_killed_job_has_no_last_line(tmp_path):
    _, found = run("import os; os.kill(os.getpid(), 9)", tmp_path / "log")
    assert (found.command, found.exit_code, found.ended) == ("train", None, None)
    assert not found.succeeded


def test_memory_is_the_job_s_own_and_that_of_its_children_apart(tmp_path):
    took = "x = bytearray(200 * 2**20)"
    child = f'import subprocess; subprocess.run([sys.executable, "-c", "{took}"])'
    _, own = run(took, tmp_path / "own")
    _, childs = run(child, tmp_path / "child")
    assert own.max_rss_mb is not None
    assert childs.max_rss_mb is not None
    assert childs.children_max_rss_mb is not None
    assert 200 < own.max_rss_mb < 400
    assert childs.max_rss_mb < 150
    assert 200 < childs.children_max_rss_mb < 400


def test_slurm_and_the_container_come_from_the_environment(tmp_path):
    _, found = run(
        "pass",
        tmp_path / "log",
        SLURM_JOB_ID="123_4",
        SLURM_ARRAY_TASK_ID="4",
        SLURM_CPUS_PER_TASK="2",
        APPTAINER_CONTAINER="/somewhere/torch.sif",
    )
    assert found.slurm == {"SLURM_JOB_ID": "123_4", "SLURM_ARRAY_TASK_ID": "4"}
    assert found.container == "/somewhere/torch.sif"


def test_torch_is_recorded_if_it_was_used(tmp_path):
    torch = pytest.importorskip("torch", reason="torch is not installed: data steps have none")
    _, found = run("import torch; torch.set_num_threads(3)", tmp_path / "log")
    assert found.threads == 3
    assert found.versions["torch"] == torch.__version__
    assert found.gpu is None


def test_what_a_step_notes_is_in_its_last_line(tmp_path):
    code = "from probunet.job import note; note(precision='bfloat16', capability='AVX512')"
    _, found = run(code, tmp_path / "log")
    assert (found.precision, found.capability, found.device) == ("bfloat16", "AVX512", None)


def test_all_tries_in_one_log_are_read_whatever_stands_between(tmp_path):
    log = tmp_path / "log"
    run("sys.exit(75)", log)
    with log.open("a") as file:
        file.write('step 1\njob {"event": "start", "id": "cut o\njob {}\njob [1]\njob\n\xff\n')
    run("pass", log)
    assert [found.exit_code for found in read_jobs(log)] == [75, 0]
    # a last line whose first one is lost tells nothing
    last = log.read_text().splitlines()[-1]
    log.write_text(last)
    assert read_jobs(log) == []
    assert read_jobs(tmp_path / "absent") == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where stderr goes to")
def test_tries_are_kept_though_snakemake_removes_the_log(tmp_path):
    log = tmp_path / "train.log"
    assert run("sys.exit(75)", log)[0] == 75
    log.unlink()
    assert run("pass", log)[0] == 0
    assert [found.exit_code for found in read_jobs(log)] == [75, 0]
    log.unlink()
    assert [found.exit_code for found in read_jobs(log)] == [75, 0]


def test_a_record_that_cannot_be_written_does_not_hurt_the_job(monkeypatch, tmp_path):
    with (tmp_path / "full").open("w") as closed:
        monkeypatch.setattr(sys, "stderr", closed)
    with recorded("train"):
        done = True
    assert done


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such terminal")
def test_nothing_is_written_on_a_terminal():
    terminal, behind = os.openpty()
    command = [sys.executable, "-c", RUN, "print('said', file=sys.stderr); sys.exit(3)"]
    done = subprocess.run(command, stderr=behind)
    os.close(behind)
    assert done.returncode == 3
    assert os.read(terminal, 10_000).decode().split() == ["said"]
    os.close(terminal)


def test_a_record_costs_next_to_nothing(capsys):
    begun = time.perf_counter()
    with recorded("train"):
        pass
    assert time.perf_counter() - begun < 1
    assert capsys.readouterr().out == ""


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A source tree without a repository, and this package within."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    package = tmp_path / "src/probunet"
    package.mkdir(parents=True)
    (package / "model.py").write_text("1")
    monkeypatch.setattr(job, "PACKAGE", package)
    return tmp_path


def test_commit_is_that_of_the_source_tree_and_says_if_files_differ(tree):
    assert code_commit() is None
    git(tree, "init")
    git(tree, "add", ".")
    git(tree, "commit", "-m", "first")
    head = git(tree, "rev-parse", "HEAD")
    git(tree, "tag", "v1")
    assert code_commit() == head
    (tree / "notes").touch()
    assert code_commit() == head, "what git does not know is no change of the code"
    (tree / "src/probunet/model.py").write_text("2")
    assert code_commit() == f"{head}-dirty"


def test_commit_that_an_image_has_baked_in_goes_first(tree):
    git(tree, "init")
    (tree / "src/probunet/_commit").write_text("abc-dirty\n")
    assert code_commit() == "abc-dirty"
    (tree / "src/probunet/_commit").write_text("None\n")
    assert code_commit() is None


def test_package_within_somebody_else_s_repository_has_no_commit(tree, monkeypatch):
    git(tree, "init")
    git(tree, "add", ".")
    git(tree, "commit", "-m", "theirs")
    installed = tree / ".venv/lib/site-packages/probunet"
    installed.mkdir(parents=True)
    monkeypatch.setattr(job, "PACKAGE", installed)
    assert code_commit() is None


def test_commit_is_unknown_without_git(tree, monkeypatch):
    (tree / ".git").mkdir()
    monkeypatch.setenv("PATH", str(tree))
    assert code_commit() is None
