"""Checks before the first job: no other Snakemake runs in the folder, and SLURM accepts the jobs.

Snakemake has a lock of its own, but cannot find out whether its owner is still running. The jobs of
a killed Snakemake continue without supervision, on this machine and in SLURM. And Snakemake does
not show why SLURM refuses a group of steps.
"""

import json
import logging
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import IO, NamedTuple

import psutil  # type: ignore[import-untyped]

from probunet.errors import ProbunetError, printable
from probunet.files import open_own, try_lock

logger = logging.getLogger(__name__)

# variable of the processes that a Snakemake starts: the folder in which it runs
MARK = "PROBUNET_RUNS_IN"
_held: list[IO[str]] = []  # open files, which stay locked until this process ends or is killed


class Claim(NamedTuple):
    """Whether this process is the only Snakemake in a folder; None if that is unknown."""

    alone: bool | None
    other: str  # the process that runs there, or was the last to run there


def claim(folder: Path) -> Claim:
    """Claim a working folder for this process.

    If the claim succeeds, the process that held it before has ended, and the lock that Snakemake
    may have left is removed. That lock stays if the process ran on another machine, because not
    every shared file system shows one machine the locks of another.

    Parameters
    ----------
    folder
        Where Snakemake was started.
    """
    state = folder / ".snakemake"
    state.mkdir(exist_ok=True)
    handle = open_own(state / "driver.json", "a+")
    handle.seek(0)
    last = _read(handle)
    process = f"process {last.get('pid')} on {last.get('host')}, since {last.get('started')}"
    other = printable(process)
    held = try_lock(handle)
    if not held:  # without locks, only Snakemake's own lock protects the folder
        handle.close()
        if held is False:
            logger.warning("%s", _refusal(folder, other))
        return Claim(held, other)
    _held.append(handle)
    here = last.get("host") == socket.gethostname()
    if here:
        for lock in (state / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)
    return Claim(True if here or not last else None, other)


def refuse_beside_another(folder: Path, claimed: Claim) -> None:
    """Raise ProbunetError if another Snakemake runs here.

    Snakemake's own lock protects single files only: it admits a process that makes other files.
    """
    if claimed.alone is False:
        raise ProbunetError(_refusal(folder, claimed.other))


def sign(folder: Path) -> None:
    """Record that this process runs here. Dry runs do not call this."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    signature = {"host": socket.gethostname(), "pid": os.getpid(), "started": started}
    # in place: the file that is locked stays the same
    with open_own(folder / ".snakemake" / "driver.json", "a+") as handle:
        handle.truncate(0)
        handle.write(json.dumps(signature))


def is_locked(folder: Path) -> bool:
    """Return whether a Snakemake runs in a folder, or was killed there, by Snakemake's own lock."""
    return any((folder / ".snakemake" / "locks").glob("*.lock"))


def mark_processes(folder: Path) -> None:
    """Let every process that this one starts carry the name of the working folder."""
    os.environ[MARK] = str(folder.resolve())


def stop_orphans(folder: Path, claimed: Claim, wait: float = 120) -> None:
    """Stop the jobs that a killed Snakemake left on this machine, and wait for their end.

    A training among them saves a checkpoint.

    Parameters
    ----------
    folder
        Where both Snakemakes were started.
    claimed
        The claim to the folder: jobs of a Snakemake that may still run are not stopped.
    wait
        Seconds until processes that have not ended are killed.

    Raises
    ------
    ProbunetError
        If the Snakemake of these jobs may still run, or if they cannot be killed.
    """
    left = processes_left(folder)
    numbers = " ".join(str(process.pid) for process in left)
    if left and not claimed.alone:
        raise ProbunetError(
            f"processes {numbers} of another Snakemake are in this folder, and it is unknown "
            f"whether that one still runs (the last was {claimed.other}). If it does not, stop "
            f"them (kill {numbers}) and run the same command again."
        )
    if left:
        logger.warning("processes of a Snakemake that was killed are stopped: %s", numbers)
    begun = time.monotonic()
    while left:
        late = time.monotonic() - begun - wait
        if late > 60:
            numbers = " ".join(str(process.pid) for process in left)
            raise ProbunetError(
                f"processes {numbers} of an earlier Snakemake in this folder cannot be stopped; "
                "restart this machine, or run the same command on another one."
            )
        for process in left:
            with suppress(psutil.Error):
                process.kill() if late > 0 else process.terminate()
        psutil.wait_procs(left, timeout=5)
        left = processes_left(folder)


