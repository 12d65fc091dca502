"""How many processors a process uses, on each kind of system."""

import os
from concurrent.futures import ProcessPoolExecutor

import pytest

from probunet import workers
from probunet.errors import OutOfMemoryError
from probunet.metrics import threads


@pytest.fixture(autouse=True)
def no_limit():
    yield
    workers.use_processors(None)


def test_a_system_that_cannot_tell_the_usable_processors(monkeypatch):
    """As macOS: it has no such function."""
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert workers.usable_processors() == 3
    assert workers.in_processes(abs, [-1, 2], None, "count") == [1, 2]
    seen = []
    threads.for_images(seen.append, 9)
    assert sorted(seen) == list(range(9))
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert workers.usable_processors() == 1


def test_a_process_uses_what_a_job_leaves_to_it(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 5}, raising=False)
    assert workers.usable_processors() == 2


def test_a_limit_holds_wherever_no_number_is_passed(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    started = []

    class Pool(ProcessPoolExecutor):
        def __init__(self, processes, **options):
            started.append(processes)
            super().__init__(processes, **options)

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    workers.use_processors(2)
    assert workers.usable_processors() == 2
    assert workers.in_processes(abs, range(-30, 0), None, "count", per_process=1)[0] == 30
    assert started == [2]


def lacks_memory(item):
    raise MemoryError


@pytest.mark.parametrize("function", [os._exit, lacks_memory])
def test_a_worker_that_is_killed_or_lacks_memory_is_one_sentence(function):
    with pytest.raises(OutOfMemoryError, match=r"checking: a worker process .*lower --workers"):
        workers.in_processes(function, [1, 1], 2, "checking", per_process=1)
