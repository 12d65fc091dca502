"""Scores of one run: every test image, the model and the degenerate predictors, several n."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.files import written_whole
from probunet.metrics.bits import Packed, pack_graders
from probunet.metrics.calibration import expected_calibration_error, reliability
from probunet.metrics.distances import Distances, distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.max_dice import max_dice
from probunet.metrics.ncc import ncc
from probunet.metrics.reconstruction import reconstruction_iou
from probunet.metrics.votes import votes
from probunet.run import Run
from probunet.store import SHARD, SIZE, Crops, Samples, open_crops, open_samples

Predictor = Literal["model", "deterministic", "empty", "graders"]


def score_run(samples: Path, store: Path, output: Path, n: tuple[int, ...]) -> None:
    """Write the scores of a run's test images, one row per image, predictor and n, as Parquet.

    Predictors: `model` is scored on its first n samples. The others show what a score is worth
    and do not depend on n (but for `ged_unbiased`, which does not exist at n = 1):

    - `deterministic`: the model's single best guess (of the Probabilistic U-Net the prediction
      from the prior's mean), n times the same;
    - `empty`: no lesion, n times;
    - `graders`: the four graders' masks themselves, once each whatever n is. Their GED is 0 and
      their HM-IoU 1 by construction.

    Graders' masks are cropped to the centre that was sampled. Beside each image's `ece` stand the
    sums that it is of, in lists by bin: those of many images add up, see `metrics.calibration`.
    `reconstruction_iou` is the model's, whatever n is; NaN for the others, and for a model without
    a posterior.

    Parameters
    ----------
    samples
        The run's store of samples.
    store
        The store of crops that the samples were drawn from.
    output
        The Parquet file, written whole or not at all.
    n
        Numbers of samples.

    Raises
    ------
    ProbunetError
        If the samples are of another store, or fewer than the greatest `n`.
    """
    drawn, crops = open_samples(samples), open_crops(store)
    _check(drawn, crops, n)
    run = Run.parse(drawn.attributes.run)
    table = pd.concat(list(_blocks(drawn, crops, sorted(set(n)))), ignore_index=True)
    order = table["predictor"].map({"model": 0, "deterministic": 1, "empty": 2, "graders": 3})
    table = table.assign(order=order).sort_values(["order", "n", "row"]).drop(columns="order")
    for position, name in enumerate(("dataset", "model", "beta", "fold", "seed")):
        table.insert(position, name, getattr(run, name))
    with written_whole(output) as aside:
        table.to_parquet(aside, index=False)


def _check(drawn: Samples, crops: Crops, n: tuple[int, ...]) -> None:
    if drawn.attributes.store != crops.digest:
        raise ProbunetError(
            f"{drawn.path}: was sampled from another store than {crops.path} is now; "
            "remove it and run `probunet sample` again."
        )
    stored = drawn.samples.shape[1]
    if not n or min(n) < 1 or max(n) > stored:
        raise ProbunetError(
            f"--n: {', '.join(map(str, n)) or 'nothing'} given; {drawn.path} holds {stored} "
            f"samples per image: choose from 1 to {stored}, or sample again with more "
            "`evaluation.samples`."
        )


def _blocks(drawn: Samples, crops: Crops, n: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the scores of some images at a time, so that memory does not grow with the data."""
    margin = (SIZE - drawn.attributes.size[0]) // 2
    centre = slice(margin, margin + drawn.attributes.size[0])
    for start in range(0, len(drawn.rows), SHARD):
        rows = drawn.rows[start : start + SHARD]
        graders = pack_graders(np.asarray(crops.masks.oindex[rows, centre, centre]))
        model = np.asarray(drawn.samples[start : start + SHARD, : max(n)])
        single = np.asarray(drawn.deterministic[start : start + SHARD])[:, None]
        images = _columns(crops, rows)
        pixels = drawn.attributes.size[0] ** 2
        rebuilt = np.full(len(rows), np.nan)
        if drawn.reconstruction is not None:
            again = np.asarray(drawn.reconstruction[start : start + SHARD])
            rebuilt = reconstruction_iou(again, graders)
        for predictor, masks in _predictors(model, single, graders):
            # a sample that is repeated n times scores as it does once
            first = {k: k if predictor == "model" else masks.shape[1] for k in n}
            pairs = distances(masks, graders)
            scores = {k: _scores(masks, graders, pairs, k, pixels) for k in set(first.values())}
            for k in n:
                named = images.assign(predictor=predictor, n=k)
                table = pd.concat((named, scores[first[k]]), axis=1)
                if k == 1:
                    table["ged_unbiased"] = np.nan
                elif first[k] == 1:  # repeated, diversity 0
                    table["ged_unbiased"] = table["ged"]
                table["reconstruction_iou"] = rebuilt if predictor == "model" else np.nan
                yield table


def _columns(crops: Crops, rows: NDArray[np.int64]) -> pd.DataFrame:
    names = ("patient", "series", "z", "lesion", "annotations")
    chosen = {name: getattr(crops.columns, name)[rows] for name in names}
    return pd.DataFrame({"row": rows, **chosen})


def _predictors(
    model: Packed, single: Packed, graders: Packed
) -> Iterator[tuple[Predictor, Packed]]:
    yield "model", model
    yield "deterministic", single
    yield "empty", np.zeros_like(single)
    yield "graders", graders


def _scores(masks: Packed, graders: Packed, pairs: Distances, n: int, pixels: int) -> pd.DataFrame:
    """Return all scores of the first n masks and the bins behind `ece`, one row per image."""
    energy = energy_distance(pairs, n)
    counted = votes(masks[:, :n], graders, pixels)
    bins = reliability(counted)
    return pd.DataFrame(
        {
            "ged": energy.ged,
            "ged_unbiased": energy.ged_unbiased,
            "hm_iou": matched_iou(pairs, n),
            "diversity": energy.diversity,
            "max_dice": max_dice(pairs, n),
            "ncc": ncc(counted),
            "ece": expected_calibration_error(bins),
            "bin_pixels": list(bins.pixels),
            "bin_predicted": list(bins.predicted),
            "bin_marked": list(bins.marked),
        }
    )
