"""Reports of small studies, each with something missing or something more."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from probunet.datasets.cityscapes.store import open_scenes
from probunet.datasets.folder.store import open_images, open_labelled
from probunet.report.build import build_report
from probunet.report.made import read_made
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables
from support.label_images import write_label_run, write_labelled
from support.own_images import write_store
from support.report.logs import RUNS, all_logs
from support.report.runs import add_model, write_run
from support.report.streets import write_samples, write_scenes
from support.report.study import CONFIG, N, Study, make_study


def several(folder: Path) -> Path:
    """Two betas, a model without latent space, and logs of all jobs."""
    study = make_study(folder)
    runs = study.runs + add_model(study, "unet")
    all_logs(folder / "logs", RUNS, seconds=90.0)
    return _report(study, runs, logs=folder / "logs")


def failed_runs(folder: Path) -> Path:
    """One run left nothing, one has neither samples nor log, one stopped early."""
    study = make_study(folder)
    shutil.rmtree(study.runs[0])
    study.runs[0].mkdir()
    shutil.rmtree(study.runs[3] / "samples.zarr")
    (study.runs[3] / "training.jsonl").unlink()
    log = study.runs[2] / "training.jsonl"
    lines = log.read_text().splitlines()
    log.unlink()
    # a training that is to go on keeps its log beside its checkpoint
    kept = study.runs[2] / "checkpoint" / "training.jsonl"
    kept.parent.mkdir()
    kept.write_text("\n".join(lines[: len(lines) // 2]) + "\n")
    return _report(study, study.runs, scored=study.runs[1:])


def without_latent(folder: Path) -> Path:
    """A single model that has neither a latent space nor a KL divergence."""
    study = make_study(folder)
    return _report(study, add_model(study, "unet"))


def bare(folder: Path) -> Path:
    """Tables alone: no run's folder holds anything, and no store was given."""
    study = make_study(folder)
    write_tables(
        [run / "scores.parquet" for run in study.runs],
        study.scores,
        study.summary,
        study.comparison,
        bootstrap=50,
    )
    for run in study.runs:
        shutil.rmtree(run)
        run.mkdir()
    return _built(study, study.runs, [], {})


def streets(folder: Path) -> Path:
    """Street scenes, of a model with a latent space and of one without."""
    path = folder / "data" / "cityscapes.zarr"
    path.parent.mkdir()
    write_scenes(path, 12, (32, 64))
    scenes = open_scenes(path)
    study = Study(folder / "results", path, [])
    for model, latent in (("probabilistic_unet", True), ("dropout_unet", False)):
        run = Run("cityscapes", model, 1.0, 0, 0)
        study.runs.append(study.folder / run.folder)
        study.runs[-1].mkdir(parents=True)
        write_samples(study.runs[-1], run, scenes, np.arange(12), max(N), latent)
        score_run(study.runs[-1] / "samples.zarr", path, study.runs[-1] / "scores.parquet", N)
    return _report(study, study.runs, config={"datasets": {"cityscapes": {"source": "phantom"}}})


def own(folder: Path) -> Path:
    """Images of one's own, each seen by some of three graders, one of them by one alone."""
    return _of_images(folder, [0b001, 0b110, 0b111, 0b100, 0b010, 0b111, 0b101, 0b011])


def one_grader(folder: Path) -> Path:
    """Images of one's own that a single grader has drawn on."""
    return _of_images(folder, [1] * 8, graders=1)


def eyes(folder: Path) -> Path:
    """Label maps of three classes, each image seen by some of three graders."""
    path = folder / "data" / "eyes.zarr"
    path.parent.mkdir()
    write_labelled(path, [0b001, 0b110, 0b111, 0b100, 0b010, 0b111])
    study = Study(folder / "results", path, [])
    study.runs.append(write_label_run(study.folder, open_labelled(path)))
    return _report(study, study.runs, config={"datasets": {"eyes": {"source": "folder"}}})


REPORTS: dict[str, Callable[[Path], Path]] = {
    make.__name__: make
    for make in (several, failed_runs, without_latent, bare, streets, own, one_grader, eyes)
}


def _of_images(folder: Path, given: list[int], graders: int = 3) -> Path:
    path = folder / "data" / "mine.zarr"
    path.parent.mkdir()
    write_store(path, given, graders=graders)
    study = Study(folder / "results", path, [])
    study.runs.append(write_run(study.folder, open_images(path)))
    return _report(study, study.runs, config={"datasets": {"mine": {"source": "folder"}}})


def _report(
    study: Study,
    runs: list[Path],
    *,
    scored: list[Path] | None = None,
    config: dict[str, object] | None = None,
    logs: Path | None = None,
) -> Path:
    """Write the tables and the report of these runs."""
    files = [run / "scores.parquet" for run in scored or runs]
    write_tables(files, study.scores, study.summary, study.comparison, bootstrap=50)
    return _built(study, runs, [study.store], config or CONFIG, logs)


def _built(
    study: Study,
    runs: list[Path],
    stores: list[Path],
    config: dict[str, object],
    logs: Path | None = None,
) -> Path:
    folder = study.folder.parent
    output = study.folder / "report.html"
    build_report(
        output,
        scores=study.scores,
        summary=study.summary,
        comparison=study.comparison,
        runs=runs,
        stores=stores,
        config=config,
        title="A made-up study",
        examples=8,
        made=read_made(
            runs, config, logs or folder / "logs", folder / "benchmarks", folder / "images"
        ),
    )
    return output
