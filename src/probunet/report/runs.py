"""What the runs' folders hold. A missing piece is told, not fatal."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from probunet.errors import ProbunetError
from probunet.run import Run
from probunet.store import Samples, open_samples

CURVES = ("loss", "kl", "validation_ged")


@dataclass(frozen=True)
class RunFolder:
    """A run, and of its files what could be read."""

    run: Run
    training: dict[str, pd.Series]  # by curve, over steps; without those that were not logged
    samples: Samples | None
    scores: pd.DataFrame | None  # per image, predictor and n
    missing: tuple[str, ...]  # what could not be read and why


def read_run(folder: Path) -> RunFolder:
    """Return what a run's folder holds."""
    missing: list[str] = []
    training = _training(folder / "training.jsonl", missing)
    try:
        samples = open_samples(folder / "samples.zarr")
    except ProbunetError as error:
        samples = None
        missing.append(f"no samples: {_without_folder(error, folder)}")
    try:
        scores = pd.read_parquet(folder / "scores.parquet")
    except (OSError, ValueError) as error:
        scores = None
        missing.append(f"no scores of single images: {_without_folder(error, folder)}")
    return RunFolder(
        Run.parse(folder.resolve().as_posix()), training, samples, scores, tuple(missing)
    )


def _training(path: Path, missing: list[str]) -> dict[str, pd.Series]:
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        missing.append(f"no training log: {path.name}: {error.strerror}")
        return {}
    values: dict[str, dict[int, float]] = {name: {} for name in CURVES}
    for step, line in _records(lines):
        for name in CURVES:
            value = line.get(name)
            # a step that was logged twice, before and after a resumption, counts once
            if isinstance(value, int | float) and math.isfinite(value):
                values[name][step] = float(value)
    unread = [name for name in CURVES if not values[name]]
    if unread:
        missing.append(f"{path.name} has no values of {', '.join(unread)}")
    return {name: pd.Series(found).sort_index() for name, found in values.items() if found}


def _records(lines: list[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:  # a line that a killed process left unfinished
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            yield record["step"], record


def _without_folder(error: Exception, folder: Path) -> str:
    return str(error).replace(f"{folder}/", "").rstrip(".")
