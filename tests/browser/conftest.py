"""One browser, the demo's report, and reports of small studies with pieces missing."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from .opened import launched
from .reports import REPORTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = launched(playwright)
        yield running
        running.close()


@pytest.fixture(scope="session")
def demo() -> Path:
    """The report that `make demo` left, here or in the folder $PROBUNET_DEMO."""
    file = Path(os.environ.get("PROBUNET_DEMO", ROOT)) / "results" / "report.html"
    if not file.exists():
        pytest.exit(f"{file} is missing: make test-browser, or set PROBUNET_DEMO.", 2)
    return file


@pytest.fixture(scope="session")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the report of a made-up study by its name, made when it is first asked for."""
    return cache(lambda name: REPORTS[name](tmp_path_factory.mktemp(name)))


@pytest.fixture(params=["demo", *REPORTS])
def report(request: pytest.FixtureRequest, report_of: Callable[[str], Path]) -> Path:
    """Each report in turn: the demo's, and those of made-up studies."""
    if request.param == "demo":
        file: Path = request.getfixturevalue("demo")
        return file
    return report_of(request.param)
