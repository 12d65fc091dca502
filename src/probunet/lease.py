"""One GPU for each job of a machine that has several: a job holds a lock for as long as it lives.

In a job of SLURM, only the GPUs that SLURM gave it are shared out.
"""

import logging
import os
import re
import stat
import subprocess
import tempfile
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from runpy import run_path
from typing import IO

from probunet.errors import ProbunetError
from probunet.files import open_own, try_lock

logger = logging.getLogger(__name__)

# variables with which SLURM says that a job has GPUs: ids in a list, or a number of GPUs
GPU_LISTS = ("SLURM_JOB_GPUS", "SLURM_STEP_GPUS")
GPU_NUMBERS = (
    "SLURM_GPUS",
    "SLURM_GPUS_ON_NODE",
    "SLURM_GPUS_PER_NODE",
    "SLURM_GPUS_PER_SOCKET",
    "SLURM_GPUS_PER_TASK",
)

_held: list[IO[str]] = []  # open files, which stay locked until this process ends or is killed


def lease_gpu(device: str) -> None:
    """Let this process see one of the visible GPUs only, which no other job uses if one is free.

    If there are more jobs than GPUs, they are shared evenly, and a line says so. Call this before
    torch is imported: torch reads CUDA_VISIBLE_DEVICES once.

    Parameters
    ----------
    device
        The device that the job asks for; only `auto` and `cuda` leave the choice of a GPU open.

    Raises
    ------
    ProbunetError
        If the folder of the locks cannot be written, or is not this user's alone.
    """
    devices = visible_gpus() if device in ("auto", "cuda") else []
    if len(devices) < 2:
        return
    chosen, jobs = _lease(devices, _folder())
    os.environ["CUDA_VISIBLE_DEVICES"] = chosen
    if jobs is None:
        logger.warning(
            "GPU %s: other jobs may use it, too, though there are %d; set TMPDIR to a folder of "
            "this machine that has locks.",
            chosen,
            len(devices),
        )
    elif jobs:
        logger.warning(
            "GPU %s: is shared with %d other job%s, because all %d visible GPUs are in use; limit "
            "the jobs with `--resources gpu=%d`.",
            chosen,
            jobs,
            "s" if jobs > 1 else "",
            len(devices),
            len(devices),
        )
    else:
        logger.info("GPU %s: one of %d, in use by this job alone", chosen, len(devices))


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    Without that variable there are none for a torch that is built without CUDA, nor in a job of
    SLURM, which sets it.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return _listed() if "SLURM_JOB_ID" not in os.environ and _torch_has_cuda() else []
    names = [name.strip() for name in chosen.split(",")]
    ends = [i for i, name in enumerate(names) if name in ("", "-1")]  # CUDA reads no further
    return names[: ends[0]] if ends else names


def _torch_has_cuda() -> bool:
    """Return whether torch is built with CUDA, without importing it."""
    torch = find_spec("torch")
    if torch is None or torch.origin is None:
        return False
    return bool(run_path(str(Path(torch.origin).with_name("version.py"))).get("cuda"))


def _listed() -> list[str]:
    """Return the ids of this machine's GPUs, or of their MIG parts where a GPU is divided."""
    try:
        done = subprocess.run(
            ["nvidia-smi", "--list-gpus"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=60,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    found: list[str] = []
    for name in re.findall(r"UUID: ([\w/-]+)\)", done.stdout):
        if name.startswith("MIG-") and found and found[-1].startswith("GPU-"):
            found.pop()  # a divided GPU is used by its parts
        found.append(name)
    return found


def _folder() -> Path:
    """Return the folder of the locks of this user, in this job of SLURM, on this machine."""
    name = f"probunet-gpus-{os.getuid()}"
    if job := os.environ.get("SLURM_JOB_ID"):  # in each job of SLURM, 0 can be another GPU
        name += f"-{job}"
    try:
        folder = Path(tempfile.gettempdir()) / name
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise _unwritable(name, error) from None
    shared = stat.S_IWGRP | stat.S_IWOTH
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & shared:
        raise ProbunetError(
            f"{folder}: is a link, or a folder that others can write; remove it, or set TMPDIR to "
            "another folder of this machine."
        )
    return folder


def _unwritable(where: object, error: OSError) -> ProbunetError:
    return ProbunetError(
        f"{where}: cannot be written ({error.strerror or error}); set TMPDIR to another folder of "
        "this machine."
    )


def _lease(devices: list[str], folder: Path) -> tuple[str, int | None]:
    """Return a device, locked for this process, and the number of jobs that use it already.

    The number is None, and the device any, where the file system has no locks.
    """
    for jobs in count():
        for device in devices:
            lock = folder / f"{device.replace('/', '_')}.{jobs}.lock"
            try:
                handle = open_own(lock, "a+")
            except OSError as error:
                raise _unwritable(lock, error) from None
            held = try_lock(handle)
            if held:
                _held.append(handle)
                return device, jobs
            handle.close()
            if held is None:
                return devices[os.getpid() % len(devices)], None
    raise AssertionError  # `count` has no end
