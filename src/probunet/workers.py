"""Run a function over many items in worker processes, with a progress bar on a terminal."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from tqdm import tqdm

_T = TypeVar("_T")
_R = TypeVar("_R")


def in_processes(
    function: Callable[[_T], _R],
    items: Sequence[_T],
    processes: int | None,
    label: str,
    per_process: int = 1000,
) -> list[_R]:
    """Return `function(item)` of each item, in order.

    Parameters
    ----------
    function
        Function of one item; must be picklable.
    items
        Its arguments.
    processes
        The most worker processes; by default one per processor.
    label
        Label of the progress bar.
    per_process
        Items that take about as long as the start of a process; each further process needs as many.
    """
    processes = min(processes or len(os.sched_getaffinity(0)), 1 + len(items) // per_process)
    results = []
    with tqdm(total=len(items), desc=label, unit="file", disable=None if items else True) as bar:
        if processes == 1:
            for item in items:
                results.append(function(item))
                bar.update()
            return results
        with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
            for result in pool.map(function, items, chunksize=max(1, per_process // 20)):
                results.append(result)
                bar.update()
    return results
