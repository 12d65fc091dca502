"""One Snakemake to a folder: it is refused beside another, and clears up after one that was killed.

Snakemake keeps its own lock, but cannot tell whether who left it is alive; and the SLURM jobs of a
Snakemake that was killed run on, with nobody who knows of them.
"""

import fcntl
import json
import logging
import os
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from probunet.errors import ProbunetError

logger = logging.getLogger(__name__)

_held: list[IO[str]] = []  # open, hence locked, until this process ends, however it ends


def claim(folder: Path) -> None:
    """Claim a working folder for this process, or tell who has it.

    Whoever gets it knows that the last one to have it has ended. Snakemake's lock, if it is still
    there, is then one that nobody will remove, and is removed; unless the last one ran on another
    machine, since not every shared file system tells one machine of another's locks. Then, and if
    another process has the folder, Snakemake itself refuses to run here.

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
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.warning(
            "%s: another Snakemake runs here: process %s on %s, since %s. Wait for it to end, or "
            "stop it there.",
            *(folder, last.get("pid"), last.get("host"), last.get("started")),
        )
        handle.close()
        return
    except OSError:  # a file system without locks: Snakemake's own has to do
        handle.close()
        return
    _held.append(handle)
    if last.get("host") == socket.gethostname():
        for lock in (state / "locks").glob("*.lock"):
            lock.unlink(missing_ok=True)


def sign(folder: Path) -> None:
    """Write down who runs here; of a real run, a dry one does not count."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    signature = {"host": socket.gethostname(), "pid": os.getpid(), "started": started}
    # in place: the file that is locked stays the same
    (folder / ".snakemake" / "driver.json").write_text(json.dumps(signature))


def cancel_orphans(folder: Path, wait: float = 600) -> None:
    """Cancel the SLURM jobs that a killed Snakemake left in this folder, and wait for their end.

    Trainings among them save themselves; their next try goes on from there.

    Raises
    ------
    ProbunetError
        If they do not end in `wait` seconds.
    """
    jobs = _jobs_of(folder)
    if not jobs:
        return
    names = ", ".join(jobs)
    logger.warning("SLURM jobs of a Snakemake that was killed are cancelled: %s", names)
    subprocess.run(["scancel", *jobs], check=False)
    deadline = time.monotonic() + wait
    while _jobs_of(folder):
        if time.monotonic() > deadline:
            raise ProbunetError(
                f"SLURM jobs {names} of an earlier Snakemake still run in this folder; "
                f"cancel them (scancel {' '.join(jobs)}) and run the same command again."
            )
        time.sleep(1)


def _jobs_of(folder: Path) -> list[str]:
    """Return this user's SLURM jobs that Snakemake submitted from a folder."""
    if shutil.which("squeue") is None:
        return []
    command = ["squeue", "--noheader", "--user", str(os.getuid()), "--format", "%i|%k|%Z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    rows = [line.split("|", 2) for line in done.stdout.splitlines()]
    # the executor's comment names the rule
    return [
        job for job, comment, where in rows if comment.startswith("rule_") and _same(where, folder)
    ]


def _same(where: str, folder: Path) -> bool:
    return Path(where).resolve() == folder.resolve()


def _read(handle: IO[str]) -> dict[str, object]:
    try:
        found = json.loads(handle.read())
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}
