"""The order of predictors in every table: models first, then the degenerate ones."""

import pandas as pd

DEGENERATE = ("deterministic", "empty", "graders")


def rank(model: str) -> int:
    """Return where a predictor stands: 0 for a model; `deterministic (unet)` is degenerate too."""
    kind = model.partition(" (")[0]
    return DEGENERATE.index(kind) + 1 if kind in DEGENERATE else 0


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in an order that depends on nothing but the runs."""
    by = ["dataset", "rank", "model", "beta", "fold", "seed", "n"]
    table = table.assign(rank=table["model"].map(rank))
    return table.sort_values([c for c in by if c in table]).drop(columns="rank")
