"""Dask workers on this machine, which receive a few tasks at a time."""

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from probunet.workers import lost_worker

if TYPE_CHECKING:
    from distributed import Client

# One thread per worker. This replaces Dask's defaults, whose MALLOC_TRIM_THRESHOLD_ returns freed
# memory at once and so doubles the time.
_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1)

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def local_client(workers: int) -> Iterator["Client"]:
    """Yield a client of `workers` processes with one thread each, and stop them at the end.

    They listen on this machine only, without a dashboard, and keep scratch files in the system's
    temporary folder.
    """
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)  # the import lowers it
    settings = {
        "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
        "distributed.worker.profile.enabled": False,
    }
    with (
        dask.config.set(settings),
        tempfile.TemporaryDirectory(prefix="probunet-") as scratch,
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,  # no limit: tasks are small and few
            local_directory=scratch,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def run_tasks(
    client: "Client", function: Callable[[T], R], tasks: list[T], label: str
) -> Iterator[R]:
    """Yield `function(task)` of each task, in the order of completion.

    At most three tasks per worker are submitted at a time, so that messages and memory do not grow
    with the number of tasks.

    Raises
    ------
    OutOfMemoryError
        If a worker is killed repeatedly, or a task lacks memory. Other errors of a task are raised
        as they are.
    """
    from distributed import KilledWorker, as_completed

    waiting = iter(tasks)
    workers = len(client.scheduler_info()["workers"])
    first = islice(waiting, 3 * workers)
    running = as_completed(  # type: ignore[no-untyped-call]
        [client.submit(function, task, pure=False) for task in first]
    )
    quiet = not sys.stderr.isatty()
    with tqdm(total=len(tasks), desc=label, unit="shard", disable=None) as bar:
        for done, future in enumerate(running, start=1):
            try:
                yield future.result()
            except (KilledWorker, MemoryError):
                raise lost_worker(label, workers) from None
            for task in islice(waiting, 1):
                running.add(client.submit(function, task, pure=False))  # type: ignore[no-untyped-call]
            bar.update()
            if quiet and (done == len(tasks) or done % max(1, len(tasks) // 10) == 0):
                logger.info("%s: %d of %d shards", label, done, len(tasks))
