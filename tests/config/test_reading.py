"""Configuration files: what YAML would read silently in another way, and the names of places."""

import json
from pathlib import Path

import pytest

from probunet.config import check, read_json, read_yaml, where_set
from probunet.errors import ProbunetError
from probunet.study import Config, read_config, read_study, read_whole
from support.studies import PHANTOM, ROOT, snakemake

DATA = "datasets:\n  lidc: {source: phantom}\n"
TWICE = {
    "at the top": (f"{DATA}folds: 2\nbeta: [1]\nfolds: 3\n", "3 and 5", "folds"),
    "of a section": (
        f"{DATA}training:\n  steps: 2\n  batch: 3\n  'steps': 4\n",
        "4 and 6",
        "steps",
    ),
    "of a data set": (
        f"{DATA}overrides:\n  lidc:\n    folds: 2\n    training: {{steps: 1,\n steps: 2}}\n",
        "6 and 7",
        "steps",
    ),
    "of a section in a list": ("seeds:\n- a: 1\n  b: 2\n  a: 3\n", "2 and 4", "a"),
    "of an anchor": ("one: &a\n  b: 1\n  b: 2\ntwo: *a\n", "2 and 3", "b"),
    "of sections": ("overrides:\n  a: 1\n\noverrides:\n  b: 1\n", "1 and 4", "overrides"),
    "in JSON": ('{\n\t"folds": 2,\n\t"folds":3}', "2 and 3", "folds"),
}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nfolds: 010", "line 2: YAML reads 010 as 8; write 8"),
        ("seeds: [-017]", "line 1: YAML reads -017 as -15"),
        ("folds: 0_10", "line 1: YAML reads 0_10 as 8"),
        ("training: {steps: 1:30}", "line 1: YAML reads 1:30 as 90"),
        (
            "title: 12:30:15",
            'line 1: YAML reads 12:30:15 as 45015; write 45015, or "12:30:15" for text',
        ),
        ("a: -1:30.5", "line 1: YAML reads -1:30.5 as -90.5"),
        ("no: {source: folder}", "line 1: YAML reads the key no as true or false, not as text"),
        ("2026: {source: folder}", "line 1: YAML reads the key 2026 as a number"),
        ("2026-11-30: 4", "line 1: YAML reads the key 2026-11-30 as a date"),
        ("~: 4", "line 1: YAML reads the key ~ as nothing"),
        ("folds: [", "line 1: not YAML: "),
        ("path: im\0.png", "not YAML: unacceptable character"),
        ("? [a, b]\n: 3", "line 1: not YAML: "),
        ("\tfolds: 4", r"line 1: not YAML: .*character '\\\\?t'"),
    ],
)
def test_what_yaml_would_read_silently_is_refused_with_its_line(tmp_path, text, message):
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(ProbunetError, match=rf"^{file}: {message}"):
        read_yaml(file)


def test_what_is_meant_is_read(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("a: &a {x: 0, y: '010'}\nb: {<<: *a, x: 1_000}\nc: 'yes'\n\"no\": 0x10\n")
    expected = {"a": {"x": 0, "y": "010"}, "b": {"x": 1000, "y": "010"}, "c": "yes", "no": 16}
    assert read_yaml(file) == expected
    file.write_text(json.dumps(expected, indent="\t"))
    assert read_yaml(file) == expected


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "mine.yaml").write_bytes("folds: é".encode("latin-1"))
    for file, message in [
        (tmp_path / "mine.yaml", "is not text in UTF-8"),
        (tmp_path, "cannot be read"),
        (tmp_path / "absent.yaml", "no such file"),
    ]:
        with pytest.raises(ProbunetError, match=rf"^{file}: {message}"):
            read_yaml(file)


def test_a_section_that_contains_itself_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("training: &a {steps: *a}")
    with pytest.raises(ProbunetError, match=r"^here: has no JSON form: Circular"):
        check(Config, read_yaml(tmp_path / "mine.yaml"), "here")


