"""The report opened from within Snakemake's own."""

import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.studies import snakemake, study

from .opened import opened

pytestmark = pytest.mark.browser


def test_it_runs_within_snakemake_s_report(browser: Browser, tmp_path: Path) -> None:
    study(tmp_path, {"lidc": {"source": "phantom", "patients": 4}})
    written = tmp_path / "report.zip"
    done = snakemake(
        "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml", "--report", written
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(written) as archive:
        archive.extractall(tmp_path / "unpacked")
    [page] = (tmp_path / "unpacked").glob("report/data/raw/*/report.html")
    with opened(browser, tmp_path / "unpacked/report/report.html") as seen:
        seen.page.locator("a", has_text="Report").last.click()  # the category
        seen.page.locator("td a[iconname=eye]").click()
        ours = seen.page.frame_locator("iframe")
        status = ours.locator("#explorer-status")
        expect(status).to_contain_text("Image 1 of 2")
        ours.locator("#explorer-next").click()
        expect(status).to_contain_text("Image 2 of 2")
        chart = ours.locator("figure.chart").first
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".drawn")).to_have_class("drawn live")
        ours.locator("table.sortable button").first.click()
        expect(ours.locator("th[aria-sort]")).to_have_count(1)
        assert seen.requests == [page.resolve().as_uri()]
        assert [line for line in seen.errors if "tailwind" not in line] == []  # Snakemake's own
