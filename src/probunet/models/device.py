"""The device that a model runs on, its precision and its memory."""

import ctypes
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor

from probunet import memory
from probunet.errors import OutOfMemoryError, ProbunetError
from probunet.lease import GPU_LISTS, GPU_NUMBERS

_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of glibc's mallopt
DRIVER = Path("/proc/driver/nvidia/version")
DEVICES = Path("/dev")
# the least driver by the major version of the CUDA that torch is built with (NVIDIA's table of
# minor version compatibility)
LEAST_DRIVER = {"11": "450", "12": "525", "13": "580"}


@dataclass(frozen=True)
class Arithmetic:
    """What the last digits of a training depend on, besides its seed and the versions."""

    precision: str  # "float32" or "bfloat16"
    device: str  # "cpu", "mps", or the GPU's name
    capability: str  # vector instructions of the CPU, "AVX512"; compute capability of a GPU, "9.0"
    threads: int | None  # of the CPU; None elsewhere, where they have no effect

    @classmethod
    def of(cls, device: torch.device, precision: str) -> Self:
        """Return that of a device, and of a precision as in `autocast`."""
        chosen = "bfloat16" if _uses_bfloat16(device, precision) else "float32"
        if device.type == "cuda":
            major, minor = torch.cuda.get_device_capability(device)
            return cls(chosen, torch.cuda.get_device_name(device), f"{major}.{minor}", None)
        threads = torch.get_num_threads() if device.type == "cpu" else None
        return cls(chosen, device.type, torch.backends.cpu.get_cpu_capability(), threads)

    @classmethod
    def read(cls, value: object) -> Self:
        """Return that of a file; raise TypeError or ValueError if the value is another one."""
        if not isinstance(value, dict):
            raise TypeError("arithmetic is no mapping")
        found = cls(**value)
        texts = (found.precision, found.device, found.capability)
        if {type(text) for text in texts} != {str} or type(found.threads) not in (int, NoneType):
            raise TypeError("arithmetic has other types")
        return found

    def __str__(self) -> str:
        threads = "" if self.threads is None else f", threads: {self.threads}"
        return f"{self.precision} on {self.device} ({self.capability}{threads})"


def choose_device(name: str, threads: int | None = None) -> torch.device:
    """Return the device of this name, and set the number of CPU threads.

    Parameters
    ----------
    name
        "cpu", "cuda", "cuda:1", "mps" ...; "auto" is "cuda" if torch can use a GPU, else "mps" if
        that works, else "cpu".
    threads
        CPU threads that torch may use; torch's own choice if None.

    Raises
    ------
    OutOfMemoryError
        If the device has no memory left.
    ProbunetError
        If the device is unknown or torch cannot use it; with "auto", if there is a GPU for this
        process (see `gpu_given`) that torch cannot use.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    _keep_freed_memory()
    if name == "auto":
        return _best_device()
    try:
        device = torch.device(name)
    except RuntimeError as error:
        problem: str | None = _first_sentence(error)
    else:
        problem = _problem(device)
    if problem is None:
        return device
    if name.startswith("cuda"):
        raise _unusable_gpu(f"device {name}", problem)
    raise ProbunetError(
        f"device {name}: not usable here ({problem}); choose auto, cpu, cuda or mps."
    )


def _keep_freed_memory() -> None:
    """Let the C library keep the memory of freed tensors, for the next ones.

    By default, glibc gives large blocks back at once, and in each training step on a CPU the system
    clears gigabytes of new pages. Other C libraries are left as they are.
    """
    with suppress(AttributeError, OSError, TypeError):
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_MAX, 0)
        library.mallopt(_TRIM_THRESHOLD, 2**31 - 1)


def gpu_given() -> str | None:
    """Return why an NVIDIA GPU counts as given to this process; None if none was given.

    One is given if CUDA_VISIBLE_DEVICES names one. Where that variable is not set, one is given if
    the machine has an NVIDIA driver and SLURM's variables say that the job has GPUs; or, outside
    SLURM, if the machine has an NVIDIA driver and torch is built with CUDA.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:  # "", "-1" and "NoDevFiles" hide all GPUs
        named = re.match(r"\s*(\d|GPU-|MIG-)", visible)
        return f"CUDA_VISIBLE_DEVICES={visible}" if named else None
    if not _has_driver():
        return None
    if "SLURM_JOB_ID" in os.environ or _gpus_of_slurm():
        return _gpus_of_slurm()
    return f"{DRIVER} exists" if torch.version.cuda else None


