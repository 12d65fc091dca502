"""Choose the test images that are shown: by a rule, not by hand."""

from collections.abc import Mapping

import numpy as np
import pandas as pd


def spread(folds: Mapping[int, pd.DataFrame], count: int) -> list[tuple[int, int]]:
    """Return folds and rows of images that are spread over folds and over GED.

    The folds take turns; the i-th of `count` images is at the quantile (i + 1/2) / count of its
    fold's GED, or nearest to it among the images of subjects that are not yet chosen, if there are
    any.

    Parameters
    ----------
    folds
        By fold, its test images: their `row` in the store, `ged` and `subject`.
    count
        Images, at most.
    """
    names = list(folds)
    left = {fold: np.ones(len(table), bool) for fold, table in folds.items()}
    unseen = {fold: left[fold].copy() for fold in names}
    ged = {fold: table["ged"].to_numpy(float) for fold, table in folds.items()}
    chosen = []
    for i in range(min(count, sum(map(len, folds.values())))):
        turn = i % len(names)
        fold = next(one for one in names[turn:] + names[:turn] if left[one].any())
        fresh = left[fold] & unseen[fold]
        candidates = np.flatnonzero(fresh if fresh.any() else left[fold])
        wanted = np.quantile(ged[fold], (i + 0.5) / count)
        nearest = candidates[np.abs(ged[fold][candidates] - wanted).argmin()]
        left[fold][nearest] = False
        subject = folds[fold]["subject"].iloc[nearest]
        for other, table in folds.items():
            unseen[other] &= (table["subject"] != subject).to_numpy()
        chosen.append((fold, int(folds[fold]["row"].iloc[nearest])))
    return sorted(chosen)


def scored(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the model's rows at its greatest n; an image without a score is not shown."""
    model = scores[(scores["predictor"] == "model") & scores["ged"].notna()]
    greatest: pd.DataFrame = model[model["n"] == model["n"].max()]
    return greatest
