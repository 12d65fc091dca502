"""How long `prepare` takes, against only reading and decoding the same slices.

    python benchmarks/prepare.py --slices 1000 --json out.json

Everything is timed with the workers already up and the files in the system's cache, and repeated;
the ratios are of the shortest times.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from probunet.fetch.phantom import fetch_phantom
from probunet.files import remove
from probunet.manifest import Manifest
from probunet.prepare.cluster import local_client, run_tasks
from probunet.prepare.lidc import plan_crops
from probunet.prepare.parts import fill_store

SLICES_PER_PATIENT = 16.7  # 14,627 slices with outlines, 875 patients
BATCH = 60  # slices per task of the baseline, about what a shard of 64 crops has


def main() -> None:
    """Print the times and ratios as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slices", type=int, default=1000)
    parser.add_argument("--raw", type=Path, help="a manifest, instead of phantoms made for this")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write the figures as well")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="probunet-") as scratch:
        folder = Path(scratch)
        manifest = arguments.raw or make_phantoms(folder, arguments.slices)
        figures = measure(manifest, folder, arguments.repeats)
    text = json.dumps(figures, indent=1)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n")


def make_phantoms(folder: Path, slices: int) -> Path:
    manifest = folder / "manifest.json"
    patients = max(1, round(slices / SLICES_PER_PATIENT))
    fetch_phantom(folder / "raw", manifest, patients, seed=0)
    return manifest


def measure(manifest: Path, folder: Path, repeats: int) -> dict[str, Any]:
    source = Manifest.read(manifest)
    paths = [Path(source.root, file.path) for series in source.series for file in series.slices]
    batches = [paths[i : i + BATCH] for i in range(0, len(paths), BATCH)]
    store = folder / "crops.zarr"
    decode: list[float] = []
    prepare: dict[int, list[float]] = {1: [], 2: []}
    memory: list[float] = []  # MiB, the one worker's peak after each repetition
    for workers, times in prepare.items():
        with local_client(workers) as client:

            def make() -> None:
                remove(store)
                fill_store(client, plan_crops(manifest), store)

            def read() -> None:
                list(run_tasks(client, decode_slices, batches, "decode"))

            make(), read()  # imports, and the files into the cache
            for _ in range(repeats):
                times.append(seconds(make))
                if workers == 1:
                    decode.append(seconds(read))
                    memory.append(max(client.run(peak_memory).values()))
    return {
        "slices": len(paths),
        "decode_s": decode,
        "prepare_s": prepare,
        "ms_per_slice": {
            "decode": 1e3 * min(decode) / len(paths),
            "prepare": 1e3 * min(prepare[1]) / len(paths),
        },
        "prepare_over_decode": min(prepare[1]) / min(decode),
        "one_worker_over_two": min(prepare[1]) / min(prepare[2]),
        "worker_peak_mib": memory,
    }


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def decode_slices(paths: list[Path]) -> int:
    import pydicom

    return sum(pydicom.dcmread(path).pixel_array.size for path in paths)


def peak_memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
