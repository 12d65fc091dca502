"""Dask tasks in worker processes on this machine.

Dask's own cluster is not used: its scheduler and workers listen on ports, through which any user of
the machine can run code as the user who started them.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import TypeVar

from tqdm import tqdm

from probunet.workers import lost_workers, worker_processes

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def local_workers(workers: int) -> Iterator[Executor]:
    """Yield a pool of `workers` processes with one thread each, and stop them at the end."""
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(_ONE_THREAD)  # processes that start later inherit it
    try:
        with worker_processes(workers) as pool:
            yield pool
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def run_tasks(
    workers: Executor, function: Callable[[T], R], tasks: Sequence[T], label: str
) -> list[R]:
    """Return `function(task)` of each task, in order.

    At most two tasks per worker are submitted at a time, so that messages and memory do not grow
    with the number of tasks, and no worker waits for its next one.

    Raises
    ------
    OutOfMemoryError
        If a worker is killed, or a task lacks memory. Other errors of a task are raised as they
        are.
    """
    from dask.base import compute
    from dask.callbacks import Callback
    from dask.delayed import delayed
    from dask.local import get_async

    calls = [
        # named and not traversed, because Dask would hash and search all of a task's values
        delayed(partial(function, task), name=f"{label}-{i}", traverse=False)()
        for i, task in enumerate(tasks)
    ]
    processes = workers._max_workers  # type: ignore[attr-defined]
    quiet, done = not sys.stderr.isatty(), count(1)
    with tqdm(total=len(tasks), desc=label, unit="shard", disable=None) as bar:

        def advance(*_: object) -> None:
            bar.update()
            number = next(done)
            if quiet and (number == len(tasks) or number % max(1, len(tasks) // 10) == 0):
                logger.info("%s: %d of %d shards", label, number, len(tasks))

        scheduler = partial(get_async, workers.submit, 2 * processes)
        progress = Callback(posttask=advance)  # type: ignore[no-untyped-call]
        with progress, lost_workers(label, processes):
            found = compute(*calls, scheduler=scheduler, optimize_graph=False)  # type: ignore[no-untyped-call]
            return list(found)
