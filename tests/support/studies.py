"""Snakemake in a process of its own: dry runs, and whole studies with networks of a few weights."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PHANTOM = {"lidc": {"source": "phantom", "patients": 12}}
STREETS = {"cityscapes": {"source": "phantom"}}
# of 24 pictures, the least that reach all ten cities twice
TINY_STREETS = {"source": "phantom", "images": 24, "phantom_size": [32, 64], "size": [16, 32]}
TINY = {
    "folds": 2,
    "beta": [1],
    "architecture": {"channels": [4, 8], "convolutions": 1, "latent_dim": 2},
    "training": {
        "steps": 4,
        "batch": 2,
        "crop": 32,
        "learning_rates": [1.0e-3],
        "validation_every": 2,
        "validation_images": 4,
        "validation_samples": 2,
        "log_every": 1,
    },
    "evaluation": {"samples": 4, "n": [1, 4], "crop": 64, "bootstrap": 50},
    "report": {"examples": 2},
}


def snakemake(*arguments: str | Path, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    """Run Snakemake to its end."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *arguments]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )


def in_folder(folder: Path, config: object) -> list[str | Path]:
    """Write a configuration, and return the arguments with which Snakemake runs it there."""
    folder.mkdir(exist_ok=True)
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    return ["--cores", "2", "--directory", folder, "--configfile", folder / "mine.yaml"]


def printed(folder: Path, config: object, *arguments: str | Path) -> str:
    """Return what a dry run prints."""
    done = snakemake("-n", *in_folder(folder, config), *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def planned(output: str) -> dict[str, int]:
    """Return the number of jobs by rule that a dry run has printed."""
    table = output[output.index("Job stats:") :]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def dry_run(folder: Path, config: object, *arguments: str | Path) -> dict[str, int]:
    """Return the number of jobs by rule that a configuration plans."""
    return planned(printed(folder, config, *arguments))


def run_study(folder: Path, config: dict[str, object], *arguments: str | Path) -> str:
    """Run a configuration to its end, and return what Snakemake prints."""
    done = snakemake("--set-threads", "train=1", *in_folder(folder, config), *arguments)
    logs = "\n".join(path.read_text() for path in (folder / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stderr + logs
    return done.stdout + done.stderr


def study(folder: Path, datasets: object, **keys: object) -> Path:
    """Run a whole study with small networks in `folder`, and return its results."""
    run_study(folder, TINY | {"datasets": datasets} | keys)
    return folder / "results"
