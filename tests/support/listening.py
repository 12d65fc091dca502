"""Which network sockets a process and its descendants listen on, from Linux' /proc."""

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

PROC = Path("/proc")
LISTENS = "0A"  # the state of a TCP socket that waits for connections
linux = pytest.mark.skipif(not (PROC / "net/tcp").exists(), reason="needs Linux' /proc")


def processes_of(root: int) -> set[int]:
    """Return a process and all of its descendants."""
    parents: dict[int, int] = {}
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            # after the name of the program, in brackets, which can contain anything
            _, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[int(folder.name)] = int(parent)
    found = {root}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def listening(root: int) -> set[str]:
    """Return program and port of each TCP socket that these processes listen on."""
    ports = {}
    for table in ("tcp", "tcp6"):
        for line in (PROC / "net" / table).read_text().splitlines()[1:]:
            _, local, _, state, *others = line.split()
            if state == LISTENS:
                ports[others[5]] = int(local.rpartition(":")[2], 16)
    found = set()
    for process in processes_of(root):
        with suppress(OSError):
            for handle in (PROC / str(process) / "fd").iterdir():
                with suppress(OSError):
                    inode = re.fullmatch(r"socket:\[(\d+)\]", str(handle.readlink()))
                    if inode and inode[1] in ports:
                        program = (PROC / str(process) / "comm").read_text().strip()
                        found.add(f"{program} (process {process}), port {ports[inode[1]]}")
    return found


@contextmanager
def watched(root: int) -> Iterator[set[str]]:
    """Yield a set that collects, many times a second, what these processes listen on."""
    found: set[str] = set()
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            found.update(listening(root))
            time.sleep(0.1)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()
