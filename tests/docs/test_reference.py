"""The committed reference pages are equal to those that the code generates."""

from pathlib import Path
from runpy import run_path

import pytest

from probunet.study import Config

DOCS = Path(__file__).parents[2] / "docs"
PAGES = run_path(str(DOCS / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_up_to_date(name: str) -> None:
    committed = (DOCS / "reference" / name).read_text()
    assert committed == PAGES[name](), "run `make reference`"


def test_every_key_of_every_section_is_listed() -> None:
    schema = Config.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    keys = {key for section in sections for key in section.get("properties", {})}
    first = "\n".join(line.split(" | ")[0] for line in PAGES["config.md"]().splitlines())
    assert [key for key in sorted(keys) if f"`{key}`" not in first] == []


def test_the_papers_values_for_cityscapes_are_listed() -> None:
    row = "| `architecture.initialisation` | `orthogonal` | `he` |"
    assert row in PAGES["config.md"]().splitlines()


@pytest.mark.parametrize(
    "row",
    [
        "## `probunet fetch`",
        "| `--dataset` | required | The data set's name in the configuration. *Text.* |",
        "| `--time-limit` |  | Minutes;",
        "| `--workers` | `1` | Worker processes. *Whole number, at least 1.* |",
        "| `KIND` | required | The kind of steps: with torch, or without (data). "
        "*One of `data`, `torch`.* |",
        "| `RUNS` | required | The runs' folders. *Path, several.* |",
    ],
)
def test_options_are_listed_with_type_and_default(row: str) -> None:
    assert any(line.startswith(row) for line in PAGES["cli.md"]().splitlines())
