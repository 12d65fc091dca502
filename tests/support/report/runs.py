"""Runs of a study beside those of `make_study`."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from probunet import store
from probunet.datasets.folder.store import Images
from probunet.metrics.bits import pack
from probunet.run import Run
from probunet.score.run import score_run

RUN = Run("mine", "probabilistic_unet", 1.0, 0, 0)


def write_run(results: Path, images: Images) -> Path:
    """Write samples, scores and a latent space of a run that tests all images."""
    random, count = np.random.default_rng(0), len(images)
    folder = results / RUN.folder
    folder.mkdir(parents=True)
    size = images.attributes.size
    graders = len(images.attributes.graders)
    mean = np.zeros((2, graders, 4), np.float32)
    for k, row in enumerate((1, 2)):
        unseen = [g for g in range(graders) if not int(images.given[row]) >> g & 1]
        mean[k, unseen] = np.nan
    latent = store.Latent(
        rows=np.array([1, 2]),
        directions=np.array([[0, 1], [2, 3]]),
        steps=np.array([-1, 0, 1], np.float32),
        grid=pack(random.random((2, 3, 3, *size)) < 0.2),
        posterior_mean=mean,
        posterior_log_sigma=mean,
    )
    store.write_samples(
        folder / "samples.zarr",
        store.SampleAttributes(
            run=RUN.folder,
            classes=2,
            size=size,
            samples=4,
            store=images.digest,
            weights_sha256=("0",),
            weights_step=(1,),
            versions={},
        ),
        {
            "rows": np.arange(count),
            "samples": pack(random.random((count, 4, *size)) < 0.2),
            "deterministic": pack(random.random((count, *size)) < 0.2),
            "prior_mean": np.zeros((count, 4), np.float32),
            "prior_log_sigma": np.zeros((count, 4), np.float32),
        },
        latent,
    )
    score_run(folder / "samples.zarr", images.path, folder / "scores.parquet", (1, 4))
    return folder


def add_model(study: Any, model: str) -> list[Path]:
    """Add runs whose samples are the deterministic masks of the first beta's runs."""
    added = []
    for folder in study.runs:
        original = Run.parse(folder.as_posix())
        if original.beta != 1:
            continue
        run = Run("lidc", model, 1.0, original.fold, original.seed)
        added.append(study.folder / run.folder)
        added[-1].mkdir(parents=True)
        drawn = store.open_samples(folder / "samples.zarr")
        single = np.asarray(drawn.deterministic[:])
        store.write_samples(
            added[-1] / "samples.zarr",
            drawn.attributes.model_copy(update={"run": run.folder}),
            {
                "rows": drawn.rows,
                "samples": np.repeat(single[:, None], drawn.attributes.samples, axis=1),
                "deterministic": single,
            },
        )
        score_run(
            added[-1] / "samples.zarr", study.store, added[-1] / "scores.parquet", (1, 4, 8, 16)
        )
        lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
        kept = [line | {"kl": 0.0} if "kl" in line else line for line in lines]
        (added[-1] / "training.jsonl").write_text("".join(json.dumps(k) + "\n" for k in kept))
    return added
