"""Start and watch the processes that read hostile files."""

import json
import select
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.fuzz import child

SLOWEST = 30  # seconds for a file
# how a library ends the whole process: Arrow, asked for the columns of some damaged files
KNOWN = ["instance of 'parquet::ParquetException'"]


@dataclass(frozen=True)
class Outcome:
    """What came of a file: the message of an error, and the memory that reading it took."""

    message: str
    megabytes: float  # more than for a small valid file


def read_hostile(name: str, folder: Path) -> Outcome:
    """Read `folder/input` with a reader in a process of its own."""
    done = subprocess.run(
        [sys.executable, child.__file__, name, str(folder)],
        capture_output=True,
        text=True,
        timeout=2 * SLOWEST,
        check=True,
    )
    line = json.loads(done.stdout.splitlines()[-1])
    return Outcome(line["fault"] or "", line["peak"] / 1e6)


def fuzz(name: str, folder: Path, seconds: float, seed: str) -> tuple[int, list[str]]:
    """Return how many mutated files a reader has read, and what went wrong."""
    command = [sys.executable, child.__file__, name, str(folder), str(seconds), seed]
    faults: list[str] = []
    last: dict[str, Any] = {}
    log = folder / "stderr.txt"
    with (
        log.open("w") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, bufsize=0) as process,
    ):
        assert process.stdout is not None
        waiting = b""
        while select.select([process.stdout], [], [], SLOWEST)[0]:
            received = process.stdout.read(2**16)
            if not received:
                break
            *lines, waiting = (waiting + received).split(b"\n")
            for line in lines:
                last = json.loads(line)
                if "fault" in last and len(faults) < 10:
                    faults.append(f"{name}, file {last}:\n{last['fault']}")
                    with suppress(FileNotFoundError):  # a valid file, or two faults in one read
                        (folder / "input").rename(folder / f"fault-{len(faults)}")
        else:
            faults.append(f"{name}, file {last}: takes more than {SLOWEST} seconds")
            process.kill()
    if process.returncode and not faults and not any(end in log.read_text() for end in KNOWN):
        faults.append(f"{name}, file {last}: exit status {process.returncode}\n{log.read_text()}")
    return int(last.get("number", -1)) + 1, faults
