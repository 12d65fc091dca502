"""Fixtures that tests of several folders share."""

import os
import subprocess
from contextlib import nullcontext

import pytest

from probunet.prepare import parts
from probunet.run import Run
from support.crops import write_discs
from support.folds import write_folds
from support.settings import tiny_settings
from support.streets import write_streets


@pytest.fixture(scope="session")
def store(tmp_path_factory):
    """A store of crops with discs."""
    return write_discs(tmp_path_factory.mktemp("store") / "discs.zarr", seed=0)


@pytest.fixture(scope="session")
def folds(tmp_path_factory):
    """One fold of the discs' patients."""
    path = tmp_path_factory.mktemp("folds") / "folds.json"
    return write_folds(path, "discs", train="a b", validation="c", test="d")


@pytest.fixture(scope="session")
def scenes(tmp_path_factory):
    """A store of street scenes."""
    return write_streets(tmp_path_factory.mktemp("scenes") / "streets.zarr")


@pytest.fixture(scope="session")
def city_folds(tmp_path_factory):
    """One fold of the scenes' cities."""
    path = tmp_path_factory.mktemp("folds") / "cities.json"
    return write_folds(path, "streets", train="aachen bochum", validation="ulm", test="munster")


@pytest.fixture
def run():
    return Run("discs", "probabilistic_unet", 1.0, 0, 0)


@pytest.fixture
def settings():
    return tiny_settings()


@pytest.fixture
def draw(tmp_path):
    """Sample a run on the CPU, and return its open samples."""
    from probunet.sample.draw import sample_run
    from probunet.store import open_samples, verify

    def sampled(weights, store, folds, run, settings):
        output = tmp_path / "samples.zarr"
        sample_run(weights, store, folds, run, settings, output, "cpu", threads=1)
        verify(output)
        return open_samples(output)

    return sampled


@pytest.fixture
def in_this_process(monkeypatch):
    """Make stores without Dask, whose tasks are what is tested."""
    monkeypatch.setattr(parts, "run_tasks", lambda workers, f, tasks, label: list(map(f, tasks)))
    monkeypatch.setattr(parts, "local_workers", lambda workers: nullcontext())


@pytest.fixture
def waits(monkeypatch):
    """The waits between attempts of a download, none of which takes time."""
    from probunet.fetch import http

    waited: list[float] = []
    monkeypatch.setattr(http.Client, "_wait", lambda self, seconds: waited.append(seconds))
    return waited


@pytest.fixture
def small_disk(tmp_path):
    """Mount a file system with the given options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("only root can mount the small file system that this needs")
        return folder

    yield mount
    if folder.is_mount():
        subprocess.run(["umount", str(folder)], check=True)