def test_a_mistake_is_named_with_the_file_or_option_that_makes_it():
    places = [
        ("config.yaml", {"folds": 0, "training": {"steps": 0}, "paths": {}}),
        ("mine.yaml", {"training": {"batch": 0, "crop": None}, "beta": [1, "x"]}),
        ("--config", {"seeds": ["1"], "folds": -1}),
    ]
    merged = {
        "datasets": {"lidc": {"source": "phantom"}},
        "folds": -1,
        "training": {"steps": 0, "batch": 0, "crop": None},
        "beta": [1, "x"],
        "seeds": ["1"],
    }
    with pytest.raises(ProbunetError) as caught:
        check(Config, merged, places)
    lines = sorted(str(caught.value).splitlines())
    starts = [
        "--config: folds: ",
        "--config: seeds.0: ",
        "config.yaml: training.steps: ",
        "mine.yaml: beta.1: ",
        "mine.yaml: training.batch: ",
        "mine.yaml: training.crop: ",
    ]
    assert all(one.startswith(start) for one, start in zip(lines, starts, strict=True))
    assert lines[1].endswith(
        "Snakemake reads what lists and sections hold here as text: write the key in a file, for "
        "--configfile."
    )


def test_a_mistake_of_several_keys_is_named_with_all_places():
    places = [("a.yaml", {"folds": 1}), ("b.yaml", {"datasets": {"lidc": {}}})]
    merged = {"folds": 1, "datasets": {"lidc": {"source": "phantom"}}}
    with pytest.raises(ProbunetError, match=r"^a\.yaml \+ b\.yaml: folds: 1 is a fixed split"):
        check(Config, merged, places)
    assert where_set([("x", {})], ("absent",)) == "x"


@pytest.mark.parametrize("name", TWICE)
def test_keys_that_are_set_twice_are_refused_with_both_lines(tmp_path: Path, name: str) -> None:
    text, lines, key = TWICE[name]
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    message = rf"mine\.yaml: lines {lines} both set the key {key} of the same section"
    with pytest.raises(ProbunetError, match=message):
        read_yaml(file)
    with pytest.raises(ProbunetError, match=message):
        read_config(file)
    with pytest.raises(ProbunetError, match=message):
        read_study(str(file), "lidc")


@pytest.mark.parametrize("text", ['{"training": {"steps": 2, "steps": 2}}', '{"a":\n1,"a":2}'])
def test_inline_settings_set_no_key_twice(text: str) -> None:
    for read in (read_whole, lambda one: read_study(one, "lidc")):
        with pytest.raises(ProbunetError, match=r"--settings: lines 1 and [12] both set the key"):
            read(text)


def test_equal_keys_of_different_sections_and_merged_sections_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "a: &x {b: 1, c: 2}\nd: &y\n  <<: *x\n  b: 3\ne: *y\nf: {<<: [*x, *y], g: *x}\n"
    )
    found = read_yaml(file)
    assert found["d"] == found["e"] == {"b": 3, "c": 2}
    assert found["f"] == {"b": 1, "c": 2, "g": {"b": 1, "c": 2}}


@pytest.mark.parametrize(
    ("written", "number"),
    [("007", 7), ("1_000", 1000), ("0x10", 16), ("'010'", "010"), ("1.0e-3", 1e-3), ("00", 0)],
)
def test_numbers_that_are_meant_stay(tmp_path: Path, written: str, number: object) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"a: {written}\n")
    assert read_yaml(file) == {"a": number}


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a: [1", b"a: !!python/none x", b"a: \x07"])
def test_what_is_not_yaml_is_one_line(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    with pytest.raises(ProbunetError, match=r"mine\.yaml: ") as error:
        read_yaml(file)
    assert "\n" not in str(error.value)


def test_json_with_tabs_and_escapes_is_read() -> None:
    text = '{\t"a": "\\u00e9\\/\\ud83d\\ude00", "b":[1,{"c":null}]}'
    assert read_json(text, "here") == json.loads(text)


def test_snakemake_s_own_files_are_checked_each(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text(json.dumps({"datasets": PHANTOM, "folds": 2, "paths": {"data": "a"}}))
    second.write_text("folds: 3\npaths:\n  data: b\n")
    arguments = ["-n", "--directory", tmp_path, "--configfile", first, second]
    done = snakemake(*arguments)
    assert done.returncode == 0, "one file changes what another one sets" + done.stderr
    second.write_text("folds: 3\npaths:\n  data: b\n  results: c\n  data: d\n")
    done = snakemake(*arguments)
    assert done.returncode == 1
    assert "second.yaml: lines 3 and 5 both set the key data" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.parametrize("file", ["config.yaml", "workflow/demo.yaml", "slurm/config.yaml"])
def test_files_of_the_project_are_read(file: str) -> None:
    assert read_yaml(ROOT / file)
