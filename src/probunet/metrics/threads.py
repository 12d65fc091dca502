"""Images spread over threads: NumPy releases the interpreter's lock while it works."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

PART = 4  # images that a thread takes at a time


def for_images(work: Callable[[int], None], images: int, cpus: int | None = None) -> None:
    """Call `work` with each of 0 to images - 1, on `cpus` threads; raises what a thread raised.

    Without `cpus`, all that this process may use.
    """

    def some(part: range) -> None:
        for image in part:
            work(image)

    parts = [range(start, min(start + PART, images)) for start in range(0, images, PART)]
    with ThreadPoolExecutor(cpus or _available()) as pool:
        list(pool.map(some, parts))


def _available() -> int:
    """Return the CPUs that this process may use, which a cluster's job limits."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
