"""Reliability diagrams have the bins of all runs of a model, and no empty ones."""

import numpy as np
import pytest

from probunet.metrics.calibration import Reliability
from probunet.report.reliability import reliability_chart
from probunet.report.runs import RunFolder
from probunet.run import Run
from support.report.vega import layers

PAIR = ("m_heads", 1.0)


def bins(*values: tuple[int, float, float]) -> Reliability:
    """Bins with these pixels, and shares of samples and graders; the others are empty."""
    rows = np.zeros((10, 3))
    rows[: len(values)] = [(count, count * p, count * y) for count, p, y in values]
    return Reliability(rows[:, 0].astype(int), rows[:, 1], rows[:, 2])


def folder(fold: int, **bins: Reliability) -> RunFolder:
    return RunFolder(Run("lidc", *PAIR, fold, 0), [], None, None, (), **bins)


def test_bins_of_folds_are_added_and_empty_ones_left_out() -> None:
    runs = [
        folder(0, pixels=bins((100, 0.0, 0.1), (10, 0.15, 0.2)), presence=bins((4, 0.05, 0.5))),
        folder(1, pixels=bins((300, 0.0, 0.3))),
    ]
    chart = reliability_chart(runs, [PAIR, ("unet", 1.0)])
    assert chart is not None
    of = layers(chart)
    shares = [(row["predicted"], row["marked"], row["count"]) for row in of["pixels-lines"]]
    assert shares == [(0, pytest.approx(0.25), 400), (0.15, 0.2, 10)]
    assert [row["count"] for row in of["presence-points"]] == [4]
    assert {row["model"] for row in of["pixels-points"]} == {"M-Heads"}


def test_a_panel_without_bins_is_left_out() -> None:
    chart = reliability_chart([folder(0, pixels=bins((5, 0.0, 0.0)))], [PAIR])
    assert chart is not None
    assert not any(name.startswith("presence") for name in layers(chart))
    assert "share of the ground truth" in chart.svg()
    assert reliability_chart([folder(0)], [PAIR]) is None
    assert reliability_chart([], []) is None
