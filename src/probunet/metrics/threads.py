"""Parallel work on images in threads: NumPy releases the interpreter's lock."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

PART = 4  # images per task


def for_images(work: Callable[[int], None], images: int) -> None:
    """Call `work` with each of 0 to images - 1, on all CPUs that the process may use.

    An exception in a thread is raised here.
    """

    def run(part: range) -> None:
        for image in part:
            work(image)

    parts = [range(start, min(start + PART, images)) for start in range(0, images, PART)]
    with ThreadPoolExecutor(_cpus()) as pool:
        list(pool.map(run, parts))


def _cpus() -> int:
    """Return the number of CPUs that this process may use; a cluster's job limits it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