def processes_left(folder: Path) -> list[psutil.Process]:
    """Return this machine's processes that were started by a Snakemake in a folder.

    Without this process and those that started it, and without those of SLURM jobs, which are
    cancelled as a whole.
    """
    expected = {MARK: str(folder.resolve()), "SLURM_JOB_ID": os.environ.get("SLURM_JOB_ID")}
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):  # it has ended, or is another user's
            environment = process.environ()
            same = all(environment.get(name) == value for name, value in expected.items())
            if same and process.pid not in own:
                found.append(process)
    return found


def cancel_orphans(folder: Path, claimed: Claim, wait: float = 600) -> None:
    """Cancel the SLURM jobs that a killed Snakemake left in this folder, and wait for their end.

    A training among them resumes from its last checkpoint.

    Parameters
    ----------
    folder
        Where both Snakemakes were started.
    claimed
        The claim to the folder: jobs of a Snakemake that may still run are not cancelled.
    wait
        Seconds that they may take to end.

    Raises
    ------
    ProbunetError
        If the Snakemake of these jobs may still run, or if they do not end.
    """
    jobs = jobs_left(folder)
    names = ", ".join(jobs)
    if jobs and not claimed.alone:
        raise ProbunetError(
            f"SLURM jobs {names} of another Snakemake are in this folder, and it is unknown "
            f"whether that one still runs (the last was {claimed.other}). If it does not, cancel "
            f"the jobs (scancel {' '.join(jobs)}) and run the same command again."
        )
    if jobs:
        logger.warning("SLURM jobs of a Snakemake that was killed are cancelled: %s", names)
        subprocess.run(["scancel", *jobs], check=False)
    deadline = time.monotonic() + wait
    while jobs_left(folder):
        if time.monotonic() > deadline:
            raise ProbunetError(
                f"SLURM jobs {names} of an earlier Snakemake still run in this folder; "
                f"cancel them (scancel {' '.join(jobs)}) and run the same command again."
            )
        time.sleep(1)


def jobs_left(folder: Path) -> list[str]:
    """Return this user's SLURM jobs that were submitted from a folder by Snakemake."""
    if shutil.which("squeue") is None:
        return []
    rows = _squeue("--user", str(os.getuid()), "--format", "%i|%k|%Z")
    here = folder.resolve()
    # the comment that the executor sets begins with the rule
    return [
        job
        for job, comment, where in rows
        if comment.startswith("rule_") and Path(where).resolve() == here
    ]


def _squeue(*options: str) -> list[list[str]]:
    """Return squeue's rows of three fields."""
    command = ["squeue", "--noheader", *options]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    return [line.split("|", 2) for line in done.stdout.splitlines()]


