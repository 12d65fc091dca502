"""The watch on a page sees what it is there to see."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser

from .opened import opened

pytestmark = pytest.mark.browser
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"


@pytest.mark.parametrize(
    "asks",
    [
        '<img src="https://example.invalid/a.png">',
        '<img src="beside.png">',
        '<link rel="stylesheet" href="https://example.invalid/a.css">',
        '<script>fetch("https://example.invalid/a.json").catch(() => {})</script>',
        '<script>new WebSocket("wss://example.invalid/")</script>',
        '<script>navigator.sendBeacon("https://example.invalid/")</script>',
        '<style>p {background: url("https://example.invalid/b.png")}</style><p>text</p>',
    ],
)
def test_a_request_is_seen(browser: Browser, tmp_path: Path, asks: str) -> None:
    with opened(browser, written(tmp_path, asks)) as report:
        report.page.wait_for_timeout(50)
        assert len(report.requests) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        "console.error('no')",
        "console.warn('no')",
        "throw new Error('no')",
        "Promise.reject(new Error('no'))",
    ],
)
def test_an_error_is_seen(browser: Browser, tmp_path: Path, wrong: str) -> None:
    with opened(browser, written(tmp_path, f"<script>{wrong}</script>")) as report:
        report.page.wait_for_timeout(50)
        assert len(report.errors) == 1


def test_what_is_within_the_page_is_no_request(browser: Browser, tmp_path: Path) -> None:
    with opened(browser, written(tmp_path, f'<img src="{PIXEL}"><a href="#a">a</a>')) as report:
        report.page.click("a")
        report.assert_calm()


def written(folder: Path, body: str) -> Path:
    file = folder / "page.html"
    file.write_text(f"<!doctype html><meta charset=utf-8><title>A page</title>{body}")
    return file
