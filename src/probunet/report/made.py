"""How a study was made: its steps with the tries that their logs tell of, and the images used."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from probunet.config import DOWNLOADS
from probunet.images import ImageRecord
from probunet.job import Job, read_jobs
from probunet.run import Run


@dataclass(frozen=True)
class Step:
    """One step of the workflow. Its log has every try, or the last one, or is not there."""

    verb: str
    name: str  # its log is logs/<verb>/<name>.log
    log: Path
    tries: tuple[Job, ...]
    benchmark: dict[str, str]  # what Snakemake measured of the last good try

    @property
    def made_by(self) -> Job | None:
        """The last try that ended well."""
        return next((job for job in reversed(self.tries) if job.succeeded), None)


@dataclass(frozen=True)
class Made:
    """How a study was made."""

    steps: tuple[Step, ...]
    images: dict[str, ImageRecord]  # by kind

    def image_of(self, job: Job) -> ImageRecord | None:
        """Return the record of the image that a job ran in.

        None without a record, and where the image was built again since: of other code.
        """
        record = None if job.container is None else self.images.get(Path(job.container).stem)
        return record if record is not None and record.commit == job.commit else None


@dataclass(frozen=True)
class VerbRow:
    """What the jobs of one verb had in common, without what differs from run to run."""

    verb: str
    steps: int
    recorded: int
    commits: list[str]
    schedulers: list[str]
    images: list[tuple[str, str]]  # name and sha256
    versions: dict[str, str]


@dataclass(frozen=True)
class CostRow:
    """What the steps of one verb cost, all tries of them together."""

    verb: str
    steps: int
    tries: int
    failed: int  # of the tries
    hours: float  # of all tries, side by side or not
    gpu_hours: float  # of those that had a GPU
    unknown: int  # steps without a record, and tries that did not live to say how long they took


@dataclass(frozen=True)
class Cost:
    """What a study cost."""

    rows: list[CostRow]
    gpus: list[str]  # what was used
    began: str  # when the first try began, UTC

    @property
    def gpu_hours(self) -> float:
        """Of all steps."""
        return sum(row.gpu_hours for row in self.rows)

    @property
    def hours(self) -> float:
        """Of all steps, one after the other."""
        return sum(row.hours for row in self.rows)

    @property
    def unknown(self) -> int:
        """Steps and tries whose time is not known."""
        return sum(row.unknown for row in self.rows)


def read_made(
    runs: Sequence[Path], config: Mapping[str, Any], logs: Path, benchmarks: Path, containers: Path
) -> Made:
    """Return how the study of these runs was made, as far as logs and image records tell.

    Parameters
    ----------
    runs
        The runs' folders; an ensemble's members lie below its own.
    config
        The study's configuration, which tells in how many parts a data set was fetched and
        prepared.
    logs, benchmarks
        The folders that have a folder for each verb.
    containers
        The folder with the images' records.
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
        if steps:
            rows.append(
                VerbRow(
                    verb,
                    len(steps),
                    len(jobs),
                    commits=sorted({job.commit or "unknown" for job in jobs}),
                    schedulers=sorted({"SLURM" if job.slurm else "no SLURM" for job in jobs}),
                    images=sorted({_image_name(made, job) for job in jobs if job.container}),
                    versions=_versions(jobs),
                )
            )
    return rows


def cost(made: Made) -> Cost | None:
    """Return what the steps before the report cost; None if there is no record of any."""
    rows = []
    for verb in ("fetch", "prepare", "train", "sample", "score"):
        steps = [step for step in made.steps if step.verb == verb]
        tries = [job for step in steps for job in step.tries]
        timed = [job for job in tries if job.seconds is not None]
        rows.append(
            CostRow(
                verb,
                steps=len(steps),
                tries=len(tries),
                failed=sum(not job.succeeded for job in tries),
                hours=sum(job.seconds or 0 for job in timed) / 3600,
                gpu_hours=sum(job.seconds or 0 for job in timed if job.gpu) / 3600,
                unknown=sum(not step.tries for step in steps) + len(tries) - len(timed),
            )
        )
    tries = [job for step in made.steps for job in step.tries]
    if not tries:
        return None
    gpus = sorted({job.gpu for job in tries if job.gpu})
    return Cost(rows, gpus, min(job.started for job in tries))


def _steps(runs: Sequence[Path], config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return verb and name of each step of a study, whether its log is there or not."""
    parsed = {folder: Run.parse(folder.resolve().as_posix()) for folder in runs}
    folders = {folder: run.folder for folder, run in sorted(parsed.items(), key=lambda x: x[1])}
    datasets = sorted({run.dataset for run in parsed.values()})
    trained = [
        f"{name}/{member.name}" if member != folder else name
        for folder, name in folders.items()
        for member in sorted(folder.glob("member-*"), key=_member) or [folder]
    ]
    lidc = (config.get("datasets") or {}).get("lidc") or {}
    fetched_parts = _parts(config, "fetch") if lidc.get("source") in DOWNLOADS else []
    fetched = [
        dataset + end
        for dataset in datasets
        for end in (*(fetched_parts if dataset == "lidc" else []), "")
    ]
    in_parts = _parts(config, "prepare")
    prepared = [dataset + end for dataset in datasets for end in (*in_parts, "", ".folds")]
    return [
        *(("fetch", name) for name in fetched),
        *(("prepare", name) for name in prepared),
        *(("train", name) for name in trained),
        *(("sample", name) for name in folders.values()),
        *(("score", name) for name in folders.values()),
        ("score", "table"),
        ("report", "report"),
    ]


def _parts(config: Mapping[str, Any], verb: str) -> list[str]:
    """Return how the names of a verb's steps end that each make a part; none if one makes all."""
    parts = (config.get(verb) or {}).get("jobs", 1)
    return [f".{part}-of-{parts}" for part in range(parts)] if parts > 1 else []


def _member(folder: Path) -> tuple[int, str]:
    return len(folder.name), folder.name  # 2 before 10


def _read_benchmark(path: Path) -> dict[str, str]:
    try:
        names, *rows = path.read_text().splitlines()
    except (OSError, ValueError):
        return {}
    values = rows[-1].split("\t") if rows else []
    return dict(zip(names.split("\t"), values, strict=False))


def _read_images(folder: Path) -> dict[str, ImageRecord]:
    records = {}
    for path in sorted(folder.glob("*.json")):
        with suppress(OSError, ValidationError):
            record = ImageRecord.model_validate_json(path.read_bytes())
            records[record.kind] = record
    return records


def _image_name(made: Made, job: Job) -> tuple[str, str]:
    record = made.image_of(job)
    return Path(job.container or "").name, "no record" if record is None else record.sha256


def _versions(jobs: Iterable[Job]) -> dict[str, str]:
    found: dict[str, set[str]] = {}
    for job in jobs:
        for name, version in job.versions.items():
            found.setdefault(name, set()).add(version)
    return {name: ", ".join(sorted(versions)) for name, versions in sorted(found.items())}