def describe(device: torch.device, precision: str, compiled: bool) -> str:
    """Return the first line of a log: device, memory, precision and whether it compiles.

    Parameters
    ----------
    precision
        "float32", "bfloat16" or "auto", as in `autocast`.
    compiled
        Whether torch.compile is to be used.
    """
    arithmetic = Arithmetic.of(device, precision)
    return (
        f"device: {_name(device)}, capability: {arithmetic.capability}, "
        f"memory: {_total_memory(device)}, precision: {arithmetic.precision}, "
        f"compile: {'on' if compiled else 'off'}{_unused_gpu(device)}"
    )


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context for a model's forward pass in training.

    Parameters
    ----------
    device
        The model's device.
    precision
        "float32", "bfloat16", or "auto": bfloat16 if the hardware multiplies bfloat16 matrices (a
        recent GPU, a CPU with AMX or AVX512_BF16), else float32.
    """
    enabled = _uses_bfloat16(device, precision)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def free_memory(device: torch.device) -> int:
    """Return the bytes of a device's memory that this process can still take."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type == "mps":
        left = torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
        return min(left, memory.free_memory())  # the CPU's, too
    return memory.free_memory()


def has_bfloat16(device: torch.device) -> bool:
    """Return whether the device multiplies bfloat16 matrices in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    found = torch.cpu.get_capabilities() if device.type == "cpu" else {}
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def _lacks_memory(error: BaseException) -> bool:
    """Return whether an error means that memory is lacking, on the device or the machine."""
    return isinstance(error, torch.OutOfMemoryError) or memory.lacks_memory(error)


def sent(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor of the CPU on a device.

    The CPU does not wait until the device has finished what it was asked for before; not on MPS,
    whose copies read the tensor later, when it may have changed.
    """
    return tensor.to(device, non_blocking=device.type != "mps")


@contextmanager
def memory_for(what: str, device: torch.device, advice: str) -> Iterator[None]:
    """Raise OutOfMemoryError, with advice, if the code inside runs out of memory.

    Parameters
    ----------
    what
        What is being done, and where: the beginning of the message.
    device
        Where the memory is lacking, unless it is that of the machine.
    advice
        What to do: the end of the message, with the keys to lower.
    """
    try:
        yield
    except (MemoryError, OSError, RuntimeError) as error:
        if not _lacks_memory(error):
            raise
        on_machine = isinstance(error, MemoryError | OSError) or "CPUAllocator" in str(error)
        where = torch.device("cpu") if on_machine else device
        raise OutOfMemoryError(
            f"{what}: out of memory on {_name(where)}, which has "
            f"{_total_memory(where)}{_asked_for(error)}{_held_by_others(where)}; {advice}."
        ) from None


# ------------------------------------------------------------------ choosing


def _best_device() -> torch.device:
    cuda, mps = torch.device("cuda"), torch.device("mps")
    problem = _problem(cuda)
    if problem is None:
        return cuda
    if given := gpu_given():
        raise _unusable_gpu(f"device auto: a GPU was given ({given})", problem)
    if torch.backends.mps.is_available() and _problem(mps) is None:
        return mps
    return torch.device("cpu")


def _problem(device: torch.device) -> str | None:
    """Return why torch cannot train on a device; None if it can."""
    advice = "choose another, or wait until other processes leave it some"
    try:
        if device.type == "cuda":
            torch.cuda.init()  # type: ignore[no-untyped-call]
            if lacking := _lacking_kernels(device):
                return lacking
        with memory_for(f"device {device}", device, advice):
            _try(device)
    except (RuntimeError, AssertionError) as error:
        return _first_sentence(error)
    return None


def _try(device: torch.device) -> None:
    """Run operations of training and augmentation that not every device has."""
    image = torch.ones(1, 1, 4, 4, device=device, requires_grad=True)
    grid = torch.zeros(1, 4, 4, 2, device=device)
    F.grid_sample(image.detach(), grid, padding_mode="border", align_corners=True)
    small = F.avg_pool2d(image, 2)
    large = F.interpolate(small, size=(4, 4), mode="bilinear", align_corners=True)
    large.sum().backward()  # type: ignore[no-untyped-call]
    large.sum().item()


def _lacking_kernels(device: torch.device) -> str | None:
    """Return what is wrong if torch has no kernels for a GPU of this compute capability."""
    major, minor = torch.cuda.get_device_capability(device)
    found = [re.fullmatch(r"(sm|compute)_(\d+)(\d)[a-z]?", a) for a in torch.cuda.get_arch_list()]
    kernels = [(match[1], int(match[2]), int(match[3])) for match in found if match]
    usable = any(
        (a, b) <= (major, minor) and (kind == "compute" or a == major) for kind, a, b in kernels
    )
    if usable or not kernels:
        return None
    return f"{_name(device)} has compute capability {major}.{minor}, and torch no kernels for it"


