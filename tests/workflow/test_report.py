"""Reports of a study: made twice, Snakemake's own, and of an incomplete study."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.pages import blocks
from support.studies import snakemake


@pytest.mark.slow
def test_snakemake_s_report_holds_the_page_and_explains_each_figure(copied: Path) -> None:
    results = copied / "results"
    charts = ["ged", "training", "reliability", "diversity"]
    tables = ["overview", "others", "further", "by_grader", "ged", "paired", "diversity"]
    shown = {f"{name}.svg" for name in charts} | {f"{name}.csv" for name in tables}
    paper = {f"{name}.pdf" for name in charts} | {f"{name}.tex" for name in tables}
    assert {path.name for path in (results / "figures/lidc").iterdir()} == shown | paper
    always = shown - {"by_grader.csv"}  # not of modes, which have no graders
    more = {f"{name}.{end}" for name in ("modes", "switches") for end in ("svg", "csv")}
    assert {path.name for path in (results / "figures/cityscapes").iterdir()} >= always | more

    written = copied / "report.zip"
    done = snakemake(
        "--directory", copied, "--configfile", copied / "mine.yaml", "--report", written
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(written) as archive:
        held = {name.rpartition("/")[2]: name for name in archive.namelist() if "/raw/" in name}
        assert set(held) >= always | more | {"report.html", "scores.csv"}
        page = archive.read(held["report.html"])
        index = archive.read("report/report.html").decode()
    assert page == (results / "report.html").read_bytes()
    for said in ("Lower is better", "whose weights are kept", "only if the interval excludes zero"):
        assert said in " ".join(index.replace("\\n", " ").split())


@pytest.mark.slow
def test_a_report_made_again_differs_only_in_what_it_cost(copied: Path) -> None:
    page = copied / "results/report.html"
    once = page.read_text()
    page.unlink()
    done = snakemake(
        "--cores", "1", "--directory", copied, "--configfile", copied / "mine.yaml"
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    costs = r"(?s)<h3>What it cost</h3>.*?</table>"
    assert re.sub(costs, "", page.read_text()) == re.sub(costs, "", once)


@pytest.mark.slow
def test_a_report_of_an_incomplete_study_by_the_page_s_own_commands(copied: Path) -> None:
    (copied / "mine.yaml").rename(copied / "config.yaml")
    failed = "lidc/probabilistic_unet/beta-10/fold-1/seed-0"
    shutil.rmtree(copied / "results" / failed)
    [commands] = [
        text for text in blocks("docs/how-to/report.md", "sh") if "so-far/report.html" in text
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=copied,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (copied / "so-far/report.html").read_text()
    assert "runs have no scores and no part in the tables" in page
    assert f"<li><code>{failed}</code></li>" in page
    assert f"<code>{failed}</code>: no training log" in page
    assert "snakemake --cores all --configfile study-" in page  # its configuration is known
