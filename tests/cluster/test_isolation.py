"""Containers see the working folder, and nothing else that is the user's.

The undisturbed study ran with packages on PYTHONPATH and in ~/.local that fail on import: had they
reached a step, it would have failed. Here is what happens without the profile's options.
"""

import subprocess
import tempfile
from pathlib import Path

import pytest
import yaml

from .study import ROOT, Study

pytestmark = pytest.mark.cluster

ARGUMENTS = yaml.safe_load((ROOT / "slurm/config.yaml").read_text())["apptainer-args"].split()


def inside(
    study: Study, image: Path, *words: str, arguments: list[str] = ARGUMENTS
) -> "subprocess.CompletedProcess[str]":
    """Run a program in a container as Snakemake does."""
    command = ["apptainer", "exec", "--home", str(study.folder), *arguments, str(image), *words]
    return subprocess.run(
        command, cwd=study.folder, env=study.env, capture_output=True, text=True, timeout=120
    )


@pytest.fixture
def torch(images: Path) -> Path:
    return images / "torch.sif"


def test_pythonpath_does_not_leak_in(undisturbed: Study, torch: Path) -> None:
    program = ("python", "-c", "import torch")
    assert inside(undisturbed, torch, *program).returncode == 0
    leaking = [word for word in ARGUMENTS if word != "--cleanenv"]
    assert "poisoned torch" in inside(undisturbed, torch, *program, arguments=leaking).stderr


def test_packages_of_the_home_folder_do_not_leak_in(
    undisturbed: Study, torch: Path, poison: Path
) -> None:
    seen = ["--home", str(poison / "home"), "--cleanenv"]
    done = inside(undisturbed, torch, "python", "-c", "import torch", arguments=seen)
    assert done.returncode == 0, done.stderr
    # even a Python of the image's that is no virtual environment leaves them alone, unlike others
    system = ("/usr/bin/python3", "-c", "import torch")
    assert "No module named 'torch'" in inside(undisturbed, torch, *system, arguments=seen).stderr
    other = ("env", "--unset=PYTHONNOUSERSITE", *system)
    assert "poisoned torch" in inside(undisturbed, torch, *other, arguments=seen).stderr


def test_image_cannot_be_written(undisturbed: Study, torch: Path) -> None:
    done = inside(undisturbed, torch, "touch", "/usr/local/probunet/written")
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr


def test_home_is_the_working_folder_and_the_user_s_own_is_not_there(
    undisturbed: Study, torch: Path
) -> None:
    with tempfile.NamedTemporaryFile(dir=Path("~root").expanduser()) as secret:
        done = inside(undisturbed, torch, "sh", "-c", f"ls {secret.name}; echo $HOME; ls -d .")
    assert done.stdout.split() == [str(undisturbed.folder), "."]
    assert "No such file" in done.stderr
