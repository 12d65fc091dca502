"""The documentation builds without a warning: `make docs`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("sphinx", reason="the extra `docs` is not installed")
    made = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "-n", "--keep-going", "-q", "docs", tmp_path],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    pages = {page.relative_to(tmp_path).as_posix() for page in tmp_path.rglob("*.html")}
    assert {"index.html", "reference/config.html", "how-to/own-data.html"} <= pages
    for page in pages:
        text = (tmp_path / page).read_text()
        asked = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]+)"', text)
        asked += re.findall(r'<link[^>]* rel="stylesheet"[^>]* href="([^"]+)"', text)
        assert asked
        assert [one for one in asked if "//" in one] == [], (
            page
        )  # nothing is loaded from another server
    method = (tmp_path / "explanation/method.html").read_text()
    assert method.count("<math") > 50
    assert "\\(" not in method
