"""Scores of one run: one row per test image, predictor and n."""

import logging
from pathlib import Path

import pandas as pd

from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.run import Run
from probunet.scores import write_scores
from probunet.store import Samples, open_samples
from probunet.truth.base import Data

logger = logging.getLogger(__name__)


def score_run(samples: Path, store: Path, output: Path, n: tuple[int, ...]) -> None:
    """Write the scores of a run's test images as a Parquet file.

    There is one row per image, predictor and n. The predictor `model` is scored on its first n
    samples. The others are references, and depend on n only in `ged_unbiased`, which does not exist
    at n = 1 (`ged_limit` of a reference is its `ged`):

    - `deterministic`: n copies of the model's single best guess (for the Probabilistic U-Net, the
      prediction from the prior's mean);
    - `empty`: n copies of a segmentation without lesion, or without Cityscapes' ten classes;
    - `graders`: the ground truth itself, with a GED of 0 and an HM-IoU of 1: the graders' masks
      once each, or Cityscapes' 32 modes with their probabilities.

    `protocol` is how the images were made, and `split` how subjects are divided; empty if unknown.
    `subject` is the resampling unit of the bootstrap: the patient, or the image of Cityscapes. The
    columns `bin_...` contain the sums behind an image's `ece`, see `metrics.calibration`.
    `reconstruction_iou` exists only for the predictor `model`, and does not depend on n;
    `ncc_softmax`, too, exists only for it. Scores that do not exist are NaN, for example all scores
    of an image without Cityscapes' five classes with two names. With several classes, `ged:NAME`,
    `iou:NAME`, `ece:NAME` and `bin_...:NAME` are those of a single one. The scores of the registry
    (`metrics.reported`) follow, with `presence_...`, the bins of `presence_ece`, and
    `grader_dice:NAME` of single graders.

    Parameters
    ----------
    samples
        The run's store of samples.
    store
        The data set's store, from which the samples were drawn.
    output
        The file to write.
    n
        Numbers of samples.

    Raises
    ------
    ProbunetError
        If the samples are damaged or belong to another store or run, there are fewer samples than
        `n`, or no image can be scored.
    """
    drawn, data = open_samples(samples), open_data(store)
    _check(drawn, data, n)
    run = Run.parse(drawn.attributes.run)
    run.check_place(samples)
    run.check_place(output)
    absent = []
    if drawn.attributes.population is None:
        absent = ["ged_limit", "ncc_softmax"]
    if drawn.softmax_entropy is None and (absent or drawn.ncc is not None):
        absent += ["entropies of the softmax"]
    if absent:
        logger.info(
            "%s: samples of an older version: %s are blank for the model; sample again to have "
            "them",
            samples,
            ", ".join(absent),
        )
    table = pd.concat(list(data.score(drawn, run.seed, sorted(set(n)))), ignore_index=True)
    _check_scored(table, samples, data)
    order = table["predictor"].map({"model": 0, "deterministic": 1, "empty": 2, "graders": 3})
    table = table.assign(order=order).sort_values(["order", "n", "row"]).drop(columns="order")
    for position, name in enumerate(("dataset", "model", "beta", "fold", "seed")):
        table.insert(position, name, getattr(run, name))
    table = table.assign(protocol=data.protocol, split=drawn.attributes.split or "")
    write_scores(output, table)


def _check(drawn: Samples, data: Data, n: tuple[int, ...]) -> None:
    if drawn.attributes.store != data.digest:
        raise ProbunetError(
            f"{drawn.path}: its samples belong to another version of {data.path}; remove it and "
            "run `probunet sample` again."
        )
    about = drawn.attributes
    fits = about.classes == data.classes and all(map(int.__le__, about.size, data.size))
    if not fits or drawn.rows.max() >= len(data):
        raise ProbunetError(
            f"{drawn.path}: its samples do not fit the images of {data.path}; remove it and run "
            "`probunet sample` again."
        )
    stored = drawn.samples.shape[1]
    if not n or min(n) < 1 or max(n) > stored:
        raise ProbunetError(
            f"evaluation.n: {', '.join(map(str, n)) or 'empty'}; {drawn.path} contains {stored} "
            f"samples per image: choose values from 1 to {stored}, or increase "
            "evaluation.samples and sample again."
        )


def _check_scored(table: pd.DataFrame, samples: Path, data: Data) -> None:
    """Log the number of images without scores; raise an error if no image has a score."""
    images = table["row"].nunique()
    without = table.loc[table["ged"].isna(), "row"].nunique()
    if without == images:
        raise ProbunetError(
            f"{samples}: none of the {images} test images {data.scored_if}, so there is nothing "
            "to score; choose other test images."
        )
    if without:
        logger.info(
            "%s: %d of %d images have no score: none of these %s",
            samples,
            without,
            images,
            data.scored_if,
        )
