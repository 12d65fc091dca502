"""One cluster, one pair of images, one undisturbed study, for all of the cluster's tests."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from . import apptainer
from .slurm import Slurm, missing_packages
from .study import DEMO, LONG, Study

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "probunet-cluster"


@pytest.fixture(scope="session")
def machine() -> dict[str, str]:
    """The environment with which Apptainer runs here; what is missing is an error, not a skip."""
    if os.geteuid() != 0:
        pytest.exit("the cluster's tests start daemons of their own: run them as root.", 2)
    if missing := missing_packages():
        pytest.exit(f"Debian packages missing: {' '.join(missing)}: make test-cluster.", 2)
    return dict(os.environ) | apptainer.environment(CACHE)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Two nodes of eight cores, the first with two GPUs made of plain files."""
    with Slurm(tmp_path_factory.mktemp("slurm"), KillWait=10) as running:
        yield running


@pytest.fixture(scope="session")
def env(machine: dict[str, str], cluster: Slurm, poison: Path) -> dict[str, str]:
    """The user's environment: sees the cluster, and holds what must not reach the containers."""
    path = f"{machine['PATH']}:{cluster.env['PATH']}"
    home = {"HOME": str(poison / "home"), "PYTHONPATH": str(poison / "python")}
    return machine | {"SLURM_CONF": cluster.env["SLURM_CONF"], "PATH": path} | home


@pytest.fixture(scope="session")
def poison(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Packages that the steps import and that fail on import: on PYTHONPATH, and in ~/.local.

    Snakemake itself imports none of them.
    """
    folder = tmp_path_factory.mktemp("poison")
    for place in ("python", "home/.local/lib/python3.11/site-packages"):
        for package in ("zarr", "torch", "scipy", "pydicom"):
            init = folder / place / package / "__init__.py"
            init.parent.mkdir(parents=True)
            init.write_text(f"raise ImportError('poisoned {package}')\n")
    return folder


@pytest.fixture(scope="session")
def site(machine: dict[str, str]) -> Path:
    """What a site adds to config.yaml: here, a base image without a registry."""
    file = CACHE / "site.yaml"
    settings = apptainer.build_settings(apptainer.base_image(CACHE))
    settings["cache"] = str(CACHE / "images")
    file.write_text(yaml.safe_dump({"containers": "build", "container_build": settings}))
    return file


@pytest.fixture(scope="session")
def images(env: dict[str, str], site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of both images, as `make images` leaves them."""
    builder = Study(tmp_path_factory.mktemp("images") / "project", env, *DEMO, site)
    done = builder.run("--cores", "2", "images", seconds=1200)
    logs = [file.read_text() for file in sorted((builder.folder / "logs/image").glob("*.log"))]
    assert done.returncode == 0, done.stdout + "\n".join(logs)
    return builder.folder / "containers"


@pytest.fixture(scope="session")
def undisturbed(
    env: dict[str, str], images: Path, site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Study:
    """A study that ran on the cluster from the first step to the report."""
    study = Study(tmp_path_factory.mktemp("undisturbed") / "project", env, *DEMO, site)
    done = study.slurm()
    assert done.returncode == 0, done.stdout
    return study


@pytest.fixture(scope="session")
def local(machine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The same study on this machine, without SLURM and without containers."""
    study = Study(tmp_path_factory.mktemp("local") / "project", machine, *DEMO)
    done = study.run("--cores", "2")
    assert done.returncode == 0, done.stdout
    return study


@pytest.fixture(scope="session")
def ready(undisturbed: Study, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A configuration with the undisturbed study's data, and the images that are there."""
    file = tmp_path_factory.mktemp("ready") / "ready.yaml"
    data = {"paths": {"data": str(undisturbed.folder / "data")}}
    file.write_text(yaml.safe_dump(data | {"containers": str(images)}))
    return file


@pytest.fixture
def study(env: dict[str, str], ready: Path, cluster: Slurm, tmp_path: Path) -> Iterator[Study]:
    """A new one, with an empty queue before and after."""
    cluster.wait_for(lambda: not cluster.squeue(), what="an empty queue")
    yield Study(tmp_path / "project", env, *LONG, ready)
    cluster.drain()


@pytest.fixture(scope="session")
def expected(env: dict[str, str], ready: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """The study without a failure, its trainings as one job array."""
    study = Study(tmp_path_factory.mktemp("expected") / "project", env, *LONG, ready)
    done = study.slurm("--slurm-array-jobs", "train")
    assert done.returncode == 0, done.stdout
    return study
