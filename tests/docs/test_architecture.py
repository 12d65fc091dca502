"""The page about the architecture: its drawings are those of the code."""

import re

import pytest

from support.pages import ROOT, blocks

PAGE = "docs/explanation/architecture.md"
TEXT = blocks(PAGE, "text")
LINES = [line.split() for line in TEXT[1].splitlines()]  # the drawing of what may import what
RANK = {name: number for number, line in enumerate(LINES) for name in line}


@pytest.fixture(scope="module")
def arrows() -> dict[str, list[str]]:
    """Return what the page's program prints: a package, and the packages that it imports."""
    [program] = blocks(PAGE, "python")
    found: dict[str, list[str]] = {}

    def keep(package: str, arrow: str, *others: str) -> None:
        assert arrow == "->"
        found[package] = list(others)

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        exec(compile(program, PAGE, "exec"), {"print": keep})
    return found


def test_imports_run_downwards(arrows: dict[str, list[str]]) -> None:
    upwards = [
        f"`{package} -> {other}`"
        for package, others in arrows.items()
        for other in others
        if RANK[other] < RANK[package]
    ]
    [exceptions] = re.findall(r"^Exceptions: (.*)$", (ROOT / PAGE).read_text(), re.M) or [""]
    assert upwards == re.findall(r"`[^`]+`", exceptions)


def test_the_printed_imports_are_those_measured(arrows: dict[str, list[str]]) -> None:
    left_out = {"cli", *LINES[-1], *LINES[-2]}
    measured = [f"{package} -> {' '.join(others)}" for package, others in arrows.items()]
    printed = [line for line in measured if line.split()[0] not in left_out]
    assert TEXT[2].splitlines() == printed


def test_every_module_is_in_both_lists() -> None:
    package = ROOT / "src/probunet"
    modules = {path.stem for path in package.iterdir() if path.suffix == ".py"}
    modules |= {path.name for path in package.iterdir() if any(path.glob("*.py"))}
    modules -= {"__init__", "__pycache__"}
    assert set(RANK) == modules
    rows = re.findall(r"^\| (`.+?`) \| ", (ROOT / PAGE).read_text(), re.M)
    listed = {name.strip("/").removesuffix(".py") for row in rows for name in row.split("`")[1::2]}
    assert modules <= listed


def test_no_verb_asks_of_what_kind_a_store_is() -> None:
    kinds = r"isinstance\(.*\b(Crops|Scenes|Images|Masks|Graded|Flipped)\b"
    for file in (ROOT / "src").rglob("*.py"):
        assert not re.search(kinds, file.read_text()), file


def test_fetch_is_small() -> None:
    files = list((ROOT / "src/probunet/fetch").glob("*.py"))
    assert len(files) == 6
    assert sum(len(file.read_text().splitlines()) for file in files) < 1100
