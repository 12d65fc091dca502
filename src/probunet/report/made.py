"""How a study was made: its steps with the tries in their logs, and the container images used."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import ValidationError

from probunet.config import drawn_elsewhere
from probunet.datasets import find
from probunet.errors import ProbunetError
from probunet.files import read_file
from probunet.image_record import ImageRecord
from probunet.job import Job, read_jobs
from probunet.pictures.numbers import count
from probunet.report.labels import model_name
from probunet.report.tables import Cell, Row, Table
from probunet.run import Run
from probunet.study import Datasets


@dataclass(frozen=True)
class Step:
    """One step of the workflow. Its log has every try, or the last one, or does not exist."""

    verb: str
    name: str  # its log is logs/<verb>/<name>.log
    log: Path
    tries: tuple[Job, ...]
    benchmark: dict[str, str]  # what Snakemake measured of the last successful try

    @property
    def made_by(self) -> Job | None:
        """The last successful try."""
        return next((job for job in reversed(self.tries) if job.succeeded), None)

    @property
    def command(self) -> str:
        """The command of its last try or, without a log, the one that its name stands for."""
        if self.tries:
            return self.tries[-1].command
        if self.verb == "score":
            return "score table" if self.name == "table" else "score run"
        return "folds" if self.name.endswith(".folds") else self.verb


@dataclass(frozen=True)
class Made:
    """How a study was made."""

    steps: tuple[Step, ...]
    images: dict[str, ImageRecord]  # by kind

    @property
    def tries(self) -> list[Job]:
        """All tries of all steps."""
        return [job for step in self.steps for job in step.tries]

    def image_of(self, job: Job) -> ImageRecord | None:
        """Return the record of the container image that a job ran in.

        None without a record, or if the image was built again since, from other code.
        """
        record = None if job.container is None else self.images.get(Path(job.container).stem)
        return record if record is not None and record.commit == job.commit else None

    def image_name(self, job: Job) -> tuple[str, str]:
        """Return the file name and the sha256 of the container image that a job ran in."""
        record = self.image_of(job)
        return Path(job.container or "").name, "no record" if record is None else record.sha256


@dataclass(frozen=True)
class VerbRow:
    """What the jobs of one verb had in common, without what differs from run to run."""

    verb: str
    steps: int
    recorded: int
    commits: list[str]
    schedulers: list[str]
    images: list[tuple[str, str]]  # name and sha256
    arithmetic: list[str]  # precision, device, capability and threads of trainings
    versions: dict[str, str]


@dataclass(frozen=True)
class Cost:
    """What a study cost, over all tries of its steps."""

    table: Table  # a row for each verb
    samples: Table  # what one sample cost, a row for each data set, model and device
    gpus: list[str]  # what was used
    began: str  # when the first try began, UTC
    hours: float  # of all tries, in parallel or not
    gpu_hours: float  # of those that had a GPU
    unknown: int  # steps without a record, and tries that ended without saying how long they took


def read_made(
    runs: Sequence[Path], config: Mapping[str, Any], logs: Path, benchmarks: Path, containers: Path
) -> Made:
    """Return how the study of these runs was made, from logs and records of container images.

    Parameters
    ----------
    runs
        The runs' folders; an ensemble's members are below its own.
    config
        The study's configuration: in how many parts a data set was fetched and prepared.
    logs, benchmarks
        The folders that have a folder for each verb.
    containers
        The folder with the records of the container images.
    """
    steps = []
    for verb, name in _steps(runs, config):
        log = logs / verb / f"{name}.log"
        measured = _read_benchmark(benchmarks / verb / f"{name}.tsv")
        steps.append(Step(verb, name, log, tuple(read_jobs(log)), measured))
    return Made(tuple(steps), _read_images(containers))


def by_verb(made: Made) -> list[VerbRow]:
    """Return a row for each verb that made the runs themselves."""
    rows = []
    for verb in ("train", "sample", "score"):
        steps = [step for step in made.steps if step.verb == verb]
        jobs = [step.made_by for step in steps if step.made_by is not None]
        row = VerbRow(
            verb,
            steps=len(steps),
            recorded=len(jobs),
            commits=sorted({job.commit or "unknown" for job in jobs}),
            schedulers=sorted({"SLURM" if job.slurm else "no SLURM" for job in jobs}),
            images=sorted({made.image_name(job) for job in jobs if job.container}),
            arithmetic=sorted({_arithmetic(job) for job in jobs if job.precision}),
            versions=_versions(jobs),
        )
        rows += [row] if steps else []
    return rows


def _arithmetic(job: Job) -> str:
    """Return what the last digits of a training depend on, in words."""
    on = f"{job.precision} on {job.device} ({job.capability}"
    return on + (")" if job.gpu else f", threads: {job.threads})")


def cost(made: Made) -> Cost | None:
    """Return what the steps before the report cost; None if there is no record of any."""
    if not made.tries:
        return None
    before = [step for step in made.steps if step.verb != "report"]
    rows = []
    for verb in ("fetch", "prepare", "train", "sample", "score"):
        numbers = _numbers([step for step in before if step.verb == verb])
        texts = [f"{one:.3f}" if isinstance(one, float) else str(one) for one in numbers]
        cells = [Cell(text, value=one) for text, one in zip(texts, numbers, strict=True)]
        rows.append(Row(verb, cells, False))
    heads = ["jobs", "tries", "failed or stopped", "hours", "GPU hours", "unknown"]
    *_, hours, gpu_hours, unknown = _numbers(before)
    return Cost(
        Table(heads, rows),
        samples=_samples(made),
        gpus=sorted({job.gpu for job in made.tries if job.gpu}),
        began=min(job.started for job in made.tries),
        hours=hours,
        gpu_hours=gpu_hours,
        unknown=unknown,
    )


def _samples(made: Made) -> Table:
    """Return what one sample of each model cost: the median over its runs."""
    found: dict[tuple[str, ...], list[Job]] = {}
    for step in made.steps:
        job = step.made_by
        if job is not None and job.sample_seconds is not None:
            run = Run.parse(step.name)
            on = job.gpu or f"{job.device}, threads: {job.threads}"
            found.setdefault((run.dataset, run.model, on), []).append(job)
    rows = []
    for (dataset, model, on), jobs in sorted(found.items()):
        numbers = [
            median(getattr(job, name) or 0 for job in jobs)
            for name in ("sample_gmac", "sample_seconds")
        ]
        texts = [f"{one:.3g}" if one < 1000 else count(round(one)) for one in numbers]
        cells = [Cell(text, value=one) for text, one in zip(texts, numbers, strict=True)]
        label = f"{model_name(model)}, {find(dataset).title}"
        rows.append(Row(label, [*cells, Cell(on)], False))
    return Table(["GMAC", "seconds", "on"], rows)


def _numbers(steps: Sequence[Step]) -> tuple[int, int, int, float, float, int]:
    """Return jobs, tries, failed tries, hours, GPU hours and what left no record of its time."""
    tries = [job for step in steps for job in step.tries]
    unknown = sum(not step.tries for step in steps) + sum(job.seconds is None for job in tries)
    hours = sum(job.seconds or 0 for job in tries) / 3600
    gpu_hours = sum(job.seconds or 0 for job in tries if job.gpu) / 3600
    failed = sum(not job.succeeded for job in tries)
    return len(steps), len(tries), failed, hours, gpu_hours, unknown


def _steps(runs: Sequence[Path], config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return verb and name of each step of a study in the order of the workflow."""
    parsed = sorted((Run.parse(folder.resolve().as_posix()), folder) for folder in runs)
    datasets = sorted({run.dataset for run, _ in parsed})
    fetched = {dataset: _parts(_fetched(config, dataset)) for dataset in datasets}
    in_parts = _parts(_jobs(config, "prepare"))
    steps = [("fetch", dataset + end) for dataset in datasets for end in (*fetched[dataset], "")]
    for dataset in datasets:
        steps += [("prepare", dataset + end) for end in (*in_parts, "", ".folds")]
    own = [(run, folder) for run, folder in parsed if not drawn_elsewhere(run.model)]
    for run, folder in own:
        members = sorted(folder.glob("member-*"), key=lambda path: (len(path.name), path.name))
        steps += [("train", f"{run.folder}/{path.name}") for path in members]
        steps += [] if members else [("train", run.folder)]
    steps += [("sample", run.folder) for run, _ in own]
    steps += [("score", run.folder) for run, _ in parsed]
    return [*steps, ("score", "table"), ("report", "report")]


