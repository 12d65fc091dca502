"""Checks before the first job: no other Snakemake runs in the folder, and SLURM accepts the jobs.

Snakemake has a lock of its own, but cannot find out whether its owner is still running. SLURM jobs
of a killed Snakemake continue without supervision. And Snakemake does not show why SLURM refuses a
group of steps.
"""

import fcntl
import json
import logging
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from typing import IO, NamedTuple

from probunet.errors import ProbunetError

logger = logging.getLogger(__name__)

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
    handle = (state / "driver.json").open("a+")
    handle.seek(0)
    last = _read(handle)
    other = f"process {last.get('pid')} on {last.get('host')}, since {last.get('started')}"
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        logger.warning("%s", _refusal(folder, other))
        return Claim(False, other)
    except OSError:  # a file system without locks: only Snakemake's own lock protects the folder
        handle.close()
        return Claim(None, other)
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
    (folder / ".snakemake" / "driver.json").write_text(json.dumps(signature))


def cancel_orphans(folder: Path, claimed: Claim, seen: list[str], wait: float = 600) -> None:
    """Cancel the SLURM jobs that a killed Snakemake left in this folder, and wait for their end.

    A training among them resumes from its last checkpoint.

    Parameters
    ----------
    folder
        Where both Snakemakes were started.
    claimed
        The claim to the folder: jobs of a Snakemake that may still run are not cancelled.
    seen
        The jobs that were running before Snakemake looked for missing files.
    wait
        Seconds that they may take to end.

    Raises
    ------
    ProbunetError
        If the Snakemake of these jobs may still run; if they do not end; or if one of `seen` has
        finished by itself since: Snakemake would repeat its step.
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
    if done := _completed(seen):
        raise ProbunetError(
            f"SLURM jobs {', '.join(done)} of the interrupted run just finished; run the same "
            "command again to use their results."
        )


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


def _completed(jobs: list[str]) -> list[str]:
    if not jobs:
        return []
    rows = _squeue("--states", "all", "--jobs", ",".join(jobs), "--format", "%i|%k|%T")
    return [job for job, _, state in rows if state == "COMPLETED"]


def _squeue(*options: str) -> list[list[str]]:
    """Return squeue's rows of three fields."""
    command = ["squeue", "--noheader", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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
        If SLURM refuses a job for a reason in `ADVICE`; for other reasons there is a warning.
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
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            refused.setdefault(done.stderr.strip(), []).append(rule)
    problems = []
    for message, rules in refused.items():
        advice = next((text for known, text in ADVICE.items() if known in message.lower()), None)
        if advice is None:
            logger.warning("SLURM may refuse jobs of %s: %s", ", ".join(rules), message)
        else:
            example = dict(requests[rules[0]])
            asked = " ".join(_sbatch_options(example))
            problems.append(
                f"SLURM would not run {', '.join(rules)}: {message.splitlines()[-1]}\n"
                f"  asked for: {asked}\n  {advice}"
            )
    if problems:
        raise ProbunetError("\n".join(problems))


# a part of sbatch's message, in lower case: what to do
ADVICE = {
    "time limit": "Lower `runtime` (minutes) under `set-resources` in slurm/config.yaml: training "
    "saves itself before the limit, and the next attempt resumes. `sinfo -o '%P %l'` lists limits.",
    "account": "Set your account: `slurm_account` under `default-resources` in slurm/config.yaml. "
    "`sacctmgr show user $USER withassoc` lists yours.",
    "partition": "Correct `slurm_partition` in slurm/config.yaml: under `default-resources`, or "
    "under `set-resources` for single rules. `sinfo -s` lists the partitions.",
    "node configuration is not available": "No node of the partition has all of this. Choose "
    "another partition (`slurm_partition` under `set-resources`, `train:` for the GPUs), or ask "
    "for less (`gpu`, `mem_mb` there, or `set-threads`) in slurm/config.yaml. `sinfo -o "
    "'%P %c %m %G'` lists cores, memory (MB) and GPUs.",
    "qos": "Correct `qos` in slurm/config.yaml.",
}


def _time_limits() -> dict[object, float]:
    """Return the partitions' limits in minutes by name; None stands for the default partition."""
    command = ["sinfo", "--noheader", "--format", "%P|%l"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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
        "mem_mb": "--mem",
        "runtime": "--time",
    }
    asked = [f"{option}={resources[name]}" for name, option in options.items() if name in resources]
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
