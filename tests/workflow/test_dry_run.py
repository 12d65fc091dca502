"""Dry runs: the jobs that Snakemake plans, and the commands that it gives them."""

import re
from pathlib import Path
from typing import get_args

import pytest

from probunet.config import ModelName
from support.studies import (
    PHANTOM,
    ROOT,
    STREETS,
    dry_run,
    in_folder,
    planned,
    printed,
    snakemake,
)

MODELS = list(get_args(ModelName))


def test_every_step_of_every_model_and_data_set_is_a_job(tmp_path: Path) -> None:
    """tests/workflow/test_plan.py counts the runs of other configurations."""
    streets = {"models": ["unet_ensemble", "m_heads"], "unet_ensemble": {"members": 3}}
    config = {
        "datasets": PHANTOM | STREETS,
        "folds": 2,
        "models": MODELS,
        "overrides": {"cityscapes": streets | {"seeds": [1, 2]}},
    }
    jobs = dry_run(tmp_path, config)
    runs = 2 * (6 + 5 * 2) + 2 * 2  # six models have no KL term; the published split is one fold
    each = dict.fromkeys(["sample", "score_run"], runs)
    each |= {"train": runs - 2 - 2, "train_member": 2 * 16 + 2 * 3}
    each |= dict.fromkeys(["fetch", "prepare", "folds"], 2)
    each |= dict.fromkeys(["score_table", "report", "all"], 1)
    assert jobs == each | {"total": sum(each.values())}
    assert {path.name for path in tmp_path.iterdir()} <= {"mine.yaml", ".snakemake"}


@pytest.mark.parametrize(
    "config",
    [
        {"datasets": {"lidc": {"source": "local", "path": "absent"}}},
        {"datasets": PHANTOM, "evaluation": {"weights": "last"}, "paths": {"data": "../shared"}},
    ],
)
def test_a_configuration_plans_a_training_for_each_fold_and_beta(
    tmp_path: Path, config: dict[str, object]
) -> None:
    jobs = dry_run(tmp_path, config)
    assert (jobs["train"], jobs["sample"]) == (8, 8)


def test_demo_and_profile(tmp_path: Path) -> None:
    done = snakemake(
        "-n", "--profile", ROOT / "slurm", "--cores", "64", "--directory", tmp_path,
        "--configfile", ROOT / "config.yaml", ROOT / "workflow/demo.yaml",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    jobs = planned(done.stdout + done.stderr)
    assert jobs["train"] == 4 + 5
    assert jobs["train_member"] == 3


def test_a_training_is_given_its_own_model_s_section_alone(tmp_path: Path) -> None:
    config = {"datasets": PHANTOM, "folds": 2, "models": MODELS, "m_heads": {"heads": 5}}
    output = printed(tmp_path, config, "-p")
    for verb in ("train", "sample"):
        commands = re.findall(rf"probunet {verb} --.*", output)
        assert len(commands) == 2 * (6 + 5 * 2 + (15 if verb == "train" else 0))
        for command in commands:
            model = re.search(r"results/lidc/(\w+)/", command)
            assert model is not None
            given = {name for name in MODELS if f'"{name}"' in command}
            nothing = {"unet", "probabilistic_unet"}
            # a member is a U-Net as any other, however many there are
            nothing |= {"unet_ensemble"} if verb == "train" else set()
            assert given == {model[1]} - nothing
            assert ('"heads": 5' in command) == (model[1] == "m_heads")


def test_braces_and_addresses_reach_the_commands_as_they_are(tmp_path: Path) -> None:
    config = {
        "datasets": {"lidc": {"source": "local", "path": "a {x}"}},
        "report": {"title": "$\\beta_{1}$ of {dataset}"},
        "containers": "docker://host/name-{kind}:1.0",
        "evaluation": {"samples": 40, "n": [40]},
    }
    output = printed(tmp_path, config, "-p", "--software-deployment-method", "apptainer")
    assert '"path": "a {x}"' in output
    assert '"title": "$\\\\beta_{1}$ of {dataset}"' in output
    assert '{"evaluation": {"n": [40]}}' in output


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"datasets": PHANTOM, "fold": 3}, "mine.yaml: fold: unknown key"),
        ({"datasets": PHANTOM, "paths": {"data": "{x}"}}, "paths.data: {x} contains a brace"),
        ({"datasets": PHANTOM, "__use_yte__": True}, "mine.yaml: has the key `__use_yte__`"),
        ({"datasets": PHANTOM, "paths": {"data": "<results>"}}, "paths.data: <results> contains a"),
    ],
)
def test_a_mistake_in_the_configuration_stops_at_once(
    tmp_path: Path, config: object, message: str
) -> None:
    done = snakemake("-n", *in_folder(tmp_path, config))
    assert done.returncode == 1
    assert message in done.stderr + done.stdout
    assert "Traceback" not in done.stderr + done.stdout


