"""Scores of packed masks against those of several graders: LIDC-IDRI, and images of one's own."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, bits_of, pack_graders
from probunet.metrics.calibration import expected_calibration_error, reliability
from probunet.metrics.distances import Distances, distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.max_dice import max_dice
from probunet.metrics.ncc import ncc
from probunet.metrics.reconstruction import reconstruction_iou
from probunet.metrics.votes import votes
from probunet.store import SHARD, Graded, Samples

Predictor = Literal["model", "deterministic", "empty", "graders"]


def score_masks(drawn: Samples, data: Graded, n: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the scores of some images at a time, so that memory does not grow with the data.

    Graders' masks are cropped to the centre that was sampled. Those who have looked at an image
    have equal weights; images with the same graders are scored together.
    """
    for start in range(0, len(drawn.rows), SHARD):
        given = data.given[drawn.rows[start : start + SHARD]]
        for who in np.unique(given).tolist():
            yield from _of_graders(drawn, data, start + np.flatnonzero(given == who), who, n)


def _of_graders(
    drawn: Samples, data: Graded, places: NDArray[np.int64], who: int, n: list[int]
) -> Iterator[pd.DataFrame]:
    """Yield the scores of images at these places that all have the same graders, `who` by bits."""
    rows, size = drawn.rows[places], drawn.attributes.size
    top, left = ((a - b) // 2 for a, b in zip(data.masks.shape[1:], size, strict=True))
    centre = slice(top, top + size[0]), slice(left, left + size[1])
    graders = pack_graders(np.asarray(data.masks.oindex[rows, *centre]), bits_of(who))
    model = np.asarray(drawn.samples.oindex[places, slice(max(n))])
    single = np.asarray(drawn.deterministic.oindex[places])[:, None]
    images = _columns(data, rows)
    rebuilt = np.full(len(rows), np.nan)
    if drawn.reconstruction is not None:
        again = np.asarray(drawn.reconstruction.oindex[places, np.array(bits_of(who))])
        rebuilt = reconstruction_iou(again, graders)
    for predictor, masks in _predictors(model, single, graders):
        # a sample that is repeated n times scores as it does once
        first = {k: k if predictor == "model" else masks.shape[1] for k in n}
        pairs = distances(masks, graders)
        pixels = size[0] * size[1]
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


def _columns(data: Graded, rows: NDArray[np.int64]) -> pd.DataFrame:
    chosen = {name: column[rows] for name, column in vars(data.columns).items()}
    return pd.DataFrame({"row": rows, **chosen, "subject": data.subjects[rows]})


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
