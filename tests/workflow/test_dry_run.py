"""Dry runs: every configuration plans the jobs that it should, from the driver's side alone."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

from probunet.config import ModelName

ROOT = Path(__file__).parents[2]
PHANTOM = {"lidc": {"source": "phantom", "patients": 12}}
STREETS = {"cityscapes": {"source": "phantom"}}
MODELS = list(get_args(ModelName))


def snakemake(*arguments: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "snakemake", "--snakefile", ROOT / "Snakefile", *arguments]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def planned(output: str) -> dict[str, int]:
    table = output[output.index("Job stats:") :]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.M)}


def dry_run(folder: Path, config: object, *arguments: str | Path) -> dict[str, int]:
    (folder / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(
        "-n",
        "--cores",
        "2",
        "--directory",
        folder,
        "--configfile",
        folder / "mine.yaml",
        *arguments,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    return planned(done.stdout + done.stderr)


@pytest.mark.parametrize(
    ("config", "trainings"),
    [
        ({"datasets": PHANTOM}, 8),
        ({"datasets": PHANTOM, "folds": 2, "beta": [1]}, 2),
        ({"datasets": PHANTOM, "folds": 3, "beta": [0, 0.1, 1e-3], "seeds": [0, 5]}, 18),
        ({"datasets": {"lidc": {"source": "local", "path": "absent"}}}, 8),
        ({"datasets": PHANTOM, "evaluation": {"weights": "last"}}, 8),
        ({"datasets": PHANTOM, "paths": {"data": "../shared"}}, 8),
        # beta counts for the models with a KL alone
        ({"datasets": PHANTOM, "models": ["unet", "image2image_vae"]}, 4 * (1 + 2)),
        ({"datasets": PHANTOM, "folds": 2, "models": MODELS}, 2 * (5 + 3 * 2)),
    ],
)
def test_a_configuration_plans_its_runs(
    tmp_path: Path, config: dict[str, object], trainings: int
) -> None:
    jobs = dry_run(tmp_path, config)
    once = dict.fromkeys(
        ["fetch_lidc", "prepare_lidc", "prepare_folds", "score_table", "report", "all"], 1
    )
    each = dict.fromkeys(["train", "sample", "score_run"], trainings)
    if "train_member" in jobs:  # 16 members for each of two ensembles
        each |= {"train": trainings - 2, "train_member": 2 * 16}
    assert jobs == once | each | {"total": sum(once.values()) + sum(each.values())}
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.yaml", ".snakemake"}


@pytest.mark.parametrize(
    ("config", "jobs"),
    [
        # the published split is one fold
        ({"datasets": STREETS}, {"fetch_cityscapes": 1, "prepare_folds": 1, "train": 2}),
        ({"datasets": {"cityscapes": {"source": "local", "path": "absent"}}}, {"train": 2}),
        (
            {"datasets": {"cityscapes": {"source": "phantom", "split": "cities"}}, "folds": 3},
            {"prepare_folds": 1, "train": 6},
        ),
        ({"datasets": PHANTOM | STREETS}, {"prepare_folds": 2, "train": 8 + 2, "sample": 10}),
        # what is different for one data set
        (
            {
                "datasets": PHANTOM | STREETS,
                "overrides": {
                    "lidc": {"beta": [5]},
                    "cityscapes": {
                        "models": ["unet_ensemble", "m_heads"],
                        "unet_ensemble": {"members": 3},
                        "seeds": [1, 2],
                    },
                },
            },
            {"train": 4 + 2, "train_member": 6, "sample": 4 + 4, "score_run": 8},
        ),
    ],
)
def test_cityscapes_plans_its_runs(
    tmp_path: Path, config: dict[str, object], jobs: dict[str, int]
) -> None:
    found = dry_run(tmp_path, config)
    assert {rule: found[rule] for rule in jobs} == jobs


def test_demo_and_profile(tmp_path: Path) -> None:
    done = snakemake(
        "-n", "--profile", ROOT / "slurm", "--cores", "64", "--directory", tmp_path,
        "--configfile", ROOT / "config.yaml", ROOT / "workflow/demo.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    jobs = planned(done.stdout + done.stderr)
    assert jobs["train"] == 4 + 5
    assert jobs["train_member"] == 3
    assert re.search(r"resources: .*gpu=1", done.stdout + done.stderr)


def test_a_training_is_given_its_own_model_s_section_alone(tmp_path: Path) -> None:
    config = {"datasets": PHANTOM, "folds": 2, "models": MODELS, "m_heads": {"heads": 5}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(
        "-np", "--cores", "2", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml"
    )
    for verb in ("train", "sample"):
        commands = re.findall(rf"probunet {verb} --.*", done.stdout + done.stderr)
        assert len(commands) == 2 * (5 + 3 * 2 + (15 if verb == "train" else 0))
        for command in commands:
            model = re.search(r"results/lidc/(\w+)/", command)
            assert model is not None
            given = {name for name in MODELS if f'"{name}"' in command}
            nothing = {"unet", "probabilistic_unet"}
            # a member is a U-Net as any other, however many there are
            nothing |= {"unet_ensemble"} if verb == "train" else set()
            assert given == {model[1]} - nothing
            assert ('"heads": 5' in command) == (model[1] == "m_heads")


def test_only_training_asks_for_a_gpu(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"datasets": PHANTOM}))
    done = snakemake(
        "-n", "--cores", "2", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml"
    )
    jobs = re.split(r"\n(?=\w*rule )", done.stdout + done.stderr)
    asking = {job.split()[1].rstrip(":") for job in jobs if "gpu=1" in job}
    assert asking == {"train"}


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"datasets": PHANTOM, "fold": 3}, "mine.yaml: fold: unknown key"),
        ({"datasets": PHANTOM, "beta": [-1]}, "mine.yaml: beta.0: "),
        ({"datasets": PHANTOM, "folds": 40}, "mine.yaml: folds: 40 is more than the 12"),
        ({"datasets": PHANTOM, "models": []}, "mine.yaml: models: is empty"),
        ({}, "mine.yaml: datasets: Field required"),
    ],
)
def test_a_mistake_in_the_configuration_stops_at_once(
    tmp_path: Path, config: object, message: str
) -> None:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(config))
    done = snakemake(
        "-n", "--cores", "2", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml"
    )
    assert done.returncode == 1
    assert message in done.stderr + done.stdout


NEEDED = ["log:", "benchmark:", "threads:", "mem_mb=", "runtime=", "conda:", "container:"]


@pytest.mark.parametrize("verb", ["fetch", "prepare", "train", "sample", "score", "report"])
def test_rules_say_what_they_are_and_need_and_hold_no_logic(verb: str) -> None:
    text = (ROOT / f"workflow/rules/{verb}.smk").read_text()
    rules = re.split(r"\n(?=use rule |rule )", text)
    assert text.startswith("rule ")
    for rule in rules:
        name, docstring = rule.splitlines()[:2]
        assert docstring.strip().startswith('"""'), name
        assert "lambda" not in rule, name
        if name.startswith("use rule "):  # the rest is the other rule's
            continue
        assert [part for part in NEEDED if part not in rule] == [], name
        assert rule.count("probunet ") == 1, f"{name} is one command"
        assert f"probunet {verb} " in rule, f"{name} is the verb's command"
