"""Arguments, timing and JSON output of the benchmarks."""

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# real CT, which is not part of the project
CROPS = ROOT.parent / "shared/lidc-crops/LIDC-IDRI-slices-200.zip"


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the option `--json`."""
    options = argparse.ArgumentParser(description=description.splitlines()[0])
    options.add_argument("--json", type=Path, help="also write the figures to this file")
    return options


def write(figures: dict[str, Any], path: Path | None) -> None:
    """Print the figures as JSON, and write them to a file if there is a path."""
    text = json.dumps(figures, indent=1)
    print(text)
    if path:
        path.write_text(text + "\n")


def seconds(function: Callable[[], object]) -> float:
    """Return the time of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def usage(command: Sequence[str | Path]) -> dict[str, float]:
    """Run a command; return its time, that of the processor, and its peak of memory.

    With its children, of whose memory the largest process counts.
    """
    start = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command])
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} {command[1]} failed: {status}")
    return {
        "seconds": round(time.perf_counter() - start, 1),
        "processor seconds": round(used.ru_utime + used.ru_stime, 1),
        "megabytes of memory": round(used.ru_maxrss / 1000),
    }


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Return the slope of log cost against log size, by least squares: 1 is linear.

    >>> exponent([1, 2, 4], [3, 12, 48])
    2.0
    """
    x, y = ([math.log(one) for one in values] for values in (sizes, costs))
    return round(statistics.linear_regression(x, y).slope, 2)


def with_crops(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Return the arguments with the option `--crops`; exit if there are no crops of real CT."""
    options.add_argument(
        "--crops", type=Path, default=CROPS, help="LIDC-IDRI-slices, a zip or folder"
    )
    arguments = options.parse_args()
    if not arguments.crops.exists():
        print(f"skipped: {arguments.crops} is not here; name yours with --crops")
        sys.exit(0)
    return arguments


def prepared(crops: Path, folder: Path) -> Path:
    """Return a store of the crops, made in a folder."""
    settings = {"datasets": {"lidc": {"source": "slices", "path": str(crops.resolve())}}}
    manifest, store = folder / "raw/lidc.manifest.json", folder / "lidc.zarr"
    shared = ("--dataset", "lidc", "--settings", json.dumps(settings), "--manifest", manifest)
    for verb, option, path in (
        ("fetch", "--folder", folder / "raw/lidc"),
        ("prepare", "--output", store),
    ):
        command = [shutil.which("probunet") or "probunet", verb, *map(str, (*shared, option, path))]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return store
