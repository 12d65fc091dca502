"""Every kind of file that one command writes and another reads: a good one, and its readers."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from probunet.config import Settings
from probunet.datasets.lidc.manifest import Manifest
from probunet.datasets.lidc.phantom import fetch_phantom
from probunet.datasets.lidc.store import SIZE, open_crops
from probunet.folds import Fold, Folds
from probunet.metrics.bits import pack
from probunet.models import build
from probunet.models.weights import load_plain, load_weights, save_whole
from probunet.report.made import read_made
from probunet.report.runs import read_run
from probunet.report.tables import read_tables
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables
from probunet.store import open_samples, seal, write_samples
from probunet.train.average import Average
from probunet.train.checkpoint import State, load_checkpoint, save_checkpoint
from probunet.train.log import TrainingLog
from support.crops import write_crops
from support.damage import answer, damaged, falsified, special
from support.report.logs import record
from support.samples import sample_attributes
from support.settings import tiny_settings
from support.weights import write_untrained

NAMES = (
    *("folds", "manifest", "image record", "crops", "columns", "columns, sealed"),
    *("samples", "rows", "rows, sealed", "scores.csv", "summary.csv", "comparison.csv"),
    *("weights", "checkpoint", "log", "checkpoint's log", "scores"),
    "a run's scores in the report",
)
RUN = Run("lidc", "probabilistic_unet", 1.0, 0, 0)
IMAGES = 4


@dataclass(frozen=True)
class OurFile:
    """A good file and what reads it.

    `load` and `save` convert between the file and a document whose values can be falsified; they
    are None for files that have no such document.
    """

    path: Path
    read: Callable[[], Any]
    load: Callable[[], Any] | None = None
    save: Callable[[Any], None] | None = None
    written_too: tuple[Path, ...] = ()  # by `save`


def check_file(file: OurFile, seed: int, count: int) -> None:
    """Damage and falsify a file `count` times each; fail unless it is read or refused in a line.

    The file is as before afterwards.
    """
    kept = {path: path.read_bytes() for path in (file.path, *file.written_too)}
    document = file.load() if file.load is not None else None
    try:
        assert answer(file.read, "the good file") is None
        for what, content in damaged(kept[file.path], seed, count):
            file.path.write_bytes(content)
            answer(file.read, what)
        if file.save is not None:
            for path, content in kept.items():
                path.write_bytes(content)
            for what, falsified_document in falsified(document, seed, count):
                try:
                    file.save(falsified_document)
                except Exception:  # a value that the format cannot hold
                    continue
                answer(file.read, what)
        for what in special(file.path):
            answer(file.read, what)
        file.path.unlink()
    finally:
        for path, content in kept.items():
            path.write_bytes(content)


def write_our_files(folder: Path) -> dict[str, OurFile]:
    """Write a small study with a file of each kind into a folder; return the files by name."""
    settings = tiny_settings()
    store, run = _write_store(folder / "lidc.zarr"), folder / "results" / RUN.folder
    run.mkdir(parents=True)
    _write_samples(run / "samples.zarr", store)
    score_run(run / "samples.zarr", store, run / "scores.parquet", (1, 2))
    tables = [folder / f"{name}.csv" for name in ("scores", "summary", "comparison")]
    write_tables([run / "scores.parquet"], *tables, 20)
    others = [folder / f"other-{table.name}" for table in tables]
    log = run / "training.jsonl"
    log.write_text('{"step": 1, "loss": 2.0, "kl": 0.5}\n{"step": 2, "validation_ged": 0.25}\n')
    Folds(
        dataset="lidc", seed=0, folds=(Fold(train=("a",), validation=("b",), test=("c", "d")),)
    ).write(folder / "folds.json")
    fetch_phantom(folder / "raw", folder / "manifest.json", 1, seed=0)
    (folder / "containers").mkdir()
    image = folder / "containers/data.json"
    image.write_text(record("data").model_dump_json())
    weights = write_untrained(run / "weights.pt", RUN, store, settings)
    files = {
        "folds": OurFile(folder / "folds.json", lambda: Folds.read(folder / "folds.json")),
        "manifest": OurFile(
            folder / "manifest.json", lambda: Manifest.read(folder / "manifest.json")
        ),
        "image record": OurFile(image, lambda: read_made([], {}, folder, folder, image.parent)),
        "crops": OurFile(store / "zarr.json", lambda: open_crops(store)),
        "columns": OurFile(store / "lesion/zarr.json", lambda: open_crops(store)),
        "samples": OurFile(
            run / "samples.zarr/zarr.json", lambda: open_samples(run / "samples.zarr")
        ),
        "rows": OurFile(
            run / "samples.zarr/rows/zarr.json", lambda: open_samples(run / "samples.zarr")
        ),
    }
    files = {
        name: OurFile(one.path, one.read, _json(one.path), _as_json(one.path))
        for name, one in files.items()
    }
    sealed = {"columns": store, "rows": run / "samples.zarr"}
    for name, whole in sealed.items():  # falsified before the store was sealed
        files[f"{name}, sealed"] = OurFile(
            files[name].path,
            files[name].read,
            files[name].load,
            _sealed_after(files[name], whole),
            (whole / "zarr.json",),
        )
    for name, table in zip(("scores", "summary", "comparison"), tables, strict=True):
        files[f"{name}.csv"] = OurFile(
            table,
            lambda: read_tables(*tables),
            lambda table=table: pd.read_csv(table).to_dict("list"),  # type: ignore[misc]
            lambda document, table=table: pd.DataFrame(document).to_csv(table, index=False),  # type: ignore[misc]
        )
    return files | {
        "weights": OurFile(
            weights,
            lambda: load_weights(weights),
            lambda: load_plain(weights),
            lambda document: _save_anything(weights, document),
        ),
        "checkpoint": _checkpoint(folder / "latest.pt", settings),
        "log": OurFile(log, lambda: read_run(run)),
        "checkpoint's log": OurFile(log, lambda: _resume_log(log, folder / "events")),
        "scores": OurFile(
            run / "scores.parquet",
            lambda: write_tables([run / "scores.parquet"], *others, 20),
            lambda: pd.read_parquet(run / "scores.parquet").to_dict("list"),
            lambda document: pd.DataFrame(document).to_parquet(run / "scores.parquet"),
        ),
        "a run's scores in the report": OurFile(run / "scores.parquet", lambda: read_run(run)),
    }


def _write_store(path: Path) -> Path:
    random = np.random.default_rng(0)
    image = random.integers(-1000, 400, (IMAGES, SIZE, SIZE)).astype(np.int16)
    masks = random.integers(0, 16, image.shape).astype(np.uint8)
    return write_crops(path, image, masks, ["a", "b", "c", "d"])


def _write_samples(path: Path, store: Path) -> None:
    random = np.random.default_rng(1)
    about = sample_attributes(RUN, size=(8, 8), samples=2, store=open_crops(store).digest)
    arrays = {
        "rows": np.array([2, 3]),
        "samples": pack(random.random((2, 2, 8, 8)) < 0.5),
        "deterministic": pack(random.random((2, 8, 8)) < 0.5),
        "prior_mean": np.zeros((2, 3), np.float32),
        "prior_log_sigma": np.zeros((2, 3), np.float32),
    }
    write_samples(path, about, arrays)


def _checkpoint(path: Path, settings: Settings) -> OurFile:
    def fresh() -> tuple[Average, torch.optim.Adam]:
        model = build(RUN.model, settings.architecture_of(RUN.model))
        return Average(model, 0), torch.optim.Adam(model.parameters())

    average, optimiser = fresh()
    for weight in average.trained.parameters():
        weight.grad = torch.zeros_like(weight)
    optimiser.step()
    save_checkpoint(path, average, optimiser, State(step=3, recent=[(1.0, 0.5, 0.5)]), "digest")
    return OurFile(
        path,
        lambda: load_checkpoint(path, *fresh(), "digest"),
        lambda: load_plain(path),
        lambda document: _save_anything(path, document),
    )


def _save_anything(path: Path, document: Any) -> None:
    if isinstance(document, dict):
        save_whole(path, document)
    else:
        torch.save(document, path)


def _resume_log(log: Path, events: Path) -> None:
    with TrainingLog(log, events, step=2, steps=4):
        pass


def _json(path: Path) -> Callable[[], Any]:
    return lambda: json.loads(path.read_text(encoding="utf-8"))


def _as_json(path: Path) -> Callable[[Any], None]:
    def save(document: Any) -> None:
        path.write_text(json.dumps(document), encoding="utf-8")

    return save


def _sealed_after(file: OurFile, whole: Path) -> Callable[[Any], None]:
    assert file.save is not None
    save = file.save

    def sealed(document: Any) -> None:
        save(document)
        seal(whole)

    return sealed
