"""A second Snakemake in a folder, jobs that a killed one left, and what SLURM refuses."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from probunet import files
from probunet.errors import ProbunetError
from probunet.workflow import driver

HOLD = """
import sys, time
from pathlib import Path
from probunet.workflow.driver import claim, sign
claim(Path(sys.argv[1]))
sign(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


ALONE = driver.Claim(True, "")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".snakemake/locks").mkdir(parents=True)
    (tmp_path / ".snakemake/locks/0.output.lock").write_text("results/report.html\n")
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_held", [])


def locks(folder: Path) -> list[Path]:
    return list((folder / ".snakemake/locks").iterdir())


def hold(folder: Path) -> "subprocess.Popen[str]":
    words = [sys.executable, "-c", HOLD, str(folder)]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_running_one_is_named_and_keeps_its_lock(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with hold(folder) as other:
        (folder / ".snakemake/locks/0.output.lock").touch()
        claimed = driver.claim(folder)
        with pytest.raises(ProbunetError, match="another Snakemake runs here: process"):
            driver.refuse_beside_another(folder, claimed)
        other.kill()
    assert f"process {other.pid} on {socket.gethostname()}, since 20" in caplog.text
    assert len(locks(folder)) == 1


def test_the_lock_of_a_killed_one_is_removed(folder: Path) -> None:
    with hold(folder) as other:
        other.kill()
    (folder / ".snakemake/locks/0.output.lock").touch()
    assert driver.claim(folder).alone
    assert locks(folder) == []


def test_a_lock_from_another_machine_is_kept(folder: Path) -> None:
    signature = {"host": "elsewhere", "pid": 1, "started": "2026-01-01T00:00:00+00:00"}
    (folder / ".snakemake/driver.json").write_text(json.dumps(signature))
    claimed = driver.claim(folder)
    assert claimed.alone is None
    driver.refuse_beside_another(folder, claimed)  # Snakemake's own lock decides
    assert len(locks(folder)) == 1


def test_a_file_system_without_locks_is_told_and_nothing_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(files.fcntl, "flock", refuse)
    files._warned.clear()
    claimed = driver.claim(folder)
    assert claimed.alone is None
    driver.refuse_beside_another(folder, claimed)
    assert "this file system has no locks (No locks available)" in caplog.text
    assert len(locks(folder)) == 1


@pytest.mark.parametrize("text", ["", "{", "[]"])
def test_a_lock_of_unknown_origin_is_kept(folder: Path, text: str) -> None:
    (folder / ".snakemake/driver.json").write_text(text)
    driver.claim(folder)
    assert len(locks(folder)) == 1


def test_a_dry_run_does_not_sign(folder: Path) -> None:
    driver.claim(folder)
    assert (folder / ".snakemake/driver.json").read_text() == ""
    driver.sign(folder)
    signed = json.loads((folder / ".snakemake/driver.json").read_text())
    assert signed["pid"] == os.getpid()


def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: str, cancels: bool) -> Path:
    """Make stand-ins for SLURM's programs; return the file that lists what was cancelled."""
    programs = tmp_path / "bin"
    programs.mkdir()
    queue, cancelled = programs / "queue", programs / "cancelled"
    queue.write_text(rows)
    (programs / "squeue").write_text(f"#!/bin/sh\ncat {queue}\n")
    clear = f": > {queue}" if cancels else ":"
    (programs / "scancel").write_text(f'#!/bin/sh\necho "$@" > {cancelled}\n{clear}\n')
    for name in ("squeue", "scancel"):
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return cancelled


def test_only_jobs_that_snakemake_sent_from_this_folder_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (
        f"7|rule_train_wildcards_lidc|{tmp_path}\n8|(null)|{tmp_path}\n"
        f"9|rule_train|{tmp_path}/other\n11_2|rule_sample|{tmp_path}\n"
    )
    cancelled = slurm(tmp_path, monkeypatch, rows, cancels=True)
    driver.cancel_orphans(tmp_path, ALONE)
    assert cancelled.read_text().split() == ["7", "11_2"]


