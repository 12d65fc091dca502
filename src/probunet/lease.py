"""One GPU for each job of a machine that has several: a job holds a lock for as long as it lives.

Under SLURM nothing is leased: SLURM gives each job its own GPUs.
"""

import logging
import os
import re
import subprocess
import tempfile
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from runpy import run_path
from typing import IO

from probunet.errors import ProbunetError
from probunet.files import try_lock

logger = logging.getLogger(__name__)

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
        If the folder of the locks cannot be written.
    """
    if device not in ("auto", "cuda") or "SLURM_JOB_ID" in os.environ:
        return
    devices = visible_gpus()
    if len(devices) < 2:
        return
    chosen, jobs = _lease(devices, _folder())
    os.environ["CUDA_VISIBLE_DEVICES"] = chosen
    if jobs:
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

    Without that variable there are none for a torch that is built without CUDA.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is None:
        return _listed() if _torch_has_cuda() else []
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
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=60, check=True
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
    """Return the folder of this user's locks, on a file system of this machine."""
    folder = Path(tempfile.gettempdir()) / f"probunet-gpus-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise ProbunetError(
            f"{folder}: cannot be written ({error.strerror}); set TMPDIR to another folder of this "
            "machine."
        ) from None
    return folder


def _lease(devices: list[str], folder: Path) -> tuple[str, int]:
    """Return a device, locked for this process, and the number of jobs that use it already."""
    for jobs in count():
        for device in devices:
            handle = (folder / f"{device.replace('/', '_')}.{jobs}.lock").open("w")
            if try_lock(handle) is not False:
                _held.append(handle)
                return device, jobs
            handle.close()
    raise AssertionError  # `count` has no end
