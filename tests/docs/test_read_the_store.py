"""The page about reading stores from a notebook: its blocks are run in order."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from support.pages import blocks
from support.report.study import make_study

CODE = blocks("docs/how-to/read-the-store.md", "python")


def test_the_page_s_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    named: dict[str, Any] = {}
    for text in CODE:
        exec(compile(text, "read-the-store.md", "exec"), named)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "24 crops of 8 patients"
    assert any(line.startswith("True ") for line in printed)  # the image has the samples' size

    # the page computes the same score by hand
    scores = pd.read_parquet(study.runs[0] / "scores.parquet")
    row = int(named["drawn"].rows[0])
    scored = scores.query(f"predictor == 'model' and n == 16 and row == {row}")["ged"].item()
    by_hand = next(line for line in reversed(printed) if line.startswith("[0."))
    assert float(by_hand.strip("[]")) == pytest.approx(scored)
