"""What a function does in processes that may have little memory, each a little more."""

import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

SAME, LACKS, OTHER = 0, 7, 9  # exit codes
# reads the files' paths and the number of MiB from its arguments; `decode` returns an array
_SCRIPT = """
import sys
from pathlib import Path
from support.little_memory import outcomes
{code}
for path in sys.argv[2:]:
    print(path, *outcomes(decode, Path(path), int(sys.argv[1])))
"""


def outcomes_of(code: str, files: list[Path], mebibytes: int) -> dict[Path, Counter[int]]:
    """Return, for each file, how often `decode(path)` of this code ended in each way."""
    command = [sys.executable, "-c", _SCRIPT.format(code=code), str(mebibytes), *map(str, files)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    return {Path(path): Counter(map(int, codes)) for path, *codes in lines}


def outcomes(decode, path: Path, mebibytes: int) -> list[int]:  # type: ignore[no-untyped-def]
    """Return the exit codes of `decode(path)` with 0 to so many MiB more than are used now.

    A negative code is the number of the signal that killed the process.
    """
    right = decode(path).tobytes()  # also imports all modules
    found = []
    for more in range(mebibytes):
        child = os.fork()
        if not child:
            os._exit(_outcome(decode, path, right, more))
        found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    return found


def _outcome(decode, path: Path, right: bytes, more: int) -> int:  # type: ignore[no-untyped-def]
    os.close(2)  # libraries print what they lack
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    limit = used + more * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        return SAME if decode(path).tobytes() == right else OTHER
    except MemoryError:
        return LACKS
    except BaseException:
        return OTHER
