"""The page about reading stores from a notebook: its blocks are run, one after the other."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ..report.conftest import make_study
from .pages import blocks

CODE = blocks("docs/how-to/read-the-store.md", "python")


def test_the_page_s_code_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = make_study(tmp_path)
    monkeypatch.chdir(tmp_path)
    named: dict[str, Any] = {}
    for text in CODE:
        exec(compile(text, "read-the-store.md", "exec"), named)
    told = capsys.readouterr().out.splitlines()
    assert told[0] == "24 crops of 8 patients"
    assert any(line.startswith("True ") for line in told)  # the picture has the samples' size

    # what the page computes by hand is what was scored
    scores = pd.read_parquet(study.runs[0] / "scores.parquet")
    row = int(named["drawn"].rows[0])
    scored = scores.query(f"predictor == 'model' and n == 16 and row == {row}")["ged"].item()
    by_hand = next(line for line in reversed(told) if line.startswith("[0."))
    assert float(by_hand.strip("[]")) == pytest.approx(scored)
