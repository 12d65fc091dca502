"""Where the images of a training are: chosen by what fits, told, recorded, and without effect."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from probunet import job
from probunet.models.weights import load_plain
from probunet.train import place
from probunet.train.loop import train
from probunet.train.place import choose_place
from support.crops import write_crops
from support.folds import write_folds
from support.listening import linux
from support.settings import tiny_settings

CPU, GPU = torch.device("cpu"), torch.device("cuda")
GIB = 2**30


@pytest.mark.parametrize(
    ("device", "size", "expected"),
    [
        (GPU, 1.0, "device"),
        (GPU, 4.0, "device"),
        (GPU, 4.1, "host"),
        (GPU, 8.0, "host"),
        (GPU, 8.1, "disk"),
        (CPU, 8.0, "device"),
        (CPU, 8.1, "disk"),
    ],
)
def test_auto_takes_the_first_place_whose_half_holds_them(
    monkeypatch, caplog, device, size, expected
):
    free = {"cuda": 8 * GIB, "cpu": 16 * GIB}
    monkeypatch.setattr(place, "free_memory", lambda one: free[one.type])
    caplog.set_level(logging.INFO)
    settings = tiny_settings().training
    assert choose_place(settings, int(size * GIB), device, Path("a.zarr")) == expected
    (line,) = caplog.messages
    assert line.startswith(f"a.zarr: training images: {size:.1f} GiB, on {expected} (training.dat")
    for asked in ("device", "host", "disk"):
        wanted = settings.model_copy(update={"data": asked})
        assert choose_place(wanted, int(size * GIB), device, Path("a.zarr")) == asked


def weights_of(run, store, folds, folder, settings):
    train(run, store, folds, settings, folder / run.folder, folder / "checkpoint", "cpu", 1)
    return load_plain(folder / run.folder / "weights.pt")


def test_no_weight_depends_on_the_place(tmp_path, store, folds, run, monkeypatch):
    found = {}
    for name in ("device", "host", "disk"):
        notes = {}
        monkeypatch.setattr(job, "_NOTES", notes)
        settings = tiny_settings(data=name)
        found[name] = weights_of(run, store, folds, tmp_path / name, settings)
        assert notes["data"] == name
    first = found.pop("device")
    for other in found.values():
        assert all(torch.equal(first["state"][k], other["state"][k]) for k in first["state"])


@linux
@pytest.mark.slow
def test_a_store_of_four_times_the_memory_trains_to_the_same_bits(tmp_path, run):
    """The limit is set on the process, after torch is there: what it may still take."""
    count, spare = 8_000, 200 * 2**20  # crops of 97,200 bytes
    assert count * 180 * 180 * 3 > 3.7 * spare
    random = np.random.default_rng(0)
    y, x = np.mgrid[:180, :180] - 89.5
    image = np.where(np.hypot(x, y) < 20, 50, -800).astype(np.int16)
    images = np.broadcast_to(image, (count, 180, 180)) + random.integers(
        -100, 100, (count, 1, 1)
    ).astype(np.int16)
    masks = np.broadcast_to((np.hypot(x, y) < 20).astype(np.uint8) * 7, images.shape)
    patients = [f"P{i // 100:02}" for i in range(count)]
    store = write_crops(tmp_path / "discs.zarr", images, masks, patients, dataset="discs")
    names = sorted(set(patients))
    folds = write_folds(tmp_path / "folds.json", "discs", " ".join(names[2:]), names[0], names[1])
    code = """
import json, resource, sys
from pathlib import Path
from probunet.run import Run
from probunet.train.loop import train
from support.settings import tiny_settings
store, folds, output, data, spare = sys.argv[1:]
if spare != "0":
    used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (used + int(spare),) * 2)
run = Run("discs", "probabilistic_unet", 1.0, 0, 0)
train(run, Path(store), Path(folds), tiny_settings(data=data), Path(output) / run.folder,
      Path(output) / "checkpoint", "cpu", 1)
"""

    def trained(folder, data, limit):
        command = [sys.executable, "-c", code, str(store), str(folds), str(tmp_path / folder)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.run(
            [*command, data, str(limit)], env=environment, capture_output=True, text=True
        )

    refused = trained("refused", "device", spare)
    assert refused.returncode != 0
    assert "set training.data to host" in refused.stderr.splitlines()[-1]
    for folder, data, limit in (("free", "device", 0), ("little", "auto", spare)):
        done = trained(folder, data, limit)
        assert done.returncode == 0, done.stderr
    states = [
        load_plain(tmp_path / folder / run.folder / "weights.pt")["state"]
        for folder in ("free", "little")
    ]
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