def check_requests(requests: Mapping[str, Mapping[str, object]]) -> None:
    """Ask SLURM whether it would accept jobs, without submitting any.

    Parameters
    ----------
    requests
        Resources of a job by its rule, as Snakemake names them.

    Raises
    ------
    ProbunetError
        If SLURM refuses a job; there is only a warning if the refusal may be temporary.
    """
    if shutil.which("sbatch") is None:
        raise ProbunetError(
            "there is no `sbatch` on this machine's PATH: start the workflow on a login node of "
            "the cluster, or without `--profile slurm` to run on this machine alone."
        )
    limits = _time_limits()
    refused: dict[str, list[str]] = {}
    for rule, resources in sorted(requests.items()):  # Snakemake's order is random
        # most clusters accept such a job (EnforcePartLimits=NO), which then waits for ever
        if _minutes(resources.get("runtime")) > limits.get(resources.get("slurm_partition"), inf):
            refused.setdefault("the time limit is beyond the partition's", []).append(rule)
            continue
        command = ["sbatch", "--test-only", *_sbatch_options(resources), "--wrap", "true"]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", check=False
        )
        if done.returncode:
            refused.setdefault(done.stderr.strip(), []).append(rule)
    problems = []
    for message, rules in refused.items():
        if re.search(_TEMPORARY, message.lower()):
            said = printable(message)
            logger.warning("SLURM cannot say whether it runs %s: %s", ", ".join(rules), said)
            continue
        asked = " ".join(_sbatch_options(dict(requests[rules[0]])))
        lines = [line.removeprefix("sbatch: ").strip() for line in message.splitlines()]
        problems += [
            f"SLURM would not run {', '.join(rules)}: {' '.join(lines)}",
            f"  asked for: {asked}",
            *(f"  {line}" for line in _advice(message.lower(), rules)),
        ]
    if problems:
        raise ProbunetError(*problems)


class Advice(NamedTuple):
    """What to do about a refusal: a sentence, and what to set in the profile for each rule."""

    text: str
    setting: str = ""


# the controller is busy or away, or nodes are: a job that is really submitted may run later
_TEMPORARY = (
    r"temporarily|timed out|unable to contact|connection refused|transport endpoint|"
    r"try again later|requested nodes are busy|required node not available"
)
# part of sbatch's message, in lower case, as a regular expression: the first that fits is used
ADVICE = {
    r"violates accounting/qos policy": Advice(
        "A limit of your account or QOS is reached: ask for less (`runtime`, `mem_mb`, `gpu`) "
        "under `set-resources` in slurm/config.yaml, or name another `qos` there. "
        "`sacctmgr show qos` lists the limits."
    ),
    r"time ?limit|--time\b": Advice(
        "Lower `runtime` (minutes) under `set-resources` in slurm/config.yaml, or set it where it "
        "is 0: training saves itself before the limit, and the next attempt resumes. "
        "`sinfo -o '%P %l'` lists limits."
    ),
    r"gres\W+gpu\W+(?!\d|n\b|num|count)\w|gres\b.*\b(type|model)|\b(type|model).*\bgres\b": Advice(
        "The site takes GPUs by `--gres` with their type (`sinfo -o '%P %G'` lists types). For "
        "instance, in slurm/config.yaml:",
        '{gpu: 0, gres: "gpu:a100:1"}',
    ),
    r"\bgpu\w*\b.*\b(type|model)|\b(type|model)\b.*\bgpu|\buntyped\b": Advice(
        "The site wants the type of GPU (`sinfo -o '%P %G'` lists types). For instance, in "
        "slurm/config.yaml:",
        "{gpu: 1, gpu_model: a100}",
    ),
    r"\bgres\b|generic resource|trackable resource|--gpus": Advice(
        "The site takes GPUs by `--gres` only, perhaps with their type (`sinfo -o '%P %G'` lists "
        'them, and "gpu:a100:1" names one). In slurm/config.yaml:',
        '{gpu: 0, gres: "gpu:1"}',
    ),
    r"mem(ory)?[- ]per[- ]cpu(?!.*\b(not|disabled|forbidden)\b)": Advice(
        "The site wants memory per core (MB): `mem_mb` of a rule, divided by its threads. For "
        "instance, in slurm/config.yaml:",
        "{mem_mb_per_cpu: 4000}",
    ),
    r"\b(must|please|need to|have to) (specify|request|set|give|ask)\b.*\bmem": Advice(
        "The site wants the memory of every job: remove `mem_mb: 0` from slurm/config.yaml, or set "
        "it to a number of MB."
    ),
    r"memory (required|specification)|memory.*(exceed|more than|too )": Advice(
        "Lower `mem_mb` under `set-resources` in slurm/config.yaml, or choose another partition. "
        "`sinfo -o '%P %m'` lists the memory (MB) of nodes."
    ),
    r"--mem\b|memory|mem-per": Advice(
        "The site refuses `--mem`; 0 leaves it out. In slurm/config.yaml, set `mem_mb: 0` under "
        "`default-resources`, and:",
        "{mem_mb: 0}",
    ),
    r"account": Advice(
        "Set your account: `slurm_account` under `default-resources` in slurm/config.yaml. "
        "`sacctmgr show user $USER withassoc` lists yours."
    ),
    r"\bqos\b|quality of service": Advice(
        "Correct `qos` in slurm/config.yaml: under `default-resources`, or under `set-resources` "
        "for single rules. `sacctmgr show user $USER withassoc format=user,qos` lists yours."
    ),
    r"partition": Advice(
        "Correct `slurm_partition` in slurm/config.yaml: under `default-resources`, or under "
        "`set-resources` for single rules. `sinfo -s` lists the partitions."
    ),
    r"node configuration is not available": Advice(
        "No node of the partition has all of this. Choose another partition (`slurm_partition` "
        "under `set-resources`, `train:` for the GPUs), or ask for less (`gpu`, `mem_mb` there, or "
        "`set-threads`) in slurm/config.yaml. `sinfo -o '%P %c %m %G'` lists cores, memory (MB) "
        "and GPUs."
    ),
}


