"""A report opened from the disk in headless Chromium, with an eye on all that it does."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, Page, Playwright, Request

WIDE, NARROW = (1280, 800), (390, 844)  # a laptop and a phone
WITHIN = ("data:", "blob:", "about:")  # what never leaves the page
# nothing of the browser's own is to be taken for the page's
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")


@dataclass
class Opened:
    """A page and what it has done since it was opened."""

    page: Page
    file: Path
    requests: list[str] = field(default_factory=list)  # but for the page itself
    errors: list[str] = field(default_factory=list)  # of the console, warnings too, and uncaught

    def assert_calm(self) -> None:
        """The page has asked for nothing but itself, and nothing has gone wrong in it."""
        assert self.requests == []
        assert self.errors == []


def launched(playwright: Playwright) -> Browser:
    """Start Debian's Chromium, or the one of Playwright where there is none."""
    own = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=own, args=list(QUIET))


@contextmanager
def opened(
    browser: Browser,
    file: Path,
    size: tuple[int, int] = WIDE,
    *,
    scripts: bool = True,
    fragment: str = "",
    before: str = "",
) -> Iterator[Opened]:
    """Open a file as a double click would, without a network.

    `before` is a script that runs before the page's own.
    """
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        offline=True,
        java_script_enabled=scripts,
        reduced_motion="reduce",
        permissions=["clipboard-read", "clipboard-write"],
    )
    page = context.new_page()
    if before:
        page.add_init_script(before)
    seen = Opened(page, file)
    url = file.resolve().as_uri()

    def requested(request: Request) -> None:
        if not request.url.startswith(WITHIN) and request.url.partition("#")[0] != url:
            seen.requests.append(request.url)

    context.on("request", requested)
    page.on("websocket", lambda socket: seen.requests.append(socket.url))
    page.on("popup", lambda popup: seen.requests.append(f"a window of its own: {popup.url}"))
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on(
        "console",
        lambda line: line.type in ("error", "warning") and seen.errors.append(line.text),
    )
    page.goto(url + fragment)
    try:
        yield seen
    finally:
        context.close()
