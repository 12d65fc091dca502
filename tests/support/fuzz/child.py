"""Read one file, or mutated files, in this process: `python child.py NAME FOLDER [SECONDS SEED]`.

Each line that it prints is a JSON object: the number of a file before it is read, and what went
wrong, if anything. With `SECONDS` the process may take `MOST` bytes more than its valid files do.
"""

import json
import resource
import sys
import time
import traceback
import warnings
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[2]))

from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from probunet.fetch.bucket import ChangedError
from probunet.memory import SPARE
from support.fuzz.mutations import mutate
from support.fuzz.readers import READERS, Reader

MOST = 500 * 10**6  # bytes


def main(name: str, folder: Path, seconds: float = 0, seed: str = "") -> None:
    warnings.simplefilter("ignore")
    reader = READERS[name]
    seeds = reader.seeds(folder)
    for number, content in enumerate(seeds):
        (folder / "valid").write_bytes(content)
        if fault := fault_of(reader, folder / "valid"):
            tell(valid=number, fault=fault)
    if not seconds:
        before = _peak()
        tell(fault=fault_of(reader, folder / "input", expected=True), peak=_peak() - before)
        return
    # a failing read is a lack of memory, not damage, if less than SPARE bytes are left
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MOST + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    end, number = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        random = Random(f"{seed} {name} {number}")
        content = reader.pack(mutate(random, random.choice(seeds), random.choice(seeds)))
        (folder / "input").write_bytes(content)
        tell(number=number)
        if fault := fault_of(reader, folder / "input"):
            tell(number=number, fault=fault)
        number += 1


def fault_of(reader: Reader, path: Path, expected: bool = False) -> str | None:
    """Return the traceback of an error that is none of the project's own, or any message."""
    try:
        reader.read(path)
    except (ProbunetError, BadFileError, ChangedError) as error:
        return f"{type(error).__name__}: {error}" if expected else None
    except BaseException:
        return traceback.format_exc(limit=-6)
    return None


def _peak() -> int:
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def tell(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float((sys.argv[3:] or [0])[0]), "".join(sys.argv[4:]))
