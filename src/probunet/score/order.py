"""The order of rows in every table: models before predictors that are not models."""

import pandas as pd

from probunet.scores import DEGENERATE


def rank(model: str) -> int:
    """Return 0 for a model, and 1 to 3 for a degenerate predictor.

    >>> rank("unet"), rank("deterministic (unet)"), rank("graders")
    (0, 1, 3)
    """
    kind = model.partition(" (")[0]
    return DEGENERATE.index(kind) + 1 if kind in DEGENERATE else 0


def ordered(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows sorted by predictor and run."""
    by = ["dataset", "rank", "model", "beta", "fold", "seed", "n"]
    table = table.assign(rank=table["model"].map(rank))
    return table.sort_values([c for c in by if c in table]).drop(columns="rank")
