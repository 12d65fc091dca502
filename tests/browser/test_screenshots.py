"""Pictures of each section for a person to look at, in tests/browser/screenshots/."""

import os
import re
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from .opened import NARROW, WIDE, opened
from .whole import wait_for_charts

pytestmark = pytest.mark.browser
FOLDER = Path(os.environ.get("PROBUNET_SCREENSHOTS", Path(__file__).parent / "screenshots"))


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["1280", "390"])
def test_each_section_is_photographed(
    browser: Browser, report: Path, size: tuple[int, int], request: pytest.FixtureRequest
) -> None:
    folder = FOLDER / request.node.callspec.params["report"] / str(size[0])
    folder.mkdir(parents=True, exist_ok=True)
    with opened(browser, report, size) as seen:
        wait_for_charts(seen.page)
        # what stays in view would lie over the sections
        seen.page.add_style_tag(content="nav { position: static !important; }")
        seen.page.screenshot(path=folder / "top.png")
        sections = seen.page.locator("main section").filter(visible=True).all()
        assert sections
        for k, section in enumerate(sections):
            name = section.get_attribute("aria-labelledby") or section.get_attribute("id") or ""
            file = folder / f"{k:02}-{re.sub('[^a-z0-9]+', '-', name.lower())}.png"
            section.screenshot(path=file)
            with Image.open(file) as picture:
                assert len(picture.convert("RGB").resize((200, 200)).getcolors(40_000) or []) > 20
        seen.assert_calm()
