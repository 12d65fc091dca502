r"""Minutes, steps and cost until the validation GED of real CT is .42, .38 and .35.

Trains the Probabilistic U-Net of `workflow/lidc-crops.yaml` with the package's own loop on crops of
LIDC-IDRI-slices, and stops at the last GED. Validation is on 200 crops of 25 patients, with 8
samples each. Settings that are compared are trained by turns, so that other load on the machine
affects all:

    python benchmarks/time_to_ged.py --setting as_it_is={} \
        --setting ema='{"training": {"ema": 0.99}}'
"""

import json
import math
import os
import resource
import shutil
import signal
import statistics
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from common import ROOT, parser, prepared, with_crops, write
from energy import Energy
from probunet.config import Settings, check, read_yaml
from probunet.datasets import open_data
from probunet.errors import TimeLimitError
from probunet.folds import Folds
from probunet.models import build
from probunet.models.device import Arithmetic, choose_device
from probunet.run import Run
from probunet.train.loop import train
from probunet.workers import worker_processes

TARGETS = (0.42, 0.38, 0.35)
OVERLAY = ROOT / "workflow/lidc-crops.yaml"
SPLIT = ROOT / "workflow/lidc-crops.folds.json"
OWN = {"validation_every": 50, "log_every": 50, "validation_images": 200, "validation_samples": 8}

Line = dict[str, float]  # of `training.jsonl`


def main() -> None:
    options = parser(__doc__)
    options.add_argument(
        "--setting",
        action="append",
        type=named_setting,
        metavar="NAME=JSON",
        help="keys of config.yaml that differ from workflow/lidc-crops.yaml; repeatable",
    )
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options.add_argument("--steps", type=int, default=2000, help="most steps of a training")
    options.add_argument("--until", type=float, default=TARGETS[-1], help="the last GED")
    options.add_argument("--device", default="auto")
    options.add_argument("--threads", type=int, help="CPU threads")
    arguments = with_crops(options)
    changes = dict(arguments.setting or [("as_it_is", {})])
    settings = {name: settings_of(one, arguments.steps) for name, one in changes.items()}
    targets = [target for target in TARGETS if target >= arguments.until]
    with tempfile.TemporaryDirectory() as folder:
        store = prepared(arguments.crops, Path(folder))
        where = (arguments.device, arguments.threads)
        trials: dict[str, list[dict[str, Any]]] = {name: [] for name in settings}
        for turn, seed in enumerate(arguments.seeds):
            for name in list(settings)[:: 1 if turn % 2 == 0 else -1]:
                trial = apart(
                    trained, store, Path(folder, "run"), settings[name], seed, targets, where
                )
                print(name, f"seed {seed}:", json.dumps(trial["reached"]), flush=True)
                trials[name].append(trial)
        result = {
            "crops": len(open_data(store)),
            "patients": {part: len(names) for part, names in Folds.read(SPLIT).folds[0]},
            "seeds": arguments.seeds,
            "torch": torch.__version__,
            "cores": os.cpu_count(),
            "settings": {
                name: {"changes": changes[name]}
                | summary(settings[name], trials[name], targets)
                | apart(cost_of_a_step, store, settings[name], where)
                for name in settings
            },
        }
    write(result, arguments.json)


def named_setting(text: str) -> tuple[str, dict[str, Any]]:
    """Return name and changes of `NAME=JSON`; raise ValueError if it has another form."""
    name, _, changes = text.partition("=")
    return name, dict(json.loads(changes))


def settings_of(changes: dict[str, Any], steps: int) -> Settings:
    """Return the overlay's settings of the Probabilistic U-Net with changes."""
    overlay = read_yaml(OVERLAY)
    chosen = {key: value for key, value in overlay.items() if key in Settings.model_fields}
    chosen["training"] = {**chosen["training"], **OWN, "steps": steps, "checkpoint_every": steps}
    chosen["training"].pop("model_steps", None)
    for section, values in changes.items():
        chosen[section] = {**chosen.get(section, {}), **values}
    return check(Settings, chosen, "--setting")


def apart(function: Any, *arguments: Any) -> Any:
    """Return what a function returns in a new process, whose memory is its own."""
    with worker_processes(1) as pool:
        return pool.submit(function, *arguments).result()


