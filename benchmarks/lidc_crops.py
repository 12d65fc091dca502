"""The figures of a study of real CT, `workflow/lidc-crops.yaml`, which runs in several sittings.

    python benchmarks/lidc_crops.py --minutes 90

stops after 90 minutes, and the same command goes on. When the study is finished, its figures are
printed, and written with `--json`. On another machine or for another time, `--measure 15` prints
the steps that each model makes in 15 minutes, for `training.model_steps`. The trainings can thus
run beside other work: their minutes are those that their steps take on an idle machine.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from snakemake.utils import update_config

from common import ROOT, parser, prepared, with_crops, write
from probunet.config import check, read_yaml
from probunet.datasets import open_data
from probunet.folds import Folds
from probunet.metrics.bits import unpack_graders
from probunet.models.device import Arithmetic
from probunet.models.weights import read_weights
from probunet.run import Run
from probunet.store import open_samples
from probunet.study import Config, Study
from probunet.train.loop import train
from probunet.truth.inputs import central
from single_masks import of_guesses
from time_to_ged import (
    OVERLAY,
    SPLIT,
    TARGETS,
    Line,
    apart,
    reached,
    read_log,
    seconds_per_step,
)

ENSEMBLE = "unet_ensemble"
VALUES = ["ged", "ged_low", "ged_high", "ged_limit", "hm_iou", "ncc", "ncc_softmax", "diversity"]
SPEED = ROOT / "benchmarks/results/lidc_crops_speed.json"
MEASURED = {"steps": 40, "validation_every": 20, "log_every": 10, "checkpoint_every": 40}


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--minutes", type=float, default=90, help="length of this sitting")
    options.add_argument("--cores", type=int, default=2)
    options.add_argument("--directory", type=Path, default=ROOT, help="where the study lies")
    options.add_argument("--overlay", type=Path, action="append", default=[], help="further keys")
    options.add_argument("--measure", type=float, metavar="MINUTES", help="print steps, and end")
    options.add_argument("--speed", type=Path, default=SPEED, help="what --measure has written")
    arguments = with_crops(options)
    overlays = [path.resolve() for path in (OVERLAY, *arguments.overlay)]
    config = configuration(overlays)
    if arguments.measure:
        speeds = measure(arguments.crops, config.of("lidc"), arguments.measure, arguments.cores)
        write(speeds, arguments.json)
        return
    if not sit(arguments, overlays):
        print("stopped; run the same command again to go on")
        return
    speeds = json.loads(arguments.speed.read_text(encoding="utf-8"))
    write(collect(arguments.directory, config, speeds), arguments.json)


def sit(arguments: argparse.Namespace, overlays: Sequence[Path]) -> bool:
    """Run the workflow for some minutes; return whether it is finished.

    It is stopped as by Ctrl+C, so that trainings save a checkpoint.
    """
    source = {"path": str(arguments.crops.resolve()), "folds_file": str(SPLIT)}
    command = [
        *("snakemake", "--snakefile", ROOT / "Snakefile", "--directory", arguments.directory),
        *("--workflow-profile", ROOT / "profiles/default", "--cores", arguments.cores),
        *("--configfile", *overlays),
        *("--config", f"datasets={json.dumps({'lidc': source})}"),
    ]
    # a shell that starts this in the background lets it ignore Ctrl+C, and so would Snakemake
    signal.signal(signal.SIGINT, signal.default_int_handler)
    running = subprocess.Popen([str(word) for word in command], start_new_session=True)
    try:
        code = running.wait(60 * arguments.minutes)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        os.killpg(running.pid, signal.SIGINT)
        running.wait()
        return False
    if code:
        sys.exit(code)
    return True


def configuration(overlays: Sequence[Path]) -> Config:
    """Return the configuration of overlays, the later ones over the earlier ones."""
    keys: dict[str, Any] = {}
    for path in overlays:
        update_config(keys, read_yaml(path))
    return check(Config, keys, str(OVERLAY))


def measure(crops: Path, study: Study, minutes: float, cores: int) -> dict[str, dict[str, float]]:
    """Return each model's steps in some minutes, with validation, and the time of both."""
    every = study.training.validation_every
    short = study.training.model_copy(update=MEASURED | {"model_steps": {}})
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        store = prepared(crops, Path(folder))
        for model in study.models:
            members = study.unet_ensemble.members if model == ENSEMBLE else None
            run = Run("lidc", model, study.beta[0], 0, 0, None if members is None else 0)
            output = Path(folder, run.folder)
            settings = study.model_copy(update={"training": short})
            apart(train, run, store, SPLIT, settings, output, output / "checkpoint", "auto", cores)
            lines = read_log(output / "training.jsonl")
            step, validation = seconds_per_step(lines), seconds_per_validation(lines)
            steps = 60 * minutes / (members or 1) / (step + validation / every)
            found[model] = {
                "steps": max(1, int(steps / every)) * every,
                "seconds_per_step": step,
                "seconds_per_validation": validation,
            }
            print(f"{model}: {found[model]}", file=sys.stderr, flush=True)
    return found


