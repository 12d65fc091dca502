"""What the runs' folders hold. The report names what is missing, and goes on without it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from probunet.config import drawn_elsewhere
from probunet.errors import ProbunetError
from probunet.files import read_file
from probunet.metrics.calibration import Reliability
from probunet.metrics.reported import PRESENCE_BINS
from probunet.run import Run, WrongPlaceError
from probunet.scores import BINS, of_classes, read_scores
from probunet.store import Samples, open_samples

CURVES = ("loss", "kl", "validation_ged")
_MOST = 2**53  # of a step, and of a loss that is drawn


@dataclass(frozen=True)
class RunFolder:
    """A run, and those of its files that could be read."""

    run: Run
    # by curve, over steps, without those that were not logged; an ensemble's are its members'
    training: list[dict[str, pd.Series]]
    samples: Samples | None
    scores: pd.DataFrame | None  # of the model at its greatest n, per image
    missing: tuple[str, ...]  # what could not be read and why
    # of each log, the step at which an unfinished training stopped; None: it is finished
    stopped: tuple[int | None, ...] = ()
    # of the model at its greatest n, over its images: of pixels, and of whether anything is marked
    pixels: Reliability | None = None
    presence: Reliability | None = None


def read_run(folder: Path) -> RunFolder:
    """Return what a run's folder holds."""
    missing: list[str] = []
    run = Run.parse(folder.resolve().as_posix())
    logs = []
    if not drawn_elsewhere(run.model) or (folder / "training.jsonl").exists():
        logs = [_training(log, folder, missing) for log in _logs(folder)]
    logs = [(curves, step) for curves, step in logs if curves]
    samples = scores = None
    try:
        samples = open_samples(folder / "samples.zarr")
    except ProbunetError as error:
        missing.append(f"no samples: {_without_folder(error, folder)}")
    try:
        scores = read_scores(folder / "scores.parquet")
    except WrongPlaceError:
        raise
    except ProbunetError as error:
        missing.append(f"no scores of single images: {_without_folder(error, folder)}")
    if samples is not None:
        Run.parse(samples.attributes.run).check_place(samples.path)
        if scores is not None and set(scores["row"]) != {*samples.rows.tolist()}:
            scores = None
            missing.append("no scores of single images: they are of other images than the samples")
    bins: list[Reliability | None] = [None, None]
    if scores is not None:
        scores = _shown(scores)
        bins = [_pooled(scores, names) for names in (BINS, PRESENCE_BINS)]
        of_bins = [*BINS, *PRESENCE_BINS, *of_classes(scores, BINS)]
        scores = scores.drop(columns=of_bins, errors="ignore")
        if scores.empty:
            scores = None
            missing.append("no scores of single images: none is the model's")
    return RunFolder(
        run,
        [curves for curves, _ in logs],
        samples,
        scores,
        tuple(missing),
        tuple(step for _, step in logs),
        *bins,
    )


def _shown(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the rows that the report shows, the model's at its greatest n.

    `grader_diversity` is the diversity of the graders of the same image.
    """
    model = scores[scores["predictor"] == "model"]
    greatest: pd.DataFrame = model[model["n"] == model["n"].max()]
    graders = scores[(scores["predictor"] == "graders") & (scores["n"] == scores["n"].max())]
    of_graders = graders.set_index("row").get("diversity", pd.Series(dtype=float))
    return greatest.assign(grader_diversity=greatest["row"].map(of_graders))


def _pooled(scores: pd.DataFrame, names: list[str]) -> Reliability | None:
    """Return the sum of the bins of all images; None if a table of an older version has none."""
    known = scores.dropna(subset=names) if set(names) <= set(scores) else scores.iloc[:0]
    if known.empty:
        return None
    return Reliability(*(np.sum(known[name].tolist(), axis=0) for name in names))


def _logs(folder: Path) -> list[Path]:
    """Return where a run's training was logged: an ensemble's members have folders of their own."""
    members = [path for path in folder.glob("member-*") if path.is_dir()]
    members.sort(key=lambda path: (len(path.name), path.name))  # 2 before 10
    return [member / "training.jsonl" for member in members or [folder]]


def _training(
    path: Path, folder: Path, missing: list[str]
) -> tuple[dict[str, pd.Series], int | None]:
    """Return the curves, and the last step if the log is still in the training's checkpoint."""
    name = path.relative_to(folder).as_posix()
    unfinished = path.with_name("checkpoint") / path.name
    stopped = not path.exists() and unfinished.exists()
    try:
        content = read_file(unfinished if stopped else path, "No such file or directory")
    except ProbunetError as error:
        missing.append(f"no training log: {_without_folder(error, folder)}")
        return {}, None
    values: dict[str, dict[int, float]] = {curve: {} for curve in CURVES}
    last = 0
    for step, line in _records(content.decode(errors="replace").splitlines()):
        last = max(last, step)
        for curve in CURVES:
            value = line.get(curve)
            # a step that was logged before and after a resumption counts once
            if isinstance(value, int | float) and abs(value) < _MOST:
                values[curve][step] = float(value)
    if unread := [curve for curve in CURVES if not values[curve]]:
        missing.append(f"{name} has no values of {', '.join(unread)}")
    if stopped:
        missing.append(f"{name}: the training stopped at step {last} and is not finished")
    curves = {curve: pd.Series(found).sort_index() for curve, found in values.items() if found}
    return curves, last if stopped else None


def _records(lines: list[str]) -> Iterator[tuple[int, dict[str, object]]]:
    for line in lines:
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):  # a line that a killed process did not finish
            continue
        step = record.get("step") if isinstance(record, dict) else None
        if type(step) is int and step in range(_MOST):
            yield step, record


def _without_folder(error: Exception, folder: Path) -> str:
    return str(error).replace(f"{folder}/", "").rstrip(".")