def trained(
    store: Path,
    folder: Path,
    settings: Settings,
    seed: int,
    targets: Sequence[float],
    where: tuple[str, int | None],
) -> dict[str, Any]:
    """Train until the last target, and return when each was reached, and the cost."""
    shutil.rmtree(folder, ignore_errors=True)
    run = Run("lidc", "probabilistic_unet", 1.0, 0, seed)
    output, checkpoint = folder / run.folder, folder / "checkpoint"
    log = checkpoint / "training.jsonl"
    ended, energy = threading.Event(), Energy(where[0])
    used: dict[float, float | None] = {}  # watt-hours when a target was reached

    def watch() -> None:
        while not ended.wait(1):
            energy.measure()
            lines = read_log(log)
            for target in targets:
                if reached(lines, target):
                    used.setdefault(target, energy.watt_hours)
            if reached(lines, targets[-1]):
                os.kill(os.getpid(), signal.SIGTERM)  # training saves a checkpoint and stops
                return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        train(run, store, SPLIT, settings, output, checkpoint, *where)
    except TimeLimitError:
        lines = read_log(log)
    else:
        lines = read_log(output / "training.jsonl")
    ended.set()
    watcher.join()
    cuda = torch.cuda.is_available()
    return {
        "reached": {
            str(target): found | {"watt_hours": used.get(target)}
            for target in targets
            if (found := reached(lines, target))
        },
        "seconds_per_step": seconds_per_step(lines),
        "best_ged": min(
            (one["validation_ged"] for one in lines if "validation_ged" in one), default=None
        ),
        "steps": int(lines[-1]["step"]),
        "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        "gpu_megabytes": torch.cuda.max_memory_allocated() / 1e6 if cuda else None,
    }


def cost_of_a_step(
    store: Path, settings: Settings, where: tuple[str, int | None]
) -> dict[str, Any]:
    """Return the multiplications and additions of a training step, forward and backward."""
    data, device = open_data(store), choose_device(*where)
    rows = data.rows_of(Folds.read(SPLIT).subjects(0, "train"))
    batches = data.batches(rows, settings, device)
    model = build(
        "probabilistic_unet",
        settings.architecture_of("probabilistic_unet"),
        in_channels=batches.in_channels,
        classes=data.classes,
        seed=0,
    ).to(device)
    image, mask = batches.draw(0, 1)
    with FlopCounterMode(display=False) as counter:
        loss = model.loss(image, mask, beta=1.0, generator=torch.Generator().manual_seed(0))
        loss.total.backward()
    return {
        "gmac_per_step": counter.get_total_flops() / 2e9,
        "images_per_step": len(image),
        "parameters": sum(one.numel() for one in model.parameters()),
        "arithmetic": str(Arithmetic.of(device, settings.training.precision)),
    }


def read_log(path: Path) -> list[Line]:
    """Return the whole lines of a `training.jsonl`; none if there is no file so far."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def reached(lines: Iterable[Line], target: float) -> dict[str, float] | None:
    """Return the steps and minutes of training before the first validation with this GED.

    The minutes include earlier validations. None if no validation has it.
    """
    seconds = 0.0
    for line in lines:
        seconds += line.get("seconds", 0)
        if line.get("validation_ged", math.inf) <= target:
            return {"steps": line["step"], "minutes": seconds / 60}
    return None


def seconds_per_step(lines: Sequence[Line]) -> float | None:
    """Return the median time of a step, without validation; None if nothing was logged."""
    found, step, validated = [], 0.0, False
    for line in lines:
        if "seconds" in line and not validated:
            found.append(line["seconds"] / (line["step"] - step))
        validated, step = "validation_ged" in line, line["step"]
    # the first ones include the preparation of kernels
    return statistics.median(found[1:] or found) if found else None


def summary(
    settings: Settings, trials: Sequence[dict[str, Any]], targets: Sequence[float]
) -> dict[str, Any]:
    """Return median and range over the seeds; None is more than the most steps allow."""
    found: dict[str, Any] = {}
    for target in targets:
        of = [trial["reached"].get(str(target), {}) for trial in trials]
        found[str(target)] = {
            name: over_seeds([one.get(name) for one in of])
            for name in ("minutes", "steps", "watt_hours")
        } | {"reached_by": sum(bool(one) for one in of)}
    alike = ("seconds_per_step", "megabytes", "gpu_megabytes", "best_ged")
    return {
        "most_steps": settings.training.steps,
        "to_ged": found,
        **{name: over_seeds([trial[name] for trial in trials]) for name in alike},
    }


def over_seeds(values: Sequence[float | None]) -> dict[str, float | None] | None:
    """Return median and range; a value that is None is larger than all others.

    >>> over_seeds([3, None, 1])
    {'median': 3, 'low': 1, 'high': None}
    """
    if all(value is None for value in values):
        return None
    known = sorted(math.inf if value is None else value for value in values)
    chosen = {"median": statistics.median(known), "low": known[0], "high": known[-1]}
    return {name: None if math.isinf(value) else value for name, value in chosen.items()}


if __name__ == "__main__":
    main()
