"""The committed reference pages are those that the code makes now."""

from pathlib import Path
from runpy import run_path

import pytest

from probunet.config import Config

DOCS = Path(__file__).parents[2] / "docs"
PAGES = run_path(str(DOCS / "generate.py"))["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_that_of_the_code(name: str) -> None:
    committed = (DOCS / "reference" / name).read_text()
    assert committed == PAGES[name](), "run `make reference`"


def test_every_key_of_every_section_is_told() -> None:
    schema = Config.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    keys = {key for section in sections for key in section.get("properties", {})}
    first = "\n".join(line.split(" | ")[0] for line in PAGES["config.md"]().splitlines())
    assert [key for key in sorted(keys) if f"`{key}`" not in first] == []


def test_the_paper_s_values_of_cityscapes_are_told() -> None:
    row = "| `architecture.initialisation` | `orthogonal` | `he` |"
    assert row in PAGES["config.md"]().splitlines()


@pytest.mark.parametrize(
    "row",
    [
        "## `probunet fetch lidc`",
        "| `--slices` | `outlined` | idc, tcia: those with outlines, or all of their series. "
        "*One of `outlined`, `all`.* |",
        "| `--time-limit` |  | Minutes;",
        "| `--workers` | `1` | Dask worker processes. *Whole number, at least 1.* |",
        "| `RUNS` | required | The runs' folders. *Path, several.* |",
    ],
)
def test_options_are_told_with_type_and_default(row: str) -> None:
    assert any(line.startswith(row) for line in PAGES["cli.md"]().splitlines())
