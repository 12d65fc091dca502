"""Dask's worker processes: who can reach them, and what happens if one is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from probunet.datasets.raw_file import read_content
from probunet.errors import OutOfMemoryError, ProbunetError
from probunet.prepare.cluster import local_workers, run_tasks
from support.listening import linux, listening, processes_of

NOBODY = 65534
# run as another user: print what it can open
INTRUDER = 'for place; do if ( : <> "$place" ) 2>/dev/null; then echo "$place"; fi; done'
DRIVER = """
import time
from probunet.prepare.cluster import local_workers, run_tasks
if __name__ == "__main__":
    with local_workers(2) as workers:
        run_tasks(workers, time.sleep, [0.01] * 9 + [600, 600], "prepare")
"""


def test_each_task_is_done_once() -> None:
    with local_workers(2) as workers:
        assert sorted(run_tasks(workers, abs, list(range(-9, 0)), "prepare")) == list(range(1, 10))
        assert run_tasks(workers, abs, [], "prepare") == []


def test_workers_use_one_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with local_workers(1) as workers:
        assert run_tasks(workers, os.getenv, ["OMP_NUM_THREADS"], "prepare") == ["1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"


@pytest.mark.parametrize(("function", "item"), [(os._exit, 1), (bytearray, 2**62)])
def test_lack_of_memory_is_one_sentence(function: object, item: int) -> None:
    with (
        local_workers(1) as workers,
        pytest.raises(OutOfMemoryError, match=r"prepare: a worker process .*lower --workers"),
    ):
        run_tasks(workers, function, [item], "prepare")  # type: ignore[arg-type]


def test_an_error_of_a_task_is_raised_as_it_is() -> None:
    with local_workers(1) as workers, pytest.raises(ProbunetError) as raised:
        run_tasks(workers, read_content, [Path("absent")], "prepare")
    assert str(raised.value) == "absent: cannot be read (No such file or directory)."


@linux
def test_workers_listen_on_no_port() -> None:
    before = listening(os.getpid())  # a plugin of pytest has a port of its own
    with local_workers(2) as workers:
        run_tasks(workers, abs, [1, 2, 3], "prepare")
        assert len(processes_of(os.getpid())) > 2
        assert listening(os.getpid()) == before


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_cannot_open_the_pipes_of_the_workers() -> None:
    with local_workers(2) as workers:
        run_tasks(workers, abs, [1, 2, 3], "prepare")
        processes = [Path(f"/proc/{process}") for process in processes_of(os.getpid())]
        pipes = [str(pipe) for process in processes for pipe in (process / "fd").iterdir()]
        memory = [str(process / "mem") for process in processes]
        command = ["/bin/sh", "-c", INTRUDER, "sh", *pipes, *memory]
        who = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        intruder = subprocess.run(command, **who, capture_output=True, text=True)  # type: ignore
    assert len(processes) > 2
    assert intruder.stdout + intruder.stderr == ""


@linux
def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    script = tmp_path / "driver.py"
    script.write_text(DRIVER)
    driver = subprocess.Popen([sys.executable, str(script)])
    workers: set[int] = set()
    until = time.monotonic() + 30
    while len(workers) < 3 and time.monotonic() < until:  # two workers, and Python's own tracker
        workers = processes_of(driver.pid) - {driver.pid}
        time.sleep(0.1)
    time.sleep(1)  # both have begun to wait
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    left = workers
    while left and time.monotonic() < until:
        left = {process for process in workers if Path(f"/proc/{process}").exists()}
        time.sleep(0.1)
    for process in left:
        os.kill(process, signal.SIGKILL)
    assert left == set()
