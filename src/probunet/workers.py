"""Run a function over many items in worker processes, with a progress bar on a terminal."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from typing import TypeVar

from probunet.errors import OutOfMemoryError

_T = TypeVar("_T")
_R = TypeVar("_R")

_most: int | None = None  # processors that this process was allowed to use


def use_processors(most: int | None) -> None:
    """Use at most so many processors in this process from now on; None for all usable ones."""
    global _most
    _most = most


def usable_processors() -> int:
    """Return the number of processors that this process may use, at least 1.

    It is the number that `use_processors` has set; else the processors that a cluster's job or
    `taskset` leaves to the process; else, where the system does not tell (macOS), all processors.
    """
    if _most is not None:
        return _most
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
        The most worker processes; by default one per usable processor.
    label
        Label of the progress bar.
    per_process
        Items that take about as long as the start of a process; each further process needs as many.

    Raises
    ------
    OutOfMemoryError
        If a worker process was killed, or a call lacks memory.
    """
    from tqdm import tqdm  # the benchmarks of models have torch and NumPy only

    processes = min(processes or usable_processors(), 1 + len(items) // per_process)
    results = []
    with tqdm(total=len(items), desc=label, unit="file", disable=None if items else True) as bar:
        if processes == 1:
            for item in items:
                results.append(function(item))
                bar.update()
            return results
        with worker_processes(processes) as pool, lost_workers(label, processes):
            for result in pool.map(function, items, chunksize=max(1, per_process // 20)):
                results.append(result)
                bar.update()
    return results


def worker_processes(count: int) -> ProcessPoolExecutor:
    """Return a pool of at most `count` processes, to be used in a `with` statement.

    They talk to this process through pipes, which no other user can open, and end with it.
    """
    return ProcessPoolExecutor(count, mp_context=get_context("spawn"), initializer=_begin_worker)


def _begin_worker() -> None:
    """Leave Ctrl+C to the process that started this one, and end when it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def lost_workers(label: str, processes: int) -> Iterator[None]:
    """Raise OutOfMemoryError, with advice, if a worker process is killed or lacks memory."""
    try:
        yield
    except (BrokenProcessPool, MemoryError):
        raise OutOfMemoryError(
            f"{label}: a worker process lacks memory or was killed, which is mostly for lack of "
            f"memory ({processes} ran at once); lower --workers (in the workflow, the rule's "
            "threads: --set-threads), or give the job more memory (mem_mb under set-resources)."
        ) from None
