"""Every command in the README and docs/ is run, planned, or parsed, with the reason below."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from probunet.cli import app
from support.pages import NAMES, ROOT, commands, fences, prose

ALL = sorted({command for name in NAMES for command in commands(name)})
# `make` and `snakemake` print their plan; other commands that are run are run in full
PLANNED = 'snakemake() { command snakemake "$@" --dry-run; }\nmake() { command make -n "$@"; }\n'
RUN = ("mkdir ", "probunet fetch --dataset lidc --settings config.yaml --plan")
# the beginnings of commands that are parsed only
PARSED = {
    "probunet fetch --dataset lidc --settings config.yaml --folder": "downloads; tests/datasets",
    "probunet fetch --dataset lidc --verify": "needs a tree; run in tests/test_cli.py",
    "probunet fetch --dataset lidc --folder": "needs a tree; tests/datasets",
    "probunet fetch --dataset cityscapes --settings": "needs an account; tests/datasets",
    "probunet fetch --dataset cityscapes --folder": "needs a tree; tests/datasets",
    "probunet fetch --dataset knees": "needs a folder; run in tests/workflow/test_own_data.py",
    "probunet prepare": "needs the manifest of fetch; run in tests/workflow",
    "probunet folds": "needs a store; run in tests/workflow",
    "probunet train": "needs a store; run in tests/workflow",
    "probunet sample": "needs weights; run in tests/workflow",
    "probunet score": "needs samples; run in tests/workflow",
    "probunet report": "needs a study; run in tests/workflow",
    "probunet predict": "needs weights; run in tests/docs/test_predict.py",
    "export CITYSCAPES_USERNAME": "an account",
    "read -rs CITYSCAPES_PASSWORD": "an account",
    "source .venv/bin/activate": "the tests' own environment is active",
    "git clone": "needs network",
    "sbatch ": "needs a cluster",
    "export APPTAINER_CACHEDIR": "folders of a cluster",
    "snakemake --software-deployment-method conda": "needs conda and network",
    "pip install": "needs network",
    "pytest ": "run in tests/docs/test_add_a_model.py and test_add_a_score.py",
    "python benchmarks/pack_crops.py": "needs crops; run in tests/test_accelerator.py",
    "python benchmarks/accelerator.py": "needs crops; run in tests/test_accelerator.py",
    "snakemake --report": "needs a study; run in tests/workflow/test_report.py",
}
STUDIES = {  # files that pages mention
    "first.yaml": "datasets: {lidc: {source: phantom}}\n",
    "second.yaml": "datasets: {lidc: {source: phantom}}\npaths: {data: ../first/data}\n",
    "knees.yaml": "datasets: {knees: {source: folder, path: knees}}\nfolds: 2\n",
    "knees/images.csv": "image,subject,mask_a\n",
}
PARTS = [
    "Snakefile",
    "Makefile",
    "config.yaml",
    "pyproject.toml",
    "requirements.lock",
    "package.json",
    "package-lock.json",
]
FOLDERS = ["workflow", "profiles", "slurm", "envs", "containers", "src"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the parts of the project that commands need, with the pages' studies."""
    folder = tmp_path_factory.mktemp("project")
    for name in PARTS:
        shutil.copy2(ROOT / name, folder / name)
    for name in FOLDERS:
        without = shutil.ignore_patterns("__pycache__", "*.sif", "cache", "*.json")
        ignore = None if name == "workflow" else without
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name, text in STUDIES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    return folder


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", PLANNED + text],
        cwd=folder,
        env=os.environ | {"PATH": path, "PROBUNET": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def planned(command: str) -> bool:
    return command.startswith(("snakemake ", "make ")) and not command.startswith(tuple(PARSED))


def parse(words: list[str]) -> None:
    """Parse a call of `probunet` with its parser; raise an error if it refuses the call."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        context = command.context_class(command, info_name=words[0], parent=context)
        command = command.commands[words[1]]
        words = words[1:]
    command.make_context(words[0], list(words[1:]), parent=context)


def test_every_command_is_run_planned_or_parsed() -> None:
    known = (*RUN, *PARSED)
    assert [one for one in ALL if not planned(one) and not one.startswith(known)] == []


@pytest.mark.parametrize("beginning", [*RUN, *PARSED])
def test_a_beginning_has_one_way_of_checking(beginning: str) -> None:
    assert not planned(beginning)
    assert not (beginning.startswith(RUN) and beginning in PARSED)


@pytest.mark.parametrize("command", [one for one in ALL if planned(one) or one.startswith(RUN)])
def test_a_command_runs_or_prints_its_plan(command: str, project: Path) -> None:
    done = shell(command, project)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", [one for one in ALL if one.startswith("probunet ")])
def test_a_call_of_probunet_is_accepted(command: str) -> None:
    parse(shlex.split(command))


@pytest.mark.parametrize(
    "call",
    [
        "probunet fetch --dataset lidc --fodler f",
        "probunet fetch --folder f",
        "probunet train --store s",
        "probunet folds --output o",
    ],
)
def test_a_wrong_call_is_detected(call: str) -> None:
    with pytest.raises(Exception, match=r"No such option|Missing parameter"):
        parse(shlex.split(call))


@pytest.mark.parametrize("name", NAMES)
def test_commands_within_sentences_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    verbs = set(typer.main.get_command(app).commands)
    for code in re.findall(r"`([^`\n]+)`", prose(name)):
        words = code.split()
        if words[0] == "make" and len(words) > 1:
            assert words[1] in targets or "=" in words[1], code
        if words[0] == "probunet" and len(words) > 1 and not words[1].startswith(("<", ".", "-")):
            assert words[1] in verbs, code


def test_every_block_names_its_language() -> None:
    unnamed = [
        text for name in NAMES for language, text in fences(name) if language in ("", "console")
    ]
    assert unnamed == []