def _fetched(config: Mapping[str, Any], dataset: str) -> int:
    """Return in how many parts a data set was fetched; 1 if its section cannot be read."""
    section = (config.get("datasets") or {}).get(dataset)
    try:
        source = Datasets.model_validate_json(json.dumps({dataset: section})).sections[dataset]
    except (KeyError, ValidationError):
        return 1
    return find(dataset).fetch_parts(source, _jobs(config, "fetch"))


def _jobs(config: Mapping[str, Any], verb: str) -> int:
    return int((config.get(verb) or {}).get("jobs", 1))


def _parts(count: int) -> list[str]:
    """Return how the names of steps end that each make a part; none if one makes all."""
    return [f".{part}-of-{count}" for part in range(count)] if count > 1 else []


def _read_benchmark(path: Path) -> dict[str, str]:
    try:
        names, *rows = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return {}
    values = rows[-1].split("\t") if rows else []
    return dict(zip(names.split("\t"), values, strict=False))


def _read_images(folder: Path) -> dict[str, ImageRecord]:
    records: dict[str, ImageRecord] = {}
    for path in sorted(folder.glob("*.json")):
        with suppress(ProbunetError, ValidationError):
            record = ImageRecord.model_validate_json(read_file(path, "no such record."))
            records[record.kind] = record
    return records


def _versions(jobs: Iterable[Job]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for job in jobs:
        for name, version in job.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}
