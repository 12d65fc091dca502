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
    # by curve, over steps, without those that were not logged; an ensemble's are its members'
    training: list[dict[str, pd.Series]]
    samples: Samples | None
    scores: pd.DataFrame | None  # per image, predictor and n
    missing: tuple[str, ...]  # what could not be read and why
    # of each log, the step at which a training stopped that is to go on; None: it is finished
    stopped: tuple[int | None, ...] = ()


def read_run(folder: Path) -> RunFolder:
    """Return what a run's folder holds."""
    missing: list[str] = []
    logs = [_training(log, folder, missing) for log in _logs(folder)]
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
    run = Run.parse(folder.resolve().as_posix())
    read = [(log, step) for log, step in logs if log]
    stopped = tuple(step for _, step in read)
    return RunFolder(run, [log for log, _ in read], samples, scores, tuple(missing), stopped)


def _logs(folder: Path) -> list[Path]:
    """Return where a run's training was logged: an ensemble's members have folders of their own."""
    members = [path for path in folder.glob("member-*") if path.is_dir()]
    members.sort(key=lambda path: (len(path.name), path.name))  # 2 before 10
    return [member / "training.jsonl" for member in members or [folder]]


def _training(
    path: Path, folder: Path, missing: list[str]
) -> tuple[dict[str, pd.Series], int | None]:
    """Return the curves, and where a training stopped whose log still lies in its checkpoint."""
    name = path.relative_to(folder).as_posix()
    unfinished = path.with_name("checkpoint") / path.name
    stopped = not path.exists() and unfinished.exists()
    try:
        lines = (unfinished if stopped else path).read_text().splitlines()
    except OSError as error:
        missing.append(f"no training log: {name}: {error.strerror}")
        return {}, None
    values: dict[str, dict[int, float]] = {curve: {} for curve in CURVES}
    last = 0
    for step, line in _records(lines):
        last = max(last, step)
        for curve in CURVES:
            value = line.get(curve)
            # a step that was logged twice, before and after a resumption, counts once
            if isinstance(value, int | float) and math.isfinite(value):
                values[curve][step] = float(value)
    unread = [curve for curve in CURVES if not values[curve]]
    if unread:
        missing.append(f"{name} has no values of {', '.join(unread)}")
    if stopped:
        missing.append(f"{name}: the training stopped at step {last} and is not finished")
    curves = {curve: pd.Series(found).sort_index() for curve, found in values.items() if found}
    return curves, last if stopped else None


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
