"""Speed of training from memory and from disk, by the ratio to images that are on the device.

The store has four times the memory that the process may still take (RLIMIT_DATA) after the network
has taken a step; images in memory or on the device are those of a process without this limit.
Before a training from disk, the store is taken out of the page cache.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from argparse import SUPPRESS
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from common import parser, write
from probunet.config import Settings
from probunet.datasets.lidc.store import SIZE, open_crops
from probunet.models import build
from probunet.models.device import choose_device
from probunet.seeding import seed_of
from store import write_crops

PLACES = ("device", "host", "disk")
TARGETS = {"host": 0.8, "disk": 0.6}
MODEL = "probabilistic_unet"


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--crops", type=int, default=16_000)
    options.add_argument("--steps", type=int, default=12)
    options.add_argument("--repeats", type=int, default=3)
    options.add_argument("--batch", type=int, default=8)
    options.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 192])
    options.add_argument("--one", choices=PLACES, help=SUPPRESS)
    options.add_argument("--store", type=Path, help=SUPPRESS)
    arguments = options.parse_args()
    if arguments.one:
        print(json.dumps(train(arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="probunet-") as folder:
        store = write_crops(Path(folder, "lidc.zarr"), arguments.crops)
        runs: dict[str, list[dict[str, Any]]] = {place: [] for place in PLACES}
        for _ in range(arguments.repeats):  # in turn: the machine's speed changes
            for place in PLACES:
                if place == "disk":
                    forget(store)
                runs[place].append(child(place, store))
    steps = {place: median(run["seconds"] for run in runs[place]) for place in PLACES}
    figures = {
        "crops": arguments.crops,
        "megabytes": arguments.crops * SIZE * SIZE * 3 // 10**6,
        "disk_may_take_megabytes": spare(arguments.crops) // 10**6,
        "batch": arguments.batch,
        **{f"{place}_seconds_per_step": round(steps[place], 4) for place in PLACES},
        **{f"{place}_speed": round(steps["device"] / steps[place], 3) for place in TARGETS},
        **{f"{place}_target": target for place, target in TARGETS.items()},
        "same_bits": len({run["loss"] for place in PLACES for run in runs[place]}) == 1,
    }
    write(figures, arguments.json)


def spare(crops: int) -> int:
    """Return a quarter of the store's bytes."""
    return crops * SIZE * SIZE * 3 // 4


def most_data() -> int:
    """Return the most memory that this process had at a time, as RLIMIT_DATA counts it, in bytes.

    What a step has taken and given back is the difference of the largest size and the present one.
    """
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    data, peak, size = (int(kilobytes[name]) for name in ("VmData", "VmPeak", "VmSize"))
    return 1024 * (data + peak - size)


def child(place: str, store: Path) -> dict[str, Any]:
    """Return what a process prints that trains from a place."""
    command = [sys.executable, *sys.argv, "--one", place, "--store", str(store)]
    found: dict[str, Any] = json.loads(subprocess.check_output(command).splitlines()[-1])
    return found


def forget(store: Path) -> None:
    """Take the files of a store out of the page cache."""
    os.sync()
    for file in store.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def train(arguments: Any) -> dict[str, Any]:
    """Return the seconds of a step, and the last loss to the bit."""
    device = choose_device("auto")
    training = Settings().training.model_copy(update={"batch": arguments.batch})
    settings = Settings().model_copy(update={"training": training})
    architecture = settings.architecture_of(MODEL) | {"channels": arguments.channels}
    model = build(MODEL, architecture).to(device).train()
    optimiser = torch.optim.Adam(model.parameters(), 1e-4)

    def step(number: int, image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator().manual_seed(seed_of(0, "latent", number))
        loss = model.loss(image, mask, beta=1.0, generator=generator).total
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        return loss.detach()

    nothing = torch.zeros(arguments.batch, 1, training.crop, training.crop, device=device)
    step(0, nothing, nothing[:, 0].long())
    if arguments.one == "disk":
        limit = most_data() + spare(arguments.crops)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    crops = open_crops(arguments.store)
    batches = crops.batches(np.arange(len(crops)), settings, device, arguments.one)
    step(1, *batches.draw(0, 1)).item()  # waits for the device
    start = time.perf_counter()
    for number in range(2, arguments.steps + 2):
        loss = step(number, *batches.draw(0, number))
    last = loss.item()
    return {"seconds": (time.perf_counter() - start) / arguments.steps, "loss": last.hex()}


if __name__ == "__main__":
    main()