@pytest.mark.parametrize("alone", [False, None])
def test_jobs_of_one_that_may_be_running_are_not_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: bool | None
) -> None:
    cancelled = slurm(tmp_path, monkeypatch, f"7|rule_train|{tmp_path}\n", cancels=True)
    claimed = driver.Claim(alone, "process 3 on elsewhere, since yesterday")
    with pytest.raises(ProbunetError, match=r"jobs 7 of another .*process 3 on .*scancel 7"):
        driver.cancel_orphans(tmp_path, claimed)
    assert not cancelled.exists()


def test_jobs_that_do_not_end_stop_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slurm(tmp_path, monkeypatch, f"7|rule_train|{tmp_path}\n", cancels=False)
    with pytest.raises(ProbunetError, match=r"SLURM jobs 7 of an earlier Snakemake .*scancel 7"):
        driver.cancel_orphans(tmp_path, ALONE, wait=0)


def test_without_slurm_there_are_no_orphans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert driver.jobs_left(tmp_path) == []
    driver.cancel_orphans(tmp_path, ALONE)


STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def left(folder: Path, monkeypatch: pytest.MonkeyPatch) -> "Iterator[subprocess.Popen[str]]":
    """A job of a Snakemake in `folder`, which does not end on SIGTERM."""
    with monkeypatch.context() as patch:
        patch.setenv(driver.MARK, "")
        driver.mark_processes(folder)
        command = [sys.executable, "-c", STUBBORN]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with process:
        yield process
        process.kill()


def test_processes_of_a_killed_snakemake_are_stopped_and_told(
    folder: Path, left: "subprocess.Popen[str]", caplog: pytest.LogCaptureFixture
) -> None:
    driver.stop_orphans(folder, ALONE, wait=0)
    left.wait(10)
    told = f"processes of a Snakemake that was killed are stopped: {left.pid}"
    assert told in caplog.text


@pytest.mark.parametrize("alone", [False, None])
def test_processes_of_one_that_may_be_running_are_left_alone(
    folder: Path, left: "subprocess.Popen[str]", alone: bool | None
) -> None:
    claimed = driver.Claim(alone, "process 3 on elsewhere, since yesterday")
    expected = rf"processes {left.pid} of another .*process 3 on .*kill {left.pid}\)"
    with pytest.raises(ProbunetError, match=expected):
        driver.stop_orphans(folder, claimed)
    assert left.poll() is None


