"""The page that adds a score: followed as written; the score is in every table."""

from pathlib import Path

import pandas as pd
import pytest

from support.pages import ROOT

from .changed import changed, probunet, python

PAGE = "docs/how-to/add-a-score.md"
MAKE = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from support.report.study import make_study
make_study(Path(sys.argv[2]))
"""


@pytest.mark.slow
def test_the_page_s_score_is_in_every_table(tmp_path: Path) -> None:
    folder = changed(PAGE, tmp_path / "changed")
    output = python(
        folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/metrics/test_emptiness.py"
    )
    assert "1 passed" in output

    (tmp_path / "study").mkdir()
    python(folder, "-c", MAKE, ROOT / "tests", tmp_path / "study")
    results = tmp_path / "study/results"
    runs = sorted(results.glob("lidc/*/*/*/*"))
    probunet(
        folder, "report", *runs, "--scores", results / "scores.csv",
        "--summary", results / "summary.csv", "--comparison", results / "comparison.csv",
        "--store", tmp_path / "study/data/lidc.zarr", "--output", results / "report.html",
    )  # fmt: skip

    images = pd.read_parquet(runs[0] / "scores.parquet")
    graders = images.query("predictor == 'graders'")
    assert (graders["emptiness"] == 0).all()
    assert images.query("predictor == 'empty'")["emptiness"].between(0, 1).all()
    table, summary = (pd.read_csv(results / f"{name}.csv") for name in ("scores", "summary"))
    at_16 = images.query("predictor == 'model' and n == 16")["emptiness"].mean()
    run = table.query("model == 'probabilistic_unet' and beta == 1 and fold == 0 and n == 16")
    assert run["emptiness"].item() == pytest.approx(at_16, abs=1e-6)
    assert summary["emptiness"].notna().all()
    page = (results / "report.html").read_text()
    assert "Emptiness" in page
    assert "difference of the shares of samples and graders that mark nothing" in page
