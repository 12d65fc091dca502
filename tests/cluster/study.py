"""A copy of the project in a folder of its own, and the commands that a user types there."""

import csv
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from .slurm import Slurm

ROOT = Path(__file__).parents[2]
FOLDERS = ("workflow", "profiles", "slurm", "envs", "containers", "src")
FILES = ("Snakefile", "config.yaml", "pyproject.toml", "README.md", "LICENSE")
# the demonstration's configuration in short, and one of a single data set with longer trainings
DEMO = (ROOT / "workflow/demo.yaml", Path(__file__).with_name("study.yaml"))
LONG = (Path(__file__).with_name("long.yaml"),)
# what a user may set too: status is asked for at once, since jobs last seconds
QUICK = ("--slurm-init-seconds-before-status-checks", "6", "--latency-wait", "10")
# the same number of threads everywhere: sums depend on it in their last digits
THREADS = ("--set-threads", "train=1", "train_member=1", "sample=1")


class Study:
    """A copy of the project, and runs of its workflow.

    Parameters
    ----------
    folder
        Where the copy goes.
    env
        The environment of all commands.
    configs
        Given with `--configfile`, later ones over earlier ones.
    """

    def __init__(self, folder: Path, env: Mapping[str, str], *configs: Path) -> None:
        self.folder = folder
        self.env = dict(env)
        self.configs = configs
        folder.mkdir(parents=True, exist_ok=True)
        built = shutil.ignore_patterns("__pycache__", "*.sif", "data.json", "torch.json", ".*")
        for part in FOLDERS:
            shutil.copytree(ROOT / part, folder / part, ignore=built)
        for file in FILES:
            shutil.copy2(ROOT / file, folder)

    def command(self, *words: object) -> list[str]:
        """Return the words of a call of Snakemake with this study's configuration."""
        snakemake = Path(sys.executable).with_name("snakemake")
        given = ["--configfile", *map(str, self.configs)]
        return [str(snakemake), *map(str, words), *given, *THREADS]

    def slurm(self, *words: object, seconds: float = 900) -> "subprocess.CompletedProcess[str]":
        """Run the workflow on the cluster, as the README says."""
        return self.run(*words, "--profile", "slurm", "--cores", "64", *QUICK, seconds=seconds)

    def run(self, *words: object, seconds: float = 900) -> "subprocess.CompletedProcess[str]":
        """Run Snakemake to its end; stdout and stderr together in `stdout`."""
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=seconds,
        )

    def start(self, *words: object) -> "subprocess.Popen[str]":
        """Start the workflow on the cluster; its output goes to `driver.log`."""
        with (self.folder / "driver.log").open("a") as log:
            return subprocess.Popen(
                self.command(*words, "--profile", "slurm", "--cores", "64", *QUICK),
                cwd=self.folder,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        """All that the drivers of `start` have said."""
        return (self.folder / "driver.log").read_text()

    def table(self, name: str = "scores.csv") -> bytes:
        """Return a table of results, byte for byte."""
        return (self.folder / "results" / name).read_bytes()

    def rows(self, name: str = "scores.csv") -> list[dict[str, str]]:
        """Return a table's rows."""
        return list(csv.DictReader(self.table(name).decode().splitlines()))


def kill(driver: "subprocess.Popen[str]") -> None:
    """Kill a driver and all that it started on this machine, without warning."""
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()


def training_under_way(study: Study, cluster: Slurm) -> str:
    """Wait until a training runs that has saved a checkpoint; return its SLURM job."""

    def running() -> list[str]:
        if not any((study.folder / "results").rglob("checkpoint/*")):
            return []
        rows = [row for row in cluster.squeue() if row["STATE"] == "RUNNING"]
        return [row["JOBID"] for row in rows if row["COMMENT"].startswith("rule_train")]

    return str(cluster.wait_for(running, 300, f"a checkpoint in {study.folder}")[0])
