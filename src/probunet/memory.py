"""How much memory is left, and whether an error is due to a lack of it.

Both a lack of memory and a damaged file end a decoder with an error of nearly any kind. A file that
is left out because memory was lacking would make results depend on the machine.
"""

import errno
import mmap
import os
import re
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

# bytes that must be left before a file counts as damaged; decoders need less for what they do not
# report as a lack of memory
SPARE = 2**28
PROCESS, GROUPS = Path("/proc/self"), Path("/sys/fs/cgroup")  # Linux

# how libraries say it in errors of other types: Pillow, pandas and CUDA; NumPy, where pydicom
# repeats it; the system and torch; C++; CUDA's libraries; MPS; threads; libraries that cannot be
# loaded
_LACKS_MEMORY = re.compile(
    r"out[ _]of[ _]memory|Unable to allocate|can(no|')t allocate memory|bad_alloc|"
    r"ALLOC(ATION)?_FAILED|Invalid buffer size|can't start new thread|failed to map segment",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error, or one that it was made of, says that memory is lacking."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or getattr(cause, "errno", None) == errno.ENOMEM:
            return True
        if _LACKS_MEMORY.search(str(cause)):
            return True
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return False


def raise_if_memory_lacks(error: BaseException) -> None:
    """Raise MemoryError if an error can be due to a lack of memory.

    Not every decoder says so: libjpeg calls the data broken. So memory also counts as lacking if
    `SPARE` bytes are not left.
    """
    if isinstance(error, MemoryError):
        raise error
    if lacks_memory(error):
        raise MemoryError(str(error)) from error
    try:
        mmap.mmap(-1, SPARE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except OSError:
        raise MemoryError(f"less than {SPARE // 2**20} MiB were left") from error


def free_memory() -> int:
    """Return the bytes that this process can still take without swapping.

    It is the least of what the machine, each of the process's control groups (a job's limit) and
    its own limits (ulimit) leave.
    """
    left = [_free_on_machine(), *_free_in_groups(), *_free_of_limits()]
    return max(0, min(left))


def _free_on_machine() -> int:
    page = os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, KeyError):
        return _numbers(Path("/proc/meminfo"))["MemAvailable:"] * 1024
    return page * os.sysconf("SC_PHYS_PAGES")  # macOS does not tell what is free


def _free_in_groups() -> Iterator[int]:
    """Yield what each control group of this process leaves; nothing outside Linux."""
    with suppress(OSError):
        for line in PROCESS.joinpath("cgroup").read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":  # version 2
                root, limit, used, cache = GROUPS, "memory.max", "memory.current", "inactive_file"
            elif "memory" in controllers.split(","):
                root, cache = GROUPS / "memory", "total_inactive_file"
                limit, used = "memory.limit_in_bytes", "memory.usage_in_bytes"
            else:
                continue
            group = root / path.lstrip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(root):
                    break
                with suppress(OSError, ValueError):  # ValueError: the limit is "max"
                    most = int((folder / limit).read_text(encoding="utf-8"))
                    taken = int((folder / used).read_text(encoding="utf-8"))
                    cached = 0  # of files, which is taken back before a job is killed
                    with suppress(OSError):
                        cached = _numbers(folder / "memory.stat").get(cache, 0)
                    yield most - taken + cached


def _free_of_limits() -> Iterator[int]:
    """Yield what the limits of this process leave of its address space and of its data."""
    with suppress(OSError, KeyError):
        used = _numbers(PROCESS / "status")
        for limit, name in ((resource.RLIMIT_AS, "VmSize:"), (resource.RLIMIT_DATA, "VmData:")):
            most = resource.getrlimit(limit)[0]
            if most != resource.RLIM_INFINITY:
                yield most - used[name] * 1024


def _numbers(path: Path) -> dict[str, int]:
    """Return the numbers in a file of lines "name number"."""
    lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}
