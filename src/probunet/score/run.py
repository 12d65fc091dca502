"""Scores of one run: every test image, the model and the degenerate predictors, several n."""

import logging
from pathlib import Path

import pandas as pd

from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.run import Run
from probunet.score.masks import score_masks
from probunet.score.scenes import score_scenes
from probunet.store import Data, Samples, Scenes, open_data, open_samples

logger = logging.getLogger(__name__)


def score_run(samples: Path, store: Path, output: Path, n: tuple[int, ...]) -> None:
    """Write the scores of a run's test images, one row per image, predictor and n, as Parquet.

    Predictors: `model` is scored on its first n samples. The others show what a score is worth
    and do not depend on n (but for `ged_unbiased`, which does not exist at n = 1):

    - `deterministic`: the model's single best guess (of the Probabilistic U-Net the prediction
      from the prior's mean), n times the same;
    - `empty`: no lesion, or none of Cityscapes' ten classes, n times;
    - `graders`: what is aimed at: the graders' masks, once each whatever n is, or
      Cityscapes' 32 modes by their probabilities. Their GED is 0 and their HM-IoU 1 by
      construction.

    `subject` is what the bootstrap draws: the patient, or on Cityscapes the image. Beside each
    image's `ece` stand the sums that it is of, in lists by bin: those of many images add up, see
    `metrics.calibration`. `reconstruction_iou` is the model's, whatever n is; NaN for the others,
    and for a model without a posterior. A score that does not exist for a data set is NaN; so are
    all of an image that has none of Cityscapes' five ambiguous classes.

    Parameters
    ----------
    samples
        The run's store of samples.
    store
        The store of crops, scenes or images that the samples were drawn from.
    output
        The Parquet file, written whole or not at all.
    n
        Numbers of samples.

    Raises
    ------
    ProbunetError
        If the samples are of another store, or fewer than the greatest `n`; if there is not one
        image to score.
    """
    drawn, data = open_samples(samples), open_data(store)
    _check(drawn, data, n)
    run = Run.parse(drawn.attributes.run)
    if isinstance(data, Scenes):
        blocks = score_scenes(drawn, data, run.seed, sorted(set(n)))
    else:
        blocks = score_masks(drawn, data, sorted(set(n)))
    table = pd.concat(list(blocks), ignore_index=True)
    _check_scored(table, samples)
    order = table["predictor"].map({"model": 0, "deterministic": 1, "empty": 2, "graders": 3})
    table = table.assign(order=order).sort_values(["order", "n", "row"]).drop(columns="order")
    for position, name in enumerate(("dataset", "model", "beta", "fold", "seed")):
        table.insert(position, name, getattr(run, name))
    with written_whole(output) as aside:
        table.to_parquet(aside, index=False)


def _check(drawn: Samples, data: Data, n: tuple[int, ...]) -> None:
    if drawn.attributes.store != data.digest:
        raise ProbunetError(
            f"{drawn.path}: was sampled from another store than {data.path} is now; "
            "remove it and run `probunet sample` again."
        )
    stored = drawn.samples.shape[1]
    if not n or min(n) < 1 or max(n) > stored:
        raise ProbunetError(
            f"--n: {', '.join(map(str, n)) or 'nothing'} given; {drawn.path} holds {stored} "
            f"samples per image: choose from 1 to {stored}, or sample again with more "
            "`evaluation.samples`."
        )


def _check_scored(table: pd.DataFrame, samples: Path) -> None:
    """Tell how many images are left out; refuse if all are."""
    images = table["row"].nunique()
    left_out = table.loc[table["ged"].isna(), "row"].nunique()
    if left_out == images:
        raise ProbunetError(
            f"{samples}: not one of the {images} test images has any of the ambiguous classes: "
            "there is nothing to score; choose other test images."
        )
    if left_out:
        logger.info(
            "%s: %d of %d images have none of the ambiguous classes, and no score",
            samples,
            left_out,
            images,
        )
