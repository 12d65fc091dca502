"""Values that YAML or the platform reads otherwise than they are meant."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from probunet.config import Settings, check
from probunet.config.base import expand_path
from probunet.errors import ProbunetError
from probunet.study import Config, read_config, read_study

CONFIG = "datasets: {lidc: {source: phantom}}\n"


def refused(tmp_path: Path, text: str) -> str:
    file = tmp_path / "mine.yaml"
    file.write_text(text if "datasets" in text else CONFIG + text)
    with pytest.raises(ProbunetError) as caught:
        read_config(file)
    said = str(caught.value)
    assert said.startswith(f"{file}: ")
    return said.removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("text", "key", "write"),
    [
        ("training: {learning_rates: [1e-4]}", "training.learning_rates.0", "write 0.0001 with"),
        ("training: {learning_rates: [1e-6]}", "training.learning_rates.0", "write 1.0e-06 with"),
        ("training: {weight_decay: 1e-5}", "training.weight_decay", "write 1.0e-05 without"),
        ("training: {steps: 1e5}", "training.steps", "write 100000 without quotes"),
        ("training: {steps: '100'}", "training.steps", "write 100 without quotes"),
        ("beta: [1, 1e1]", "beta.1", "write 10 without quotes"),
        ("seeds: ['3']", "seeds.0", "write 3 without quotes"),
        ("folds: yes", "folds", "YAML reads yes, no, on, off"),
        ("report: {title: 1.10}", "report.title", "write it in quotes"),
        ("report: {title: off}", "report.title", "write it in quotes"),
        ("folds:", "folds", "YAML reads an empty value, ~ and null as nothing"),
        ("training:\nfolds: 4", "training", "YAML reads an empty value, ~ and null as nothing"),
        ("paths: {data: ~}", "paths.data", "YAML reads an empty value, ~ and null as nothing"),
        ("device: on", "device", "YAML reads yes, no, on, off"),
        ("training: {compile: 'true'}", "training.compile", "write true without quotes"),
        ("training: {learning_rates: 1e-4}", "training.learning_rates", "a list: [0.0001]"),
        ("models: unet", "models", "Write a list: [unet]"),
        ("beta: 1, 10", "beta", "Write a list: [1, 10]"),
        ("paths: {data: 2026}", "paths.data", "write it in quotes"),
        ("paths: {results: }", "paths.results", "write a value, or remove the key"),
    ],
)
def test_an_error_says_what_yaml_made_of_a_value(tmp_path, text, key, write):
    said = refused(tmp_path, text)
    assert said.startswith(f"{key}: ")
    assert write in said
    assert ("(found: " in said) != ("as nothing" in said)


@pytest.mark.parametrize(
    "text",
    ["beta: [inf]", "beta: [nan]", "beta: [1e400]", "seeds: [1e-3]", "folds: '2.5'", "folds: ''"],
)
def test_nothing_is_advised_that_would_be_refused(tmp_path, text):
    assert refused(tmp_path, text).endswith("').")


def test_a_value_in_json_is_not_explained_by_yaml():
    with pytest.raises(ProbunetError, match=r"--settings: training\.steps: .*found: '9'\)\.$"):
        read_study('{"training": {"steps": "9"}}', "lidc")


def test_what_is_advised_is_accepted(tmp_path):
    file = tmp_path / "mine.yaml"
    rates = "{learning_rates: [0.0001, 1.0e-06], steps: 100000, weight_decay: 1.0e-05}"
    file.write_text(f"{CONFIG}training: {rates}\n")
    assert read_config(file).training.learning_rates == (1e-4, 1e-6)


def test_text_that_is_no_number_is_shown_as_it_is():
    with pytest.raises(ProbunetError, match=r"found: 'many'\)\.$"):
        check(Settings, {"training": {"steps": "many"}}, "here")


PATHS = {
    "paths": {"data": "$SCRATCH/data", "results": "${SCRATCH}/results"},
    "containers": "~/images",
    "container_build": {
        "cache": "~/cache",
        "bind": ["$SCRATCH/tls"],
        "arguments": {"base": "$SCRATCH/rootfs", "accelerator": "cpu"},
    },
    "datasets": {
        "lidc": {"source": "local", "path": "~/lidc", "folds_file": "$SCRATCH/folds.json"},
        "knees": {"source": "folder", "path": "$SCRATCH/knees", "table": "$TABLE.csv"},
    },
}


def test_variables_and_home_in_paths_are_read_as_a_shell_does(monkeypatch):
    monkeypatch.setattr(os, "environ", {"SCRATCH": "/scratch/me", "HOME": "/home/me"})
    os.environ["TABLE"] = "b"
    config = check(Config, PATHS, "here")
    assert (config.paths.data, config.paths.results) == ("/scratch/me/data", "/scratch/me/results")
    assert config.container_of("data") == "/home/me/images/data.sif"
    assert config.container_build.cache == "/home/me/cache"
    assert config.container_build.bind == ("/scratch/me/tls",)
    assert config.container_build.arguments == {"base": "/scratch/me/rootfs", "accelerator": "cpu"}
    lidc, knees = config.datasets.sections["lidc"], config.datasets.sections["knees"]
    assert (lidc.path, lidc.folds_file) == ("/home/me/lidc", "/scratch/me/folds.json")
    assert (knees.path, knees.table) == ("/scratch/me/knees", "b.csv")
    # what a step is told, and what the report keeps, needs no variable any more
    monkeypatch.setattr(os, "environ", {})
    assert check(Config, config.whole(), "there") == config


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("$NOWHERE/data", r"names the variable NOWHERE, which is not set in the environment; set"),
        ("${NOWHERE}/data", "names the variable NOWHERE, which is not set"),
        ("~no-such-user-here/data", "names a home folder that is not known"),
        ("im\0.png", r"contains the character NUL, which no path should have"),
        ("C:\new", r"contains the character '\\n', which no path should have"),
        ("im\ta.png", r"contains the character '\\t', which no path should have"),
        (r"C:\data", "is a path of Windows, and this program runs on Linux and macOS"),
        ("D:/data", "is a path of Windows"),
        (r"\\server\share", "is a path of Windows"),
        ("$EMPTY/data", "names the variable EMPTY, which is not set"),
        ("${NOWHERE:-/tmp}/data", r"only ~, \$NAME and \$\{NAME\} can be replaced"),
        ("$(pwd)/data", r"only ~, \$NAME and \$\{NAME\} can be replaced"),
        ("`pwd`/data", r"only ~, \$NAME and \$\{NAME\} can be replaced"),
        ("im\x1b.png", r"contains the character '\\x1b'"),
        (" data", "is empty, or begins or ends with a space"),
        ("data ", "is empty, or begins or ends with a space"),
    ],
)
def test_a_path_that_cannot_be_read_as_meant(monkeypatch, path, message):
    monkeypatch.delenv("NOWHERE", raising=False)
    monkeypatch.setenv("EMPTY", "")
    sections = [
        {"paths": {"data": path}},
        {"paths": {"results": path}},
        {"datasets": {"lidc": {"source": "local", "path": path}}},
        {"datasets": {"lidc": {"source": "phantom", "folds_file": path}}},
        {"datasets": {"knees": {"source": "folder", "path": path}}},
        {"containers": path},
        {"container_build": {"bind": [path]}},
        {"container_build": {"cache": path}},
        {"datasets": {"knees": {"source": "folder", "path": "a", "table": path}}},
    ]
    for section in sections:
        with pytest.raises(ProbunetError, match=message) as caught:
            check(Config, {"datasets": {"lidc": {"source": "phantom"}}} | section, "mine.yaml")
        [line] = str(caught.value).splitlines()
        assert line.startswith("mine.yaml: ")


@pytest.mark.parametrize("key", ["data", "results"])
def test_an_empty_path_is_refused(key):
    """The folder would be the root of the file system."""
    with pytest.raises(ProbunetError, match=rf"paths\.{key}: '' is empty"):
        check(Config, {"datasets": {"lidc": {"source": "phantom"}}, "paths": {key: ""}}, "here")


@pytest.mark.parametrize("path", ["price$5", "a$", "$", "a~b", "./~", "data", "im{kind}"])
def test_other_characters_of_a_path_stay(path):
    assert expand_path(path) == path


def _numbers(model: type[BaseModel], keys: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys of all numbers that are no integers, at every depth."""
    for name, field in model.model_fields.items():
        yield from _numbers_of(field.annotation, (*keys, name))


