"""A study of several models: one has neither latent space nor KL, and all its samples are equal."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from probunet import store
from probunet.report.build import build_report
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables


def add_model(study: Any, model: str) -> list[Path]:
    """Add runs whose samples are the deterministic masks of the first beta's runs."""
    added = []
    for folder in study.runs:
        original = Run.parse(folder.as_posix())
        if original.beta != 1:
            continue
        run = Run("lidc", model, 1.0, original.fold, original.seed)
        added.append(study.folder / run.folder)
        added[-1].mkdir(parents=True)
        drawn = store.open_samples(folder / "samples.zarr")
        single = np.asarray(drawn.deterministic[:])
        store.write_samples(
            added[-1] / "samples.zarr",
            drawn.attributes.model_copy(update={"run": run.folder}),
            {
                "rows": drawn.rows,
                "samples": np.repeat(single[:, None], drawn.attributes.samples, axis=1),
                "deterministic": single,
            },
        )
        score_run(
            added[-1] / "samples.zarr", study.store, added[-1] / "scores.parquet", (1, 4, 8, 16)
        )
        lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
        kept = [line | {"kl": 0.0} if "kl" in line else line for line in lines]
        (added[-1] / "training.jsonl").write_text("".join(json.dumps(k) + "\n" for k in kept))
    return added


def report(study: Any, runs: list[Path]) -> str:
    files = [run / "scores.parquet" for run in runs]
    write_tables(files, study.scores, study.summary, study.comparison, 50)
    output = study.folder / "report.html"
    build_report(
        output,
        scores=study.scores,
        summary=study.summary,
        comparison=study.comparison,
        runs=runs,
        stores=[study.store],
        config={},
        title="Several",
        examples=3,
    )
    return output.read_text(encoding="utf-8")


def charts(page: str) -> list[str]:
    """Return the drawn charts of a page."""
    return re.findall(r'<div class="drawn".*?>(<svg.*?</svg>)</div>', page, re.DOTALL)


def test_each_model_has_its_rows_and_its_own_deterministic_ones(study: Any) -> None:
    page = report(study, study.runs + add_model(study, "unet") + add_model(study, "m_heads"))
    for row in ("U-Net", "Deterministic (U-Net)", "M-Heads", "Deterministic (M-Heads)"):
        assert f'<th scope="row">{row}</th>' in page
    assert "Deterministic (prior mean)" in page
    summary = pd.read_csv(study.summary)
    assert set(summary["model"]) == {
        "probabilistic_unet",
        "unet",
        "m_heads",
        "deterministic",
        "deterministic (unet)",
        "deterministic (m_heads)",
        "empty",
        "graders",
    }
    score = summary.set_index(["model", "n"])["ged"]
    assert score["unet", 16] == score["deterministic (unet)", 16] == score["unet", 1]
    legend, curves = charts(page)
    assert "M-Heads" in legend
    assert ">Deterministic" not in legend
    assert "M-Heads" in curves


@pytest.mark.parametrize("model", ["unet", "a_model_of_your_own"])
def test_a_model_without_latent_space_alone(study: Any, model: str) -> None:
    runs = add_model(study, model)
    assert store.open_samples(runs[0] / "samples.zarr").prior_mean is None
    page = report(study, runs)
    told = re.sub(r'<script( type="text/plain"[^>]*)?>.*?</script>', "", page, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", told, re.IGNORECASE)
    assert "KL divergence<" not in charts(page)[1]
    assert "Validation GED<" in charts(page)[1]