def seconds_per_validation(lines: Sequence[Line]) -> float:
    """Return the time of the first validation."""
    before = next(i for i, line in enumerate(lines) if "validation_ged" in line)
    steps = lines[before + 1]["step"] - lines[before]["step"]
    return max(0.0, lines[before + 1]["seconds"] - steps * seconds_per_step(lines))


def collect(
    directory: Path, config: Config, speeds: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    """Return the figures of a finished study."""
    study, results = config.of("lidc"), directory / config.paths.results
    data = open_data(directory / config.paths.data / "lidc.zarr")
    fold = Folds.read(results / "lidc/folds.json").folds[0]
    size = (study.evaluation.crop,) * 2
    summary = pd.read_csv(results / "summary.csv")
    tables = {name: of.set_index("n") for name, of in summary.groupby("model")}
    found = {}
    for model in study.models:
        run = Run("lidc", model, study.betas_of(model)[0], 0, study.seeds[0])
        members = study.unet_ensemble.members if model == ENSEMBLE else 0
        parts = [f"member-{member}" for member in range(members)] or [""]
        samples = open_samples(results / run.folder / "samples.zarr")
        graders = unpack_graders(central(np.asarray(data.masks[:])[samples.rows], size))
        found[model] = {
            "training": training_of(
                [results / run.folder / part for part in parts],
                speeds[model],
                study.training.validation_every,
            ),
            "scores": scores_of(tables[model]),
            "single best guess": of_guesses(np.asarray(samples.deterministic[:]), graders),
        }
    rows = {part: len(data.rows_of(list(names))) for part, names in fold}
    return {
        "set": {
            "protocol": data.attributes.protocol,
            "crops": len(data),
            "patients": {part: len(names) for part, names in fold},
            "crops of the parts": rows,
            "side of a crop, pixels": study.evaluation.crop,
        },
        "settings": {
            "batch": study.training.batch,
            "channels": study.architecture.channels,
            "initialisation": study.architecture.initialisation,
            "learning_rates": study.training.learning_rates,
            "beta": study.beta[0],
        },
        "machine": {"cores": os.cpu_count(), "torch": torch.__version__},
        "models": found,
        "others": {
            name: scores_of(table) for name, table in tables.items() if name not in study.models
        },
        "paired": paired(pd.read_csv(results / "comparison.csv"), study.models[0]),
    }


def training_of(
    folders: Sequence[Path], speed: Mapping[str, float], validation_every: int
) -> dict[str, Any]:
    """Return the cost of the trainings of a run, and when a single one reached each GED.

    `speed` is one of `measure`; the minutes are those of an idle machine.
    """

    def minutes(steps: float) -> float:
        validation = speed["seconds_per_validation"] / validation_every
        return steps * (speed["seconds_per_step"] + validation) / 60

    logs = [read_log(folder / "training.jsonl") for folder in folders]
    weights = [read_weights(folder / "weights.pt") for folder in folders]
    about: dict[str, Any] = {
        "trainings": len(logs),
        "steps": [int(log[-1]["step"]) for log in logs],
        "minutes": sum(minutes(log[-1]["step"]) for log in logs),
        "seconds_per_step": speed["seconds_per_step"],
        "parameters": sum(part.numel() for one in weights for part in one.state.values()),
        "steps of the best validation": [one.info.step for one in weights],
        "best_validation_ged": [one.info.validation_ged for one in weights],
        "arithmetic": [str(Arithmetic.read(one)) for one in weights[0].info.arithmetic or []],
    }
    if len(logs) == 1:
        found = {target: reached(logs[0], target) for target in TARGETS}
        about["to_ged"] = {
            str(target): at and {"steps": at["steps"], "minutes": minutes(at["steps"])}
            for target, at in found.items()
        }
    return about


def scores_of(table: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Return a predictor's scores by n; None where one is undefined."""
    chosen = table[VALUES].astype(object).where(table[VALUES].notna(), None)
    return {str(n): row for n, row in chosen.to_dict(orient="index").items()}


def paired(comparison: pd.DataFrame, model: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return a model's GED minus each other predictor's on the same patients, by n."""
    forth = comparison[comparison.model == model].rename(columns={"other_model": "other"})
    back = comparison[comparison.other_model == model].rename(columns={"model": "other"})
    values = back[["difference", "high", "low"]]
    back = back.assign(
        **dict(zip(["difference", "low", "high"], (-values).to_numpy().T, strict=True))
    )
    both = pd.concat([forth, back])
    return {
        other: of.set_index(of.n.astype(str))[["difference", "low", "high"]].to_dict(orient="index")
        for other, of in both.groupby("other")
    }


if __name__ == "__main__":
    main()
