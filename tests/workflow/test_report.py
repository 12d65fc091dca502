"""Snakemake's own report of a study: the page, and each figure and table with its explanation."""

import zipfile
from pathlib import Path

import pytest

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