def test_processes_of_other_folders_and_other_programs_are_left_alone(
    folder: Path, left: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"]) as other:
        driver.stop_orphans(folder / "elsewhere", ALONE)
        monkeypatch.setenv("SLURM_JOB_ID", "7")  # what is left is of another job, or of none
        driver.stop_orphans(folder, ALONE)
        assert left.poll() is None
        assert other.poll() is None
        other.kill()


def test_the_process_itself_and_those_that_started_it_are_not_left_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Snakemake runs in a job that a Snakemake of the same folder submitted, for instance."""
    monkeypatch.setenv(driver.MARK, str(folder.resolve()))
    look = (
        "import sys; from pathlib import Path; from probunet.workflow.driver import processes_left;"
        "print(processes_left(Path(sys.argv[1])))"
    )
    command = ["sh", "-c", f'"{sys.executable}" -c "{look}" "{folder}"; true']
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str) -> Path:
    """Make a stand-in that refuses jobs with GPUs; return the file that lists its calls."""
    programs = tmp_path / "bin"
    programs.mkdir()
    calls = programs / "calls"
    (programs / "sbatch").write_text(
        f'#!/bin/sh\necho "$@" >> {calls}\n'
        f'case "$*" in *--gpus*) echo "sbatch: error: {says}" >&2; exit 1;; esac\n'
    )
    (programs / "sinfo").write_text("#!/bin/sh\n")
    for name in ("sbatch", "sinfo"):
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return calls


TRAIN = {"_cores": 4, "_nodes": 1, "mem_mb": 16000, "runtime": 1440, "gpu": 1}


@pytest.mark.parametrize(
    ("says", "advice"),
    [
        ("Batch job submission failed: Invalid account or account/partition", "slurm_account"),
        ("invalid partition specified: nowhere", "slurm_partition"),
        ("Requested node configuration is not available", "for the GPUs"),
        ("Requested time limit is invalid (missing or exceeds some limit)", "Lower `runtime`"),
        ("Job violates accounting/QOS policy (job submit limit, time limit)", "sacctmgr show qos"),
        ("Invalid generic resource (gres) specification", 'train: {gpu: 0, gres: "gpu:1"}'),
        ("Invalid Trackable RESource (TRES) specification", 'train: {gpu: 0, gres: "gpu:1"}'),
        ("use --gres to ask for GPUs, --gpus is disabled", 'train: {gpu: 0, gres: "gpu:1"}'),
        ("you must specify a GPU type", "train: {gpu: 1, gpu_model: a100}"),
        ("please name the model of the GPU, e.g. --gpus=v100:1", "{gpu: 1, gpu_model: a100}"),
        ("Untyped GPU requests are rejected; GPU types: a100, l40", "{gpu: 1, gpu_model: a100}"),
        ("GPU jobs must set --gres=gpu:TYPE:COUNT", 'train: {gpu: 0, gres: "gpu:a100:1"}'),
        ("please try again with --gres=gpu:<type>:1", 'train: {gpu: 0, gres: "gpu:a100:1"}'),
        ("--gpus is off, write --gres=gpu:a100:1", 'train: {gpu: 0, gres: "gpu:a100:1"}'),
        ("ask for GPUs by --gres=gpu:1", 'train: {gpu: 0, gres: "gpu:1"}'),
        ("use --mem-per-cpu instead of --mem", "train: {mem_mb_per_cpu: 4000}"),
        ("--mem and --mem-per-cpu are not allowed", "train: {mem_mb: 0}"),
        ("You must specify the memory of the job (--mem)", "remove `mem_mb: 0`"),
        ("please specify --time", "or set it where it is 0"),
        ("You must specify a QOS for this partition", "Correct `qos`"),
        ("A quality of service is required", "Correct `qos`"),
        ("Please give an account with -A", "slurm_account"),
        ("--mem is not allowed on this cluster", "train: {mem_mb: 0}"),
        ("Please do not specify memory: nodes are not shared", "train: {mem_mb: 0}"),
        ("Memory required by task is not available", "Lower `mem_mb`"),
        ("Invalid qos specification", "Correct `qos`"),
        ("the site's own plugin is in a bad mood", "under `set-resources` in slurm/config.yaml"),
    ],
)
def test_an_error_says_what_slurm_would_refuse_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, advice: str
) -> None:
    calls = sbatch(tmp_path, monkeypatch, says)
    requests = {"train": TRAIN, "sample": {"_cores": 4, "mem_mb": 8000, "gpu": 0}}
    with pytest.raises(ProbunetError) as caught:
        driver.check_requests(requests)
    message = str(caught.value)
    assert says in message
    assert advice in message
    assert "not run train:" in message
    assert "--cpus-per-task=4 --mem=16000 --time=1440 --gpus=1" in message
    assert all(line.startswith("--test-only ") for line in calls.read_text().splitlines())


@pytest.mark.parametrize(
    ("limit", "partition", "refused"),
    [
        ("main*|23:59:59", {}, True),
        ("main*|1-00:00:00", {}, False),
        ("main*|30:00", {}, True),
        ("main*|infinite", {}, False),
        ("main*|n/a", {}, False),
        ("main*|30:00\ngpu|2-00:00:00", {"slurm_partition": "gpu"}, False),
        ("main*|2-00:00:00\ngpu|1:00:00", {"slurm_partition": "gpu"}, True),
    ],
)
def test_a_time_limit_beyond_the_partition_s(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limit: str,
    partition: dict[str, str],
    refused: bool,
) -> None:
    calls = sbatch(tmp_path, monkeypatch, "no")
    (calls.parent / "sinfo").write_text(f"#!/bin/sh\necho '{limit}'\n")
    (calls.parent / "sinfo").chmod(0o755)
    requests = {"train": TRAIN | partition | {"gpu": 0}}
    if refused:
        with pytest.raises(
            ProbunetError, match="not run train: the time limit is beyond"
        ) as caught:
            driver.check_requests(requests)
        assert "Lower `runtime` (minutes)" in str(caught.value)
    else:
        driver.check_requests(requests)


@pytest.mark.parametrize("order", [("train", "sample"), ("sample", "train")])
def test_rules_are_named_in_one_order_whatever_snakemake_s_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: tuple[str, ...]
) -> None:
    sbatch(tmp_path, monkeypatch, "invalid partition specified: nowhere")
    with pytest.raises(ProbunetError, match="not run sample, train: "):
        driver.check_requests({rule: TRAIN for rule in order})


@pytest.mark.parametrize(
    "says",
    [
        "Slurm temporarily unable to accept job, sleeping and retrying",
        "Unable to contact slurm controller (connect failure)",
        "Batch job submission failed: Socket timed out on send/recv operation",
        "allocation failure: Required node not available (down, drained or reserved)",
    ],
)
def test_a_refusal_that_may_be_temporary_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, says: str
) -> None:
    sbatch(tmp_path, monkeypatch, says)
    driver.check_requests({"train": TRAIN})
    assert f"SLURM cannot say whether it runs train: sbatch: error: {says}" in caplog.text


def test_the_page_has_a_recipe_for_each_setting() -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/cluster.md").read_text()
    settings = {advice.setting for advice in driver.ADVICE.values() if advice.setting}
    assert len(settings) == 5
    for setting in settings:
        assert f"train: {setting}" in page


def test_each_refused_rule_has_its_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch(tmp_path, monkeypatch, "do not use --mem\nsbatch: error: Unspecified error")
    with pytest.raises(ProbunetError) as caught:
        driver.check_requests({"train": TRAIN, "sample": TRAIN})
    first, *_, sample, train = str(caught.value).splitlines()
    assert first.endswith("error: do not use --mem error: Unspecified error")
    assert (sample.strip(), train.strip()) == ("sample: {mem_mb: 0}", "train: {mem_mb: 0}")


@pytest.mark.parametrize(
    ("resources", "asked"),
    [
        ({"mem_mb": 0, "gpu": 0, "gres": "gpu:1"}, "--gres=gpu:1 --wrap true"),
        ({"mem_mb": 9, "mem_mb_per_cpu": 4}, "--mem-per-cpu=4 --wrap true"),
        ({"gpu": 2, "gpu_model": "a100"}, "--gpus=a100:2 --wrap true"),
    ],
)
def test_slurm_is_asked_for_what_the_recipes_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: dict[str, object], asked: str
) -> None:
    calls = sbatch(tmp_path, monkeypatch, "no")
    with suppress(ProbunetError):
        driver.check_requests({"train": resources})
    assert calls.read_text() == f"--test-only {asked}\n"


def test_a_site_s_names_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = sbatch(tmp_path, monkeypatch, "no")
    site = {"slurm_account": "a", "slurm_partition": "p", "gpu": 0, "gres": "gpu:x:1"}
    driver.check_requests({"train": site})
    assert "--account=a --partition=p --gres=gpu:x:1 --wrap true" in calls.read_text()


def test_without_sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProbunetError, match="start the workflow on a login node"):
        driver.check_requests({"train": TRAIN})


def test_record_of_the_driver_is_no_link(folder: Path) -> None:
    victim = folder / "victim"
    victim.write_text("precious")
    (folder / ".snakemake/driver.json").symlink_to(victim)
    for call in (driver.claim, driver.sign):
        with pytest.raises(ProbunetError, match=r"driver\.json: is a link"):
            call(folder)
    assert victim.read_text() == "precious"


def test_record_of_a_stranger_reaches_no_terminal(folder: Path) -> None:
    said = {"host": "\x1b[2J\njob {}", "pid": 1, "started": "now"}
    (folder / ".snakemake/driver.json").write_text(json.dumps(said))
    assert driver.claim(folder).other == r"process 1 on \x1b[2J\njob {}, since now"
