"""What fetch, prepare and folds take for up to all 875 patients of LIDC-IDRI, and how it grows.

The scans are synthetic: as many patients, slices of full size and outlines as the real ones have,
875 patients take 12 GB of disk. Exponents say how a cost grows with the number of crops: 1 is
linear.
"""

import json
import tempfile
from pathlib import Path

from common import exponent, parser, usage, write
from probunet.datasets.lidc.store import open_crops

PATIENTS = (55, 110, 219, 438, 875)
WORKERS = 2
# on two cores; memory is that of the largest process, of which there are WORKERS and one more
TARGETS = {"prepare": {"seconds": 600, "megabytes of memory": 4000 // (WORKERS + 1)}}
LINEAR = 1.1  # the exponents above are named


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--patients", type=int, nargs="+", default=PATIENTS)
    arguments = options.parse_args()
    sizes = []
    for patients in arguments.patients:
        with tempfile.TemporaryDirectory(prefix="probunet-") as folder:
            sizes.append(measured(Path(folder), patients))
    crops = [size["crops"] for size in sizes]
    exponents = {
        step: {
            cost: exponent(crops, [size[step][cost] for size in sizes]) for cost in sizes[0][step]
        }
        for step in ("fetch", "prepare", "folds")
    }
    worse = [
        f"{step}: {cost}"
        for step, found in exponents.items()
        for cost, one in found.items()
        if one > LINEAR
    ]
    write(
        {"sizes": sizes, "exponents": exponents, "worse than linear": worse, "targets": TARGETS},
        arguments.json,
    )


def measured(folder: Path, patients: int) -> dict[str, object]:
    """Return what the steps take for so many patients."""
    raw, manifest = folder / "raw", folder / "lidc.manifest.json"
    store, folds = folder / "lidc.zarr", folder / "folds.json"
    source = {"datasets": {"lidc": {"source": "phantom", "patients": patients}}}

    def step(verb: str, *options: str | Path, made: Path) -> dict[str, float]:
        words = ["probunet", verb, "--dataset", "lidc", "--settings", json.dumps(source), *options]
        return usage(words) | size_of(made)

    workers = ("--workers", str(WORKERS))
    return {
        "patients": patients,
        "fetch": step("fetch", "--folder", raw, "--manifest", manifest, *workers, made=raw),
        "prepare": step("prepare", "--manifest", manifest, "--output", store, *workers, made=store),
        "folds": step("folds", "--store", store, "--output", folds, made=folds),
        "crops": len(open_crops(store)),
    }


def size_of(path: Path) -> dict[str, float]:
    """Return megabytes and number of files of a file or folder."""
    files = [file for file in (path, *path.rglob("*")) if file.is_file()]
    megabytes = sum(file.stat().st_size for file in files) / 1e6
    return {"megabytes": round(megabytes, 3), "files": len(files)}


if __name__ == "__main__":
    main()
