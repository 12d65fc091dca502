"""Reports of a study: Snakemake's own, with explanations; and one of a study that is not whole."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from ..docs.pages import blocks
from .test_dry_run import snakemake
from .test_end_to_end import study


@pytest.mark.slow
def test_snakemake_s_report_holds_the_page_and_explains_each_figure(tmp_path: Path) -> None:
    results = study(tmp_path, {"lidc": {"source": "phantom", "patients": 4}})
    files = {path.name for path in (results / "figures/lidc").iterdir()}
    charts, tables = ["ged", "training"], ["overview", "others", "ged", "paired"]
    shown = {f"{name}.svg" for name in charts} | {f"{name}.csv" for name in tables}
    assert files == shown | {f"{name}.pdf" for name in charts} | {f"{name}.tex" for name in tables}

    written = tmp_path / "report.zip"
    done = snakemake(
        "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml", "--report", written
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(written) as archive:
        held = {name.rpartition("/")[2]: name for name in archive.namelist() if "/raw/" in name}
        assert set(held) >= shown | {"report.html", "scores.csv"}
        page = archive.read(held["report.html"])
        index = archive.read("report/report.html").decode()
    assert page == (results / "report.html").read_bytes()
    for said in ("Lower is better", "whose weights are kept", "only where it excludes zero"):
        assert said in " ".join(index.replace("\\n", " ").split())


@pytest.mark.slow
def test_a_report_of_what_there_is_by_the_page_s_own_commands(tmp_path: Path) -> None:
    results = study(tmp_path, {"lidc": {"source": "phantom", "patients": 4}})
    (tmp_path / "mine.yaml").rename(tmp_path / "config.yaml")
    failed = "lidc/probabilistic_unet/beta-1/fold-1/seed-0"
    shutil.rmtree(results / failed)
    [commands] = [
        text for text in blocks("docs/how-to/report.md", "sh") if "so-far/report.html" in text
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    page = (tmp_path / "so-far/report.html").read_text()
    assert "runs have no scores and no part in the tables" in page
    assert f"<li><code>{failed}</code></li>" in page
    assert f"<code>{failed}</code>: no training log" in page
    assert "snakemake --cores all --configfile study-" in page  # its configuration is known