def _advice(message: str, rules: list[str]) -> list[str]:
    """Return what to do about a refusal, with the lines of the profile where they are known."""
    found = next((one for known, one in ADVICE.items() if re.search(known, message)), None)
    if found is None:
        return [
            "Change what these rules ask for, under `set-resources` in slurm/config.yaml; the "
            "words are your site's own, and its documentation may explain them."
        ]
    if not found.setting:
        return [found.text]
    lines = [f"      {rule}: {found.setting}" for rule in rules]
    return [found.text, "  set-resources:", *lines]


def _time_limits() -> dict[object, float]:
    """Return the partitions' limits in minutes by name; None stands for the default partition."""
    command = ["sinfo", "--noheader", "--format", "%P|%l"]
    done = subprocess.run(
        command, capture_output=True, encoding="utf-8", errors="replace", check=False
    )
    limits: dict[object, float] = {}
    for line in done.stdout.splitlines():
        name, _, limit = line.partition("|")
        limits[name.removesuffix("*")] = _parse_limit(limit)
        if name.endswith("*"):
            limits[None] = _parse_limit(limit)
    return limits


def _parse_limit(text: str) -> float:
    """Return the minutes in [days-]hours:minutes:seconds or minutes:seconds; else infinity."""
    found = re.fullmatch(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)", text.strip())
    if found is None:
        return inf
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes) + seconds / 60


def _minutes(runtime: object) -> float:
    return runtime if isinstance(runtime, int) else 0


def _sbatch_options(resources: Mapping[str, object]) -> list[str]:
    """Return the options with which the SLURM executor asks for these resources."""
    options = {
        "slurm_account": "--account",
        "slurm_partition": "--partition",
        "qos": "--qos",
        "constraint": "--constraint",
        "gres": "--gres",
        "_cores": "--cpus-per-task",
        "mem_mb_per_cpu": "--mem-per-cpu",
        "mem_mb": "--mem",
        "runtime": "--time",
    }
    if resources.get("mem_mb_per_cpu"):
        del options["mem_mb"]
    # the executor leaves out what is 0
    asked = [
        f"{option}={resources[name]}" for name, option in options.items() if resources.get(name)
    ]
    if resources.get("gpu"):
        model = f"{resources['gpu_model']}:" if "gpu_model" in resources else ""
        asked.append(f"--gpus={model}{resources['gpu']}")
    return asked


def _refusal(folder: Path, other: str) -> str:
    return f"{folder}: another Snakemake runs here: {other}. Wait for it to end, or stop it there."


def _read(handle: IO[str]) -> dict[str, object]:
    try:
        found = json.loads(handle.read())
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
