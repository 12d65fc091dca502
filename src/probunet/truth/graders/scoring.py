"""Scores of packed masks against the masks of several graders."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.metrics.bits import Packed, bits_of, pack_graders
from probunet.metrics.calibration import calibration_columns, reliability
from probunet.metrics.distances import Distances, distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.max_dice import dice, max_dice
from probunet.metrics.ncc import ncc
from probunet.metrics.reconstruction import reconstruction_iou
from probunet.metrics.reported import of_masks
from probunet.metrics.sample_weights import Weights, normalised
from probunet.metrics.seen import Seen
from probunet.metrics.votes import votes
from probunet.store import SHARD, Samples
from probunet.truth.graders import Graded
from probunet.truth.predictors import predictor_tables
from probunet.truth.rows import centre, read_rows

_BYTES = 2**26  # of stored samples that are in memory at a time


def score_masks(drawn: Samples, data: Graded, n: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the scores of some test images at a time, to save memory.

    Masks are cropped to the sampled centre. The graders of an image have equal weights; images with
    the same graders are scored together.
    """
    block = block_of(drawn, SHARD)
    for start in range(0, len(drawn.rows), block):
        given = data.given[drawn.rows[start : start + block]]
        for bits in np.unique(given).tolist():
            positions = start + np.flatnonzero(given == bits)
            yield from _score_positions(drawn, data, positions, bits_of(bits), n)


def block_of(drawn: Samples, most: int) -> int:
    """Return of how many images, at most, the samples are in memory at a time."""
    return max(1, min(most, _BYTES // math.prod(drawn.samples.shape[1:])))


def _score_positions(
    drawn: Samples, data: Graded, positions: NDArray[np.int64], graders: list[int], n: list[int]
) -> Iterator[pd.DataFrame]:
    """Yield the scores of test images that have the same graders."""
    rows, size = drawn.rows[positions], drawn.attributes.size
    truth = pack_graders(read_rows(data.masks, rows, *centre(data.size, size)), graders)
    deterministic = read_rows(drawn.deterministic, positions)[:, None]
    predictors = {
        "model": read_rows(drawn.samples, positions, slice(max(n))),
        "deterministic": deterministic,
        "empty": np.zeros_like(deterministic),
        "graders": truth,
    }
    reconstruction = np.full(len(rows), np.nan)
    if drawn.reconstruction is not None:
        rebuilt = read_rows(drawn.reconstruction, positions)[:, graders]
        reconstruction = reconstruction_iou(rebuilt, truth)

    pixels = size[0] * size[1] if data.extents is None else data.extents[rows].prod(axis=1)

    def score(
        masks: Packed, population: int | None, weights: Weights | None
    ) -> Callable[[int], pd.DataFrame]:
        pairs = distances(masks, truth)

        def first(k: int) -> pd.DataFrame:
            own = None if weights is None else normalised(weights, k)
            seen = Seen(masks[:, :k], truth, votes(masks[:, :k], truth, pixels, own), own)
            table = _scores(seen, pairs, k, population)
            names = [data.graders[g] for g in graders]
            return table.assign(**of_masks([seen], dice(pairs.between[:, :k]), names, "equal"))

        return first

    yield from predictor_tables(
        pd.DataFrame(data.columns_of(rows)),
        predictors,
        drawn.attributes.population,
        n,
        score,
        of_model(drawn, positions, graders, max(n), reconstruction),
        None if drawn.sample_weights is None else drawn.sample_weights[positions],
    )


def of_model(
    drawn: Samples,
    positions: NDArray[np.int64],
    graders: list[int],
    n: int,
    reconstruction: NDArray[np.float64],
) -> dict[str, NDArray[np.float64]]:
    """Return the scores (images, n) that only a model has; `reconstruction` is (images,)."""
    shape = (len(positions), n)

    def stored(values: NDArray[np.float64] | None) -> NDArray[np.float64]:
        return np.full(shape, np.nan) if values is None else values[positions, :n]

    ncc_softmax = np.full(shape, np.nan)
    if drawn.ncc is not None:
        ncc_softmax = drawn.ncc[positions, :n][..., graders].mean(axis=2)
    entropy, expected = stored(drawn.softmax_entropy), stored(drawn.expected_entropy)
    return {
        "reconstruction_iou": np.broadcast_to(reconstruction[:, None], shape),
        "ncc_softmax": ncc_softmax,
        "softmax_entropy": entropy,
        "expected_entropy": expected,
        "mutual_information": entropy - expected,
    }


def _scores(seen: Seen, pairs: Distances, n: int, population: int | None) -> pd.DataFrame:
    """Return the scores of the first n masks, one row per image."""
    energy = energy_distance(pairs, n, population=population or None, sample_weights=seen.weights)
    return pd.DataFrame(
        {
            "ged": energy.ged,
            "ged_unbiased": energy.ged_unbiased,
            "hm_iou": matched_iou(pairs, n, sample_weights=seen.weights),
            "diversity": energy.diversity,
            "max_dice": max_dice(pairs, n),
            "ncc": ncc(seen.votes),
            **calibration_columns(reliability(seen.votes)),
            "ged_limit": np.nan if population is None else energy.ged_limit,
        }
    )
