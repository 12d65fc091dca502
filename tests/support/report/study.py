"""A small study as the workflow leaves it: store, runs, tables; all of it synthetic."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from probunet import store
from probunet.datasets.lidc.store import SIZE, Columns, CropAttributes, create_crops, open_crops
from probunet.metrics.bits import GRADERS, pack
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables

N = (1, 4, 8, 16)
CROP = 128
PATIENTS, PER_PATIENT, FOLDS = 8, 3, 2
CONFIG = {"datasets": {"lidc": {"source": "phantom"}}, "folds": FOLDS, "beta": [1.0, 10.0]}


@dataclass(frozen=True)
class Study:
    """A small study as the workflow leaves it, its data marked synthetic."""

    folder: Path
    store: Path
    runs: list[Path]

    @property
    def scores(self) -> Path:
        return self.folder / "scores.csv"

    @property
    def summary(self) -> Path:
        return self.folder / "summary.csv"

    @property
    def comparison(self) -> Path:
        return self.folder / "comparison.csv"


def make_study(folder: Path) -> Study:
    random = np.random.default_rng(1)
    path = folder / "data" / "lidc.zarr"
    path.parent.mkdir()
    lesions = random.uniform((70, 70, 5, 5), (110, 110, 26, 26), (PATIENTS * PER_PATIENT, 4))
    write_crops(path, lesions, random)
    runs = []
    for beta, spread in ((1.0, 0.2), (10.0, 0.05)):
        for fold in range(FOLDS):
            run = Run("lidc", "probabilistic_unet", beta, fold, 0)
            runs.append(folder / "results" / run.folder)
            runs[-1].mkdir(parents=True)
            rows = np.flatnonzero(np.arange(len(lesions)) // PER_PATIENT % FOLDS == fold)
            write_samples(runs[-1], run, path, lesions[rows], rows, spread)
            score_run(runs[-1] / "samples.zarr", path, runs[-1] / "scores.parquet", N)
            write_log(runs[-1] / "training.jsonl", beta, random)
    study = Study(folder / "results", path, runs)
    files = [run / "scores.parquet" for run in runs]
    write_tables(files, study.scores, study.summary, study.comparison, bootstrap=200)
    return study


def write_crops(path: Path, lesions: NDArray[np.float64], random: np.random.Generator) -> None:
    n = len(lesions)
    graders = np.stack([ellipses(lesions, 0.15, 0.25, random) for _ in range(GRADERS)])
    graders[0, ~graders.any(axis=(0, 2, 3))] = ellipses(lesions, 0, 0, random)[0]
    annotations = graders.any(axis=(2, 3)).sum(axis=0).astype(np.uint8)
    columns = Columns(
        patient=np.array([f"LIDC-IDRI-{i // PER_PATIENT + 1:04}" for i in range(n)]),
        series=np.array([f"2.25.{i // PER_PATIENT}" for i in range(n)]),
        z=-100 + 2.5 * np.arange(n),
        lesion=np.zeros(n, dtype=np.int32),
        annotations=annotations,
    )
    counts = {str(k): int((annotations == k).sum()) for k in range(1, 5)} | {"more than 4": 0}
    attributes = CropAttributes(
        dataset="lidc",
        source="phantom",
        synthetic=True,
        protocol="kohl2018",
        protocol_version=2,
        spacing=0.5,
        outlines="the outline's own pixels are left out",
        more_than_four="the four of lowest id",
        annotations=counts,
        left_out={"two slices at one z": 2, "truncated file": 1},
        left_out_patients=("LIDC-IDRI-0099",),
        manifest_sha256="ab" * 32,
        licence="CC BY 3.0 <outlines>",
        versions={"probunet": "0.1.0", "numpy": "2.4.6"},
    )
    lesion = gaussian_filter(graders.mean(axis=0), (0, 1, 1))
    lung = -850 + gaussian_filter(random.normal(0, 400, lesion.shape), (0, 1.5, 1.5))
    image = np.rint(lung + 850 * lesion).astype(np.int16)
    masks = sum(graders[g].astype(np.uint8) << g for g in range(GRADERS))
    create_crops(path, columns, attributes)
    store.write_shard(path, 0, image=image, masks=np.asarray(masks, np.uint8))
    store.seal(path)


def write_samples(
    folder: Path,
    run: Run,
    crops: Path,
    lesions: NDArray[np.float64],
    rows: NDArray[np.int64],
    spread: float,
) -> None:
    random = np.random.default_rng([run.fold, int(run.beta)])
    margin = (SIZE - CROP) // 2
    centre = slice(margin, margin + CROP)
    drawn = [ellipses(lesions, spread, spread, random)[:, centre, centre] for _ in range(max(N))]
    attributes = store.SampleAttributes(
        run=run.folder,
        classes=2,
        size=(CROP, CROP),
        samples=max(N),
        store=open_crops(crops).digest,
        weights_sha256=("cd" * 32,),
        weights_step=(1200,),
        versions={"probunet": "0.1.0", "torch": "2.13.0"},
    )
    arrays = {
        "rows": rows,
        "samples": pack(np.stack(drawn, axis=1)),
        "deterministic": pack(ellipses(lesions, 0, 0, random)[:, centre, centre]),
        "prior_mean": np.zeros((len(rows), 6), np.float32),
        "prior_log_sigma": np.zeros((len(rows), 6), np.float32),
    }
    store.write_samples(folder / "samples.zarr", attributes, arrays)


def write_log(path: Path, beta: float, random: np.random.Generator) -> None:
    with path.open("w") as log:
        for step in range(10, 1201, 10):
            reconstruction = 600 * np.exp(-step / 200) + 60 + random.normal(0, 4)
            kl = 20 / beta * (1 - np.exp(-step / 300)) + random.uniform(0, 1)
            record = {
                "step": step,
                "loss": reconstruction + beta * kl,
                "reconstruction": reconstruction,
                "kl": kl,
                "learning_rate": 1e-4,
            }
            log.write(json.dumps(record) + "\n")
            if step % 200 == 0:
                ged = 0.3 + np.exp(-step / 400) + random.normal(0, 0.01)
                log.write(json.dumps({"step": step, "validation_ged": ged}) + "\n")


def ellipses(
    lesions: NDArray[np.float64], spread: float, empty: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """Masks (n, 180, 180) of lesions (row, column, two radii), jittered, a share of them empty."""
    y, x = np.ogrid[:SIZE, :SIZE]
    jitter = random.normal(0, 1, lesions.shape) * spread
    radius = np.maximum(lesions[:, 2:] * np.exp(jitter[:, 2:]), 2).T[:, :, None, None]
    centre = (lesions[:, :2] + 10 * jitter[:, :2]).T[:, :, None, None]
    masks = ((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2 < 1
    kept: NDArray[np.bool_] = masks & (random.random((len(lesions), 1, 1)) >= empty)
    return kept
