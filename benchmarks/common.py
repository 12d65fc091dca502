"""Arguments, timing and JSON output of the benchmarks."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


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
