"""Tables and runs that charts are drawn of."""

import math

import pandas as pd

from probunet.report.runs import RunFolder
from probunet.run import Run

N = (1, 4, 16)
OWN = "probabilistic_unet"


def tables(models: list[tuple[str, float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return made-up scores.csv and summary.csv."""
    of_runs, over = [], []
    rows = [*models, ("deterministic", models[0][1]), ("empty", math.nan), ("graders", math.nan)]
    for place, (model, beta) in enumerate(rows):
        for n in N:
            one = {"dataset": "lidc", "model": model, "beta": beta, "n": n}
            ged = 0.3 + place / 10 + 0.7 / n
            of_runs += [one | {"fold": f, "seed": 0, "ged": ged + f / 100} for f in range(2)]
            spread = {"ged_sd": 0.01, "ged_low": ged - 0.1, "ged_high": ged + 0.1, "folds": 2}
            over.append(one | {"ged": ged} | spread)
    return pd.DataFrame(of_runs), pd.DataFrame(over)


def folder(steps: int = 40, stopped: int | None = None, members: int = 1) -> RunFolder:
    steps_ = pd.RangeIndex(1, steps + 1)
    log = {
        "loss": pd.Series(100.0 / steps_, steps_),
        "kl": pd.Series(0.0, steps_),
        "validation_ged": pd.Series([0.9, 0.4, 0.6], [10, 20, 30]),
    }
    run = Run("lidc", OWN, 1.0, 0, 0)
    return RunFolder(run, [log] * members, None, None, (), (stopped,) * members)
