"""What a job says of itself: a first and a last line in its log, for people and for programs.

    job {"event": "start", "id": ..., "command": "train", "commit": ..., "started": ...}
    job {"event": "end", "id": ..., "exit_code": 0, "seconds": 812.5, "max_rss_mb": 2210.4, ...}

A job that was killed leaves no last line. Snakemake removes a log before each try of a job, so the
lines also go to a file beside it, `.tries` instead of `.log`, that keeps them all.
"""

import json
import os
import resource
import socket
import subprocess
import sys
import time
import traceback
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from probunet import __version__

PREFIX = "job "
TRIES = ".tries"
PACKAGE = Path(__file__).parent

# what results depend on, by the name that is imported; a job names those that it used
PACKAGES = {
    "numpy": "numpy",
    "scipy": "scipy",
    "skimage": "scikit-image",
    "pandas": "pandas",
    "zarr": "zarr",
    "dask": "dask",
    "pydicom": "pydicom",
    "pylidc": "pylidc",
    "nibabel": "nibabel",
    "PIL": "pillow",
    "altair": "altair",
    "vl_convert": "vl-convert-python",
    "torch": "torch",
}
SLURM = (
    "SLURM_JOB_ID",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_CLUSTER_NAME",
)


@dataclass(frozen=True)
class Job:
    """One try of a job, as its lines tell. What stands in the last line is None without one."""

    id: str
    command: str  # "train", "prepare lidc"
    version: str  # of probunet
    commit: str | None
    host: str
    started: str  # ISO 8601, UTC
    slurm: dict[str, str] = field(default_factory=dict)
    container: str | None = None  # the image's path
    ended: str | None = None
    exit_code: int | None = None
    seconds: float | None = None
    max_rss_mb: float | None = None
    # of the largest process that it started; Linux counts what that one had of this one's at first
    children_max_rss_mb: float | None = None
    threads: int | None = None  # torch's
    gpu: str | None = None
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether it ended, and well."""
        return self.exit_code == 0


@contextmanager
def recorded(command: str) -> Iterator[None]:
    """Write a first and a last line to stderr around a command, however it ends."""
    job, begun = uuid.uuid4().hex, time.monotonic()
    _write("start", job, lambda: _first(command))
    code = 1
    try:
        yield
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        raise
    finally:
        _write("end", job, lambda: _last(code, time.monotonic() - begun))


def read_jobs(log: Path) -> list[Job]:
    """Return the tries of a job that its log tells of, or the file beside it, in their order."""
    found: dict[str, dict[str, Any]] = {}
    for file in (log.with_suffix(TRIES), log):
        with suppress(OSError):
            for line in file.read_text(errors="replace").splitlines():
                record = _parse(line)
                found.setdefault(str(record.get("id")), {}).update(record)
    known = {item.name for item in fields(Job)}
    jobs = []
    for record in found.values():
        with suppress(TypeError):  # a last line whose first line is lost
            jobs.append(Job(**{name: record[name] for name in known & record.keys()}))
    return jobs


def code_commit() -> str | None:
    """Return the commit of the code that runs, `-dirty` if its files have changed since.

    An image has it baked in; a source tree is asked; elsewhere it is unknown.
    """
    with suppress(OSError):
        baked = (PACKAGE / "_commit").read_text().strip()
        return None if baked in ("", "None") else baked
    tree = PACKAGE.parents[1]
    if not (tree / ".git").exists():  # installed, perhaps within somebody else's repository
        return None
    words = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", tree, *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return done.stdout.strip() or None
    return None


def _first(command: str) -> dict[str, Any]:
    return {
        "command": command,
        "version": __version__,
        "commit": code_commit(),
        "host": socket.gethostname(),
        "slurm": {name: os.environ[name] for name in SLURM if name in os.environ},
        "container": os.environ.get("APPTAINER_CONTAINER") or os.environ.get("APPTAINER_NAME"),
        "started": _now(),
    }


def _last(code: int, seconds: float) -> dict[str, Any]:
    return {
        "exit_code": code,
        "ended": _now(),
        "seconds": round(seconds, 3),
        "max_rss_mb": _max_rss_mb(),
        "children_max_rss_mb": _rusage_mb(resource.RUSAGE_CHILDREN),
        **_torch(),
        "versions": {"python": ".".join(map(str, sys.version_info[:3]))}
        | {name: version(name) for module, name in PACKAGES.items() if module in sys.modules},
    }


def _write(event: str, job: str, content: Any) -> None:
    """Write a line; nothing that goes wrong with it may hurt the job."""
    try:
        line = PREFIX + json.dumps({"event": event, "id": job, **content()})
        print(line, file=sys.stderr, flush=True)
        with suppress(OSError):  # where stderr goes to, on Linux
            log = Path("/proc/self/fd/2").readlink()
            if log.suffix == ".log":
                with log.with_suffix(TRIES).open("a") as tries:
                    tries.write(line + "\n")
    except Exception:
        with suppress(Exception):
            traceback.print_exc()


def _parse(line: str) -> dict[str, Any]:
    if not line.startswith(PREFIX + "{"):
        return {}
    try:
        record = json.loads(line.removeprefix(PREFIX))
    except ValueError:  # cut off
        return {}
    return record if isinstance(record, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _max_rss_mb() -> float:
    """Return the most memory that this process held.

    Linux hands rusage's figure down from the process that started this one; VmHWM is its own.
    """
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    return _rusage_mb(resource.RUSAGE_SELF)


def _rusage_mb(who: int) -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(who).ru_maxrss * unit / 2**20, 1)


def _torch() -> dict[str, Any]:
    """Return torch's threads and the GPU that was used, if torch was imported at all."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if used else None,
    }
