"""Scores of packed masks against the masks of several graders."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, bits_of, pack_graders
from probunet.metrics.calibration import calibration_columns, reliability
from probunet.metrics.distances import Distances, distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.max_dice import max_dice
from probunet.metrics.ncc import ncc
from probunet.metrics.reconstruction import reconstruction_iou
from probunet.metrics.votes import votes
from probunet.store import SHARD, Samples
from probunet.truth.graders import Graded
from probunet.truth.rows import read_rows


def score_masks(drawn: Samples, data: Graded, n: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the scores of some test images at a time, to save memory.

    Masks are cropped to the sampled centre. The graders of an image have equal weights; images with
    the same graders are scored together.
    """
    for start in range(0, len(drawn.rows), SHARD):
        given = data.given[drawn.rows[start : start + SHARD]]
        for bits in np.unique(given).tolist():
            positions = start + np.flatnonzero(given == bits)
            yield from _score_positions(drawn, data, positions, bits_of(bits), n)


def _score_positions(
    drawn: Samples, data: Graded, positions: NDArray[np.int64], graders: list[int], n: list[int]
) -> Iterator[pd.DataFrame]:
    """Yield the scores of test images that have the same graders."""
    rows, size = drawn.rows[positions], drawn.attributes.size
    top, left = ((a - b) // 2 for a, b in zip(data.masks.shape[1:], size, strict=True))
    centre = slice(top, top + size[0]), slice(left, left + size[1])
    truth = pack_graders(read_rows(data.masks, rows, *centre), graders)
    deterministic = read_rows(drawn.deterministic, positions)[:, None]
    predictors = {
        "model": read_rows(drawn.samples, positions, slice(max(n))),
        "deterministic": deterministic,
        "empty": np.zeros_like(deterministic),
        "graders": truth,
    }
    images = pd.DataFrame(data.columns_of(rows))
    ncc_softmax = np.full((len(rows), max(n)), np.nan)
    if drawn.ncc is not None:
        ncc_softmax = drawn.ncc[positions][..., graders].mean(axis=2)
    reconstruction = np.full(len(rows), np.nan)
    if drawn.reconstruction is not None:
        rebuilt = read_rows(drawn.reconstruction, positions)[:, graders]
        reconstruction = reconstruction_iou(rebuilt, truth)
    for predictor, masks in predictors.items():
        # n copies of a mask have the scores of one
        used = {k: k if predictor == "model" else masks.shape[1] for k in n}
        population = drawn.attributes.population if predictor == "model" else masks.shape[1]
        pairs, pixels = distances(masks, truth), size[0] * size[1]
        scores = {
            k: _scores(masks, truth, pairs, k, pixels, population) for k in set(used.values())
        }
        for k in n:
            named = images.assign(predictor=predictor, n=k)
            table = pd.concat((named, scores[used[k]]), axis=1)
            if k == 1:
                table["ged_unbiased"] = np.nan
            elif used[k] == 1:  # copies have a diversity of 0
                table["ged_unbiased"] = table["ged"]
            table["reconstruction_iou"] = reconstruction if predictor == "model" else np.nan
            table["ncc_softmax"] = ncc_softmax[:, k - 1] if predictor == "model" else np.nan
            yield table


def _scores(
    masks: Packed, graders: Packed, pairs: Distances, n: int, pixels: int, population: int | None
) -> pd.DataFrame:
    """Return the scores of the first n masks, one row per image."""
    energy = energy_distance(pairs, n, population=population or None)
    counts = votes(masks[:, :n], graders, pixels)
    return pd.DataFrame(
        {
            "ged": energy.ged,
            "ged_unbiased": energy.ged_unbiased,
            "hm_iou": matched_iou(pairs, n),
            "diversity": energy.diversity,
            "max_dice": max_dice(pairs, n),
            "ncc": ncc(counts),
            **calibration_columns(reliability(counts)),
            "ged_limit": np.nan if population is None else energy.ged_limit,
        }
    )
