"""Time of `prepare`, compared with reading and decoding the same slices.

All times are measured with running workers and cached files; ratios are of the shortest times.
"""

import resource
import tempfile
from pathlib import Path
from typing import Any

from common import parser, seconds, write
from probunet.datasets.lidc.manifest import Manifest
from probunet.datasets.lidc.phantom import fetch_phantom
from probunet.datasets.lidc.plan import plan_crops
from probunet.files import remove
from probunet.prepare.cluster import local_workers, run_tasks
from probunet.prepare.parts import fill_store

SLICES_PER_PATIENT = 16.7  # 14,627 slices with outlines, 875 patients
BATCH = 60  # slices per task of the baseline, as many as in a shard of 64 crops


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--slices", type=int, default=1000)
    options.add_argument("--raw", type=Path, help="a manifest to use instead of synthetic slices")
    options.add_argument("--repeats", type=int, default=5)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="probunet-") as scratch:
        folder = Path(scratch)
        manifest = arguments.raw or make_phantoms(folder, arguments.slices)
        figures = measure(manifest, folder, arguments.repeats)
    write(figures, arguments.json)


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
    memory: list[float] = []  # peak of the one worker after each repetition, MiB
    for workers, times in prepare.items():
        with local_workers(workers) as pool:

            def make() -> None:
                remove(store)
                fill_store(pool, plan_crops(manifest), store)

            def read() -> None:
                run_tasks(pool, decode_slices, batches, "decode")

            make(), read()  # import modules and fill the cache
            for _ in range(repeats):
                times.append(seconds(make))
                if workers == 1:
                    decode.append(seconds(read))
                    memory += run_tasks(pool, peak_memory, [None], "memory")
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


def decode_slices(paths: list[Path]) -> int:
    import pydicom

    return sum(pydicom.dcmread(path).pixel_array.size for path in paths)


def peak_memory(_: None) -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