def _numbers_of(kind: Any, keys: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from _numbers(kind, keys)
    elif kind is float:
        yield keys
    else:
        for part in get_args(kind):
            yield from _numbers_of(part, keys)


FLOATS = sorted(set(_numbers(Config)))


def test_numbers_are_found():
    assert ("intensity", "window") in FLOATS
    assert ("augmentation", "elastic") in FLOATS
    assert len(FLOATS) > 15


@pytest.mark.parametrize("keys", FLOATS, ids=".".join)
@pytest.mark.parametrize("text", [".inf", "-.inf", ".nan", "1.0e+999", "9" * 400])
def test_no_number_is_infinite_or_nan(tmp_path, keys, text):
    pair = keys[-1] in ("window", "gamma", "beta", "learning_rates")
    value = f"[0.5, {text}]" if pair else text
    for key in reversed(keys):
        value = f"{{{key}: {value}}}"
    file = tmp_path / "mine.yaml"
    file.write_text(value if keys[0] == "datasets" else f"{CONFIG}{value[1:-1]}")
    with pytest.raises(ProbunetError) as caught:
        read_config(file)
    assert f"{file}: {keys[0]}" in str(caught.value)


def test_window_of_own_images_is_finite(tmp_path):
    file = tmp_path / "mine.yaml"
    for end in (".inf", ".nan"):
        file.write_text(f"datasets: {{mine: {{source: folder, path: a, window: [0, {end}]}}}}")
        with pytest.raises(ProbunetError, match=r"datasets\.mine\.window\.1: .*finite"):
            read_config(file)
