"""Records of jobs: a first and a last line in the log of each command.

    job {"event": "start", "id": ..., "command": "train", "commit": ..., "started": ...}
    job {"event": "end", "id": ..., "exit_code": 0, "seconds": 812.5, "max_rss_mb": 2210.4, ...}

A killed job has no last line. Snakemake deletes the log before it tries a job again, so the lines
are also appended to a file with the suffix `.tries` next to the log.
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
from probunet.errors import ProbunetError
from probunet.files import open_own

PREFIX = "job "
TRIES = ".tries"
PACKAGE = Path(__file__).parent

# packages that results depend on, by module; a job records the versions of those it imported
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
    "h5py": "h5py",
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

_NOTES: dict[str, Any] = {}


@dataclass(frozen=True)
class Job:
    """The record of one try of a job; without a last line, its values are None."""

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
    # of the largest child process; on Linux it can include memory of this process
    children_max_rss_mb: float | None = None
    threads: int | None = None  # torch's
    gpu: str | None = None
    # of training and sampling, see `models.device.Arithmetic`
    precision: str | None = None
    device: str | None = None
    capability: str | None = None
    # of sampling, of one sample: how long it took, and 1e9 multiply-accumulates
    sample_seconds: float | None = None
    sample_gmac: float | None = None
    data: str | None = None  # where the images of a training were, see `truth.places`
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def succeeded(self) -> bool:
        """Whether the job ended with exit code 0."""
        return self.exit_code == 0


def note(**values: Any) -> None:
    """Add values to the last line of this process's job."""
    _NOTES.update(values)


@contextmanager
def recorded(command: str) -> Iterator[None]:
    """Write a first and a last line to stderr around a command, even if it fails.

    On a terminal nothing is written: the lines are for logs.
    """
    if _is_on_terminal():
        yield
        return
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
    """Return the tries of a job, in their order.

    They are those in the file of tries, which only `recorded` writes. The log has the words of
    libraries, too, and is read only if there is no such file: not every system tells where stderr
    goes to.
    """
    from pydantic import TypeAdapter, ValidationError  # only here: each command imports this module

    found: dict[str, dict[str, Any]] = {}
    tries = log.with_suffix(TRIES)
    with suppress(OSError):
        text = (tries if tries.exists() else log).read_text(encoding="utf-8", errors="replace")
        for line in text.split("\n"):
            record = parse_line(line)
            found.setdefault(str(record.get("id")), {}).update(record)
    known, reader = {item.name for item in fields(Job)}, TypeAdapter(Job)
    jobs = []
    for record in found.values():
        with suppress(ValidationError):  # the first line is missing
            kept = {name: record[name] for name in known & record.keys()}
            jobs.append(reader.validate_json(json.dumps(kept), strict=True))
    return jobs


def code_commit() -> str | None:
    """Return the commit of the running code, with `-dirty` if files have changed; None if unknown.

    A container image contains the commit in a file; elsewhere git is asked.
    """
    with suppress(OSError):
        commit = (PACKAGE / "_commit").read_text(encoding="utf-8").strip()
        return None if commit in ("", "None") else commit
    tree = PACKAGE.parents[1]
    if not (tree / ".git").exists():  # an installed package can be within another repository
        return None
    words = ["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            ["git", "--no-optional-locks", "-C", tree, *words],
            capture_output=True,
            encoding="utf-8",
            timeout=20,
            check=True,
        )
        return done.stdout.strip() or None
    return None


def _is_on_terminal() -> bool:
    try:
        return sys.stderr.isatty()
    except ValueError:  # a closed file
        return False


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
        **_NOTES,
        **_torch(),
        "versions": {"python": ".".join(map(str, sys.version_info[:3]))}
        | {name: version(name) for module, name in PACKAGES.items() if module in sys.modules},
    }


def _write(event: str, job: str, content: Any) -> None:
    """Write a line; errors must not stop the job."""
    try:
        line = PREFIX + json.dumps({"event": event, "id": job, **content()})
        print(line, file=sys.stderr, flush=True)
        with suppress(OSError):  # the file behind stderr, on Linux
            log = Path("/proc/self/fd/2").readlink()
            if log.suffix == ".log":
                with open_own(log.with_suffix(TRIES), "a") as tries:
                    tries.write(line + "\n")
    except ProbunetError as error:  # a link in the place of the file of tries
        print(error, file=sys.stderr, flush=True)
    except Exception:
        with suppress(Exception):
            traceback.print_exc()


def parse_line(line: str) -> dict[str, Any]:
    """Return the record in a log's line; an empty one if there is none."""
    if not line.startswith(PREFIX + "{"):
        return {}
    try:
        record = json.loads(line.removeprefix(PREFIX))
    except ValueError:  # an incomplete line
        return {}
    return record if isinstance(record, dict) else {}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _max_rss_mb() -> float:
    """Return the peak memory of this process.

    On Linux, rusage includes the peak of the parent process; VmHWM does not.
    """
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    return _rusage_mb(resource.RUSAGE_SELF)


def _rusage_mb(who: int) -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes elsewhere
    return round(resource.getrusage(who).ru_maxrss * unit / 2**20, 1)


def _torch() -> dict[str, Any]:
    """Return the number of threads and the GPU of torch, if it was imported."""
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    used = torch.cuda.is_available() and torch.cuda.is_initialized()
    return {
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if used else None,
    }
