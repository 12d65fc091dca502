"""Dask workers on this machine, and tasks sent to them a few at a time."""

import logging
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from tqdm import tqdm

from probunet.errors import ProbunetError

if TYPE_CHECKING:
    from distributed import Client

# One thread a worker. Dask would also have freed memory given back at once (by
# MALLOC_TRIM_THRESHOLD_), only to fetch it again for the next slice: half of the time went there.
_ENVIRONMENT = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), 1)

logger = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def local_client(workers: int) -> Iterator["Client"]:
    """Yield a client of so many worker processes of one thread each, which end with it.

    They listen on this machine only, have no dashboard, and keep their scratch files in the
    system's temporary folder.
    """
    import dask
    from distributed import Client, LocalCluster

    logging.getLogger("distributed").setLevel(logging.ERROR)  # its import turns chatter on
    with (
        dask.config.set(
            {
                "distributed.nanny.pre-spawn-environ": _ENVIRONMENT,
                "distributed.worker.profile.enabled": False,
            }
        ),
        tempfile.TemporaryDirectory(prefix="probunet-") as scratch,
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,  # tasks are small and few; nothing is spilled or paused
            local_directory=scratch,
            silence_logs=logging.ERROR,
        ) as cluster,
        Client(cluster) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


def run_tasks(
    client: "Client", function: Callable[[T], R], tasks: list[T], label: str
) -> Iterator[R]:
    """Yield `function(task)` of each task, in the order in which they end.

    No more than three tasks a worker are under way, so that neither the messages nor the memory
    grow with the number of tasks.

    Raises
    ------
    ProbunetError
        If a worker dies again and again. What a task raises is raised here.
    """
    from distributed import KilledWorker, as_completed

    waiting = iter(tasks)
    under_way = 3 * len(client.scheduler_info()["workers"])
    running = as_completed(  # type: ignore[no-untyped-call]
        [client.submit(function, task, pure=False) for task in islice(waiting, under_way)]
    )
    bar = tqdm(total=len(tasks), desc=label, unit="shard", disable=None)
    quiet = not sys.stderr.isatty()
    with bar:
        for done, future in enumerate(running, start=1):
            try:
                yield future.result()
            except KilledWorker:
                raise ProbunetError(
                    f"{label}: a worker process was killed again and again, most likely for want "
                    "of memory; ask for fewer workers or more memory."
                ) from None
            for task in islice(waiting, 1):
                running.add(client.submit(function, task, pure=False))  # type: ignore[no-untyped-call]
            bar.update()
            if quiet and (done == len(tasks) or done % max(1, len(tasks) // 10) == 0):
                logger.info("%s: %d of %d shards", label, done, len(tasks))
