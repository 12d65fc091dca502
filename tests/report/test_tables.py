import numpy as np
import pandas as pd

from probunet.report.tables import by_ged, over_folds


def table(rows: list[tuple[str, float, int, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["model", "beta", "n", "ged"])
    spread = {name: np.nan for name in ("ged_sd", "ged_low", "ged_high")}
    return frame.assign(dataset="cityscapes", **spread)


def test_models_stand_in_the_order_of_their_ged_at_the_greatest_n() -> None:
    summary = table(
        [
            ("m_heads", 1.0, 1, 0.1),
            ("m_heads", 1.0, 16, 0.5),
            ("probabilistic_unet", 1.0, 1, 0.9),
            ("probabilistic_unet", 1.0, 16, 0.4),
            ("probabilistic_unet", 10.0, 1, 0.8),
            ("probabilistic_unet", 10.0, 16, 0.3),
            ("deterministic (m_heads)", 1.0, 16, 0.0),
            ("deterministic", 1.0, 16, 0.7),
            ("deterministic", 10.0, 16, 0.9),
            ("empty", np.nan, 16, 0.0),
            ("graders", np.nan, 16, 0.0),
        ]
    )
    ordered = by_ged(summary, summary)
    assert [(row.model, row.beta) for row in ordered[ordered["n"] == 16].itertuples()][:-2] == [
        ("probabilistic_unet", 10),
        ("probabilistic_unet", 1),
        ("m_heads", 1),
        ("deterministic", 10),
        ("deterministic", 1),
        ("deterministic (m_heads)", 1),
    ]
    assert [row.label for row in over_folds(ordered).rows][-2:] == [
        "None of the ten classes",
        "The 32 modes themselves",
    ]
    assert (ordered["n"].to_numpy()[:2] == [1, 16]).all()  # rows of one model keep their order
