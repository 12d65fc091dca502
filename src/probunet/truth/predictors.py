"""The scores of a model's samples, and of the predictors that it is compared with, as tables."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.metrics.sample_weights import Weights

Segmentations = NDArray[np.uint8]  # (images, m, ...), as the scores expect them
# of segmentations, the population (see `metrics.ged`) and the segmentations' weights, if any: the
# scores of the first n, by image
Score = Callable[[Segmentations, int | None, Weights | None], Callable[[int], pd.DataFrame]]


def predictor_tables(
    images: pd.DataFrame,
    predictors: Mapping[str, Segmentations],
    population: int | None,
    n: list[int],
    score: Score,
    of_model: Mapping[str, NDArray[np.float64]],
    sample_weights: Weights | None,
) -> Iterator[pd.DataFrame]:
    """Yield a table with a row per image for each predictor and n.

    Parameters
    ----------
    images
        Columns that name the images.
    predictors
        Segmentations by predictor: the samples of `model`; all of any other one's, which repeat.
    population
        Of the model, see `SampleAttributes.population`.
    of_model
        Scores (images, n) that only the model has, of its first 1, 2, ... samples.
    sample_weights
        Weights (images, samples) of the model's samples, if they have any.
    """
    for predictor, masks in predictors.items():
        is_model = predictor == "model"
        # n copies of a mask have the scores of one
        used = {k: k if is_model else masks.shape[1] for k in n}
        about = (population, sample_weights) if is_model else (masks.shape[1], None)
        of_first = score(masks, *about)
        scores = {k: of_first(k) for k in set(used.values())}
        for k in n:
            named = images.assign(predictor=predictor, n=k)
            table = pd.concat((named, scores[used[k]]), axis=1)
            if k == 1:
                table["ged_unbiased"] = np.nan
            elif used[k] == 1:  # copies have a diversity of 0
                table["ged_unbiased"] = table["ged"]
            for name, values in of_model.items():
                table[name] = values[:, k - 1] if is_model else np.nan
            yield table
