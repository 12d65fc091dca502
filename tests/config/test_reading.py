"""Configuration files: what YAML would read silently in another way, and the names of places."""

import json

import pytest

from probunet.config import check, read_yaml, where_set
from probunet.errors import ProbunetError
from probunet.study import Config


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nfolds: 010", "line 2: YAML reads 010 as 8; write 8"),
        ("seeds: [007]", "line 1: YAML reads 007 as 7"),
        ("training: {steps: 1:30}", "line 1: YAML reads 1:30 as 90"),
        (
            "title: 12:30:15",
            'line 1: YAML reads 12:30:15 as 45015; write 45015, or "12:30:15" for text',
        ),
        ("a: -1:30.5", "line 1: YAML reads -1:30.5 as -90.5"),
        ("folds: 2\nbeta: [1]\nfolds: 3", "line 3: folds stands twice in one section"),
        ("no: {source: folder}", "line 1: YAML reads the key no as true or false, not as text"),
        ("2026: {source: folder}", "line 1: YAML reads the key 2026 as a number"),
        ("2026-11-30: 4", "line 1: YAML reads the key 2026-11-30 as a date"),
        ("~: 4", "line 1: YAML reads the key ~ as nothing"),
        ("folds: [", "not YAML: "),
        ("path: im\0.png", "not YAML: unacceptable character"),
        ("? [a, b]\n: 3", "not YAML: "),
        ("\tfolds: 4", r"not YAML: .*\n.*character '\\t'"),
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
