"""Parallel work on images in threads: NumPy releases the interpreter's lock."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from probunet.workers import usable_processors

PART = 4  # images per task


def for_images(work: Callable[[int], None], images: int) -> None:
    """Call `work` with each of 0 to images - 1, on all processors that the process may use.

    An exception in a thread is raised here.
    """

    def run(part: range) -> None:
        for image in part:
            work(image)

    parts = [range(start, min(start + PART, images)) for start in range(0, images, PART)]
    with ThreadPoolExecutor(usable_processors()) as pool:
        list(pool.map(run, parts))