def test_a_mistake_is_named_with_its_file_or_option(tmp_path: Path) -> None:
    words = in_folder(tmp_path, {"datasets": PHANTOM, "training": {"steps": 0}})
    (tmp_path / "more.yaml").write_text("training: {batch: 1e3}\nreport: {examples: 1:30}\n")
    done = snakemake("-n", *words, tmp_path / "more.yaml", "--config", "folds=x")
    assert f"{tmp_path}/more.yaml: line 2: YAML reads 1:30 as 90" in done.stdout
    (tmp_path / "more.yaml").write_text("training: {batch: 1e3}\n")
    done = snakemake("-n", *words, tmp_path / "more.yaml", "--config", "folds=x")
    assert f"\n{tmp_path}/mine.yaml: training.steps: " in done.stdout
    assert f"\n{tmp_path}/more.yaml: training.batch: " in done.stdout
    assert "\n--config: folds: " in done.stdout


NEEDED = [
    *("log:", "benchmark:", "threads:", "mem_mb=", "runtime="),
    *("conda:", "container:", "message:"),
]
# the command of each rule file; that of folds stands with the store that it divides
COMMANDS = {
    "fetch": ["fetch"],
    "prepare": ["prepare", "folds"],
    "train": ["train"],
    "sample": ["sample"],
    "score": ["score run", "score table"],
    "report": ["report"],
}


@pytest.mark.parametrize("verb", COMMANDS)
def test_rules_say_what_they_are_and_need_and_hold_no_logic(verb: str) -> None:
    text = (ROOT / f"workflow/rules/{verb}.smk").read_text()
    rules = re.split(r"\n(?=use rule |rule )", text)
    assert text.startswith("rule ")
    for rule in rules:
        name, docstring = rule.splitlines()[:2]
        assert docstring.strip().startswith('"""'), name
        assert re.findall(r"\b(lambda|if|for)\b(?=.*:\n)", rule) == [], name
        assert "message:" in rule, name
        if name.startswith("use rule "):  # it takes the rest from the other rule
            continue
        assert [part for part in NEEDED if part not in rule] == [], name
        assert rule.count("probunet ") == 1, f"{name} is one command"
        assert any(f"probunet {command} " in rule for command in COMMANDS[verb]), name
        assert ("gpu=" in rule) == (verb == "train"), "only training asks for a GPU"
    helpers = (ROOT / "workflow/rules/common.smk").read_text()
    assert "def " not in helpers
    assert "lambda" not in helpers


def test_steps_use_no_more_processors_than_their_threads(tmp_path: Path) -> None:
    said = printed(tmp_path, {"datasets": PHANTOM}, "-p", "--set-threads", "score_run=1")
    commands = [line for line in said.splitlines() if "Shell command: probunet " in line]
    for verb, option in {
        "fetch": "--workers 2",
        "prepare": "--workers 2",
        "train": "--threads 2",
        "sample": "--threads 2",
        "score run": "--threads 1",
    }.items():
        found = [line for line in commands if f": probunet {verb} " in line]
        assert found, verb
        assert all(option in line for line in found), verb
