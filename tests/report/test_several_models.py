"""A study of several models: one has neither latent space nor KL, and all its samples are equal."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from probunet import store
from probunet.report.build import build_report
from probunet.score.table import write_tables
from support.report.runs import add_model


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
    legend, *_, curves = charts(page)
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
    assert "KL divergence<" not in charts(page)[-1]
    assert "Validation GED<" in charts(page)[-1]
