"""What the terminal says last of a run that fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probunet.workflow.failures import describe_failures
from support.studies import ROOT, TINY, in_folder

START = 'job {"event": "start", "id": "a", "command": "c", "version": "1", "commit": null, '
START += '"host": "h", "started": "now", "slurm": {}}\n'


def end(code: int) -> str:
    return "job " + json.dumps({"event": "end", "id": "a", "exit_code": code}) + "\n"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (START + "one\nprobunet: it is wrong.\nDo that.\n" + end(1), "it is wrong.\nDo that."),
        ("probunet: old\n" + START + "probunet: new\n" + end(1), "new"),
        (START + "Traceback:\n  here\nMemoryError\n\n" + end(1), "MemoryError"),
        (START, "The job ended without a message: it was killed"),
        (
            START + "device: cpu\nstep 100\n",
            "The job ended without a message: it was killed, perhaps for lack of memory, or its "
            "machine was lost. Its last line: step 100",
        ),
        (START + "probunet: old\n" + end(1) + START + "step 3\n", "The job ended without a"),
        (
            START
            + "Usage: ...\n╭─ Error ──╮\n│ No such option: --workers │\n╰──────────╯\n"
            + end(2),
            "No such option: --workers",
        ),
        ("/bin/bash: line 1: probunet: command not found\n", "/bin/bash: line 1: probunet: comm"),
        ("", "The job did not begin; the lines above say why."),
        (None, "The job did not begin; the lines above say why."),
    ],
)
def test_the_error_of_a_log(tmp_path: Path, text: str | None, error: str) -> None:
    log = tmp_path / "train.log"
    if text is not None:
        log.write_text(text)
    told = describe_failures([("train", log)], "mine.yaml")
    first, _, rest = told.partition("\n")
    assert first == f"train failed (configuration: mine.yaml; log: {log}):"
    assert rest.startswith(error)


def test_jobs_of_a_group_that_succeeded_are_left_out_and_equal_errors_told_once(
    tmp_path: Path,
) -> None:
    logs = [tmp_path / f"{number}.log" for number in range(4)]
    for log in logs:
        log.write_text(START + "probunet: the same.\n" + end(1))
    logs[0].write_text(START + "a warning\n" + end(0))
    told = describe_failures([("train", log) for log in logs], "a.yaml")
    head = f"train and 2 more jobs failed (configuration: a.yaml; log: {logs[1]}):"
    assert told == f"{head}\nthe same."
    assert describe_failures([("train", logs[0])], "a.yaml") == ""


def test_a_job_that_succeeded_before_but_does_not_begin_now_is_named(tmp_path: Path) -> None:
    """Snakemake removes a log before the job; the record of earlier tries stays beside it."""
    log = tmp_path / "fetch.log"
    log.with_suffix(".tries").write_text(START + end(0))
    assert describe_failures([("fetch", log)], "a.yaml").endswith(
        "The job did not begin; the lines above say why."
    )
    log.write_text("bash: probunet: command not found\n")
    assert describe_failures([("fetch", log)], "a.yaml").endswith("probunet: command not found")


def test_many_different_errors_are_bounded(tmp_path: Path) -> None:
    jobs = []
    for number in range(30):
        log = tmp_path / f"{number}.log"
        log.write_text(START + f"probunet: number {number}.\n" + end(1))
        jobs.append(("train", log))
    told = describe_failures(jobs, "a.yaml")
    assert told.endswith("number 9.\n\n20 more errors are in the other jobs' logs.")


def test_a_failed_run_ends_with_the_error_and_needs_no_activated_environment(
    tmp_path: Path,
) -> None:
    """As `.venv/bin/snakemake`, whose folder is not on the PATH."""
    (tmp_path / "empty").mkdir()
    local = {"source": "local", "path": str(tmp_path / "empty")}
    words = in_folder(tmp_path / "study", TINY | {"datasets": {"lidc": local}})
    program = Path(sys.executable)
    if not program.with_name("probunet").exists():
        pytest.skip("probunet is not installed beside this Python")
    done = subprocess.run(
        [program, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *map(str, words)],
        env=os.environ | {"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.rstrip().splitlines()[-1].startswith(f"{tmp_path / 'empty'}: ")
    assert "no DICOM file in it" in done.stderr.rstrip().splitlines()[-1]
    assert f"configuration: {tmp_path / 'study/mine.yaml'}; log: logs/fetch/lidc.log" in done.stderr
    assert "command not found" not in done.stderr
    assert not (tmp_path / "study/.snakemake/locks").exists() or not list(
        (tmp_path / "study/.snakemake/locks").iterdir()
    )
