"""The page about samples of another code: its blocks and commands run, in order."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from probunet.folds import Fold, Folds
from support.pages import fences
from support.report.study import CONFIG, FOLDS, PATIENTS, make_study

PAGE = "docs/how-to/other-code.md"


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = make_study(tmp_path)
    names = np.array([f"LIDC-IDRI-{k + 1:04}" for k in range(PATIENTS)])
    parts = []
    for fold in range(FOLDS):  # as the study's runs were sampled
        tested = np.arange(PATIENTS) % FOLDS == fold
        train = tuple(names[~tested].tolist())
        parts.append(Fold(train=train, validation=(), test=tuple(names[tested].tolist())))
    Folds(dataset="lidc", folds=tuple(parts)).write(study.folder / "lidc/folds.json")
    (tmp_path / "config.yaml").write_text(json.dumps(CONFIG))
    monkeypatch.chdir(tmp_path)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    named: dict[str, Any] = {}
    for language, text in fences(PAGE):
        if language == "python":
            exec(compile(text, PAGE, "exec"), named)
        else:
            done = subprocess.run(
                ["bash", "-euc", text],
                env=os.environ | {"PATH": path},
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, done.stdout + done.stderr

    summary = pd.read_csv("with-theirs/summary.csv")
    theirs = summary.query("model == 'theirs' and n == 16")
    assert theirs["ged"].notna().all()
    assert theirs["images"].item() == len(named["test"])
    pairs = pd.read_csv("with-theirs/comparison.csv")
    assert "theirs" in {*pairs["model"], *pairs["other_model"]}
    page = Path("with-theirs/report.html").read_text()
    assert "theirs (drawn elsewhere)" in page
    assert '<td colspan="3">drawn elsewhere</td>' in page
    assert "theirs/beta-1/fold-0/seed-0: no training log" not in page