def _unusable_gpu(where: str, problem: str) -> ProbunetError:
    """Return the error about a GPU that torch cannot use: why, the driver, and what is needed."""
    remedy = "a newer driver or a torch for an older CUDA"
    if torch.version.cuda is None:
        remedy = "a torch with CUDA"
    return ProbunetError(
        f"{where}: not usable here ({problem}); found {_driver()}, and {_needs()}; choose another "
        f"node or {remedy} (docs/how-to/cluster.md, GPUs), or set `device: cpu` in the "
        "configuration (--device cpu) to do without the GPU."
    )


def _needs() -> str:
    """Return the least driver and GPU that this torch needs."""
    built = f"torch {torch.__version__}"
    if torch.version.cuda is None:
        return f"{built} is built without CUDA"
    least = LEAST_DRIVER.get(torch.version.cuda.split(".")[0], "that of its CUDA")
    known = [re.search(r"_(\d+)(\d)", arch) for arch in torch.cuda.get_arch_list()]
    capability = min(((int(m[1]), int(m[2])) for m in known if m), default=None)
    gpu = f" and compute capability {capability[0]}.{capability[1]}" if capability else ""
    return f"{built} (CUDA {torch.version.cuda}) needs at least driver {least}{gpu}"


def _driver() -> str:
    """Return the version of the machine's NVIDIA driver, in words."""
    with suppress(OSError):
        if found := re.search(r"\s(\d{3,}\.\d[\d.]*)\s", DRIVER.read_text(encoding="utf-8")):
            return f"driver {found[1]}"
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=20, check=True
        )
        return f"driver {done.stdout.split()[0]}" if done.stdout.split() else "no NVIDIA driver"
    return "no NVIDIA driver"


def _has_driver() -> bool:
    return DRIVER.exists() or any(DEVICES.glob("nvidia[0-9]*"))


def _gpus_of_slurm() -> str | None:
    """Return the variable with which SLURM says that this job has GPUs."""
    for name in (*GPU_LISTS, *GPU_NUMBERS):
        value = os.environ.get(name)
        if value and (value != "0" or name in GPU_LISTS):  # the id 0, not the number 0
            return f"{name}={value}"
    return None


def _unused_gpu(device: torch.device) -> str:
    """Return why the CPU is used though there may be a GPU."""
    if device.type != "cpu":
        return ""
    given = _gpus_of_slurm()
    if given and not _has_driver():
        return f" ({given}, but this node has no NVIDIA driver)"
    if _has_driver() and torch.version.cuda is None:
        return f" (torch {torch.__version__} cannot use this machine's GPU)"
    return ""


# ------------------------------------------------------------------ precision and memory


def _uses_bfloat16(device: torch.device, precision: str) -> bool:
    return precision == "bfloat16" or (precision == "auto" and has_bfloat16(device))


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        threads = torch.get_num_threads()
        return f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    return str(device)


def _total_memory(device: torch.device) -> str:
    """Return the size of a device's memory; the CPU's is that of the machine."""
    if device.type == "cuda":
        return gigabytes(torch.cuda.get_device_properties(device).total_memory)
    if device.type == "mps":
        return gigabytes(torch.mps.recommended_max_memory())
    try:
        return gigabytes(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (ValueError, OSError):  # not every system tells
        return "unknown"


def _held_by_others(device: torch.device) -> str:
    """Return how much of a GPU's memory other processes hold; nothing if it cannot be asked."""
    if device.type != "cuda":
        return ""
    with suppress(RuntimeError):  # on a full GPU, asking lacks memory, too
        free, total = torch.cuda.mem_get_info(device)
        others = total - free - torch.cuda.memory_reserved(device)
        return f" ({gigabytes(others)} held by other processes and the driver)"
    return ""


def _asked_for(error: BaseException) -> str:
    """Return the amount in an error's message: "2.00 GiB", "400 bytes"."""
    found = re.search(r"(?:[Tt]ried|[Uu]nable) to allocate ([\d.]+ \w+)", str(error))
    return f", when {found[1]} more were asked for" if found else ""


def gigabytes(size: int) -> str:
    """Return a number of bytes in words."""
    return f"{size / 2**30:.1f} GiB"


def _first_sentence(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0].split(". ")[0].rstrip(".")
