"""Scores of label maps against the 32 modes, weighted by their probabilities."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.flips import FIRST, IGNORE, MODE_PROBABILITIES, drawn_label
from probunet.metrics.calibration import calibration_columns
from probunet.metrics.distances import Distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.mode_calibration import (
    exact_reliability,
    exact_votes,
    mode_reliability,
    mode_votes,
)
from probunet.metrics.mode_shares import mode_shares, named_pixels
from probunet.metrics.modes import between_modes, distances_of
from probunet.metrics.overlaps import Overlaps, overlaps
from probunet.metrics.reconstruction import scene_reconstruction_iou
from probunet.metrics.reported import of_votes
from probunet.metrics.sample_weights import Weights, normalised
from probunet.metrics.votes import Votes
from probunet.store import Samples
from probunet.truth.modes import Flipped

Maps = NDArray[np.uint8]
_ABSENT = dict.fromkeys(("max_dice", "ncc", "reconstruction_iou", "ncc_softmax"), np.nan)
_BLOCK = 16  # images at a time, spread over threads: 34 MB of 16 samples of 256x512
_SHARES = ["mode_share", "first_pixels", "second_pixels", "present"]


def score_scenes(
    drawn: Samples, scenes: Flipped, seed: int, n: list[int]
) -> Iterator[pd.DataFrame]:
    """Yield the scores of some test images at a time, to save memory.

    The rows of the predictors `model` and `deterministic` have further columns: `mode_share`,
    `first_pixels` and `second_pixels` (see `metrics.mode_shares`), and `present`, whether the label
    contains each of the five classes. `seed` is the run's, which drew the flips of the labels that
    the model reconstructs.
    """
    for start in range(0, len(drawn.rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        rows = drawn.rows[part]
        labels = np.asarray(scenes.label.oindex[rows])
        images = pd.DataFrame(scenes.columns_of(rows))
        reconstruction = _reconstruction_iou(drawn, part, labels, seed)
        maps = np.asarray(drawn.samples[part, : max(n)])
        weights = None if drawn.sample_weights is None else drawn.sample_weights[part]
        model = _score_maps(maps, labels, n, drawn.attributes.population, weights)
        single = _score_maps(np.asarray(drawn.deterministic[part])[:, None], labels, [1], 1)[1]
        empty = _score_maps(np.full_like(labels, IGNORE)[:, None], labels, [1], 1)[1]
        exact = _score_modes(labels)
        for k in n:
            for predictor, scores in (
                ("model", model[k].assign(reconstruction_iou=reconstruction)),
                ("deterministic", _repeated(single, k)),
                ("empty", _repeated(empty, k).drop(columns=_SHARES)),
                ("graders", exact if k > 1 else exact.assign(ged_unbiased=np.nan)),
            ):
                yield pd.concat((images.assign(predictor=predictor, n=k), scores), axis=1)


def _reconstruction_iou(
    drawn: Samples, part: slice, labels: Maps, seed: int
) -> NDArray[np.float64]:
    if drawn.reconstruction is None:
        return np.full(len(labels), np.nan)
    rows = drawn.rows[part].tolist()
    flipped = [drawn_label(label, seed, row) for label, row in zip(labels, rows, strict=True)]
    rebuilt = np.asarray(drawn.reconstruction[part])[:, 0]
    return scene_reconstruction_iou(rebuilt, np.stack(flipped), labels)


def _score_maps(
    samples: Maps,
    labels: Maps,
    n: list[int],
    population: int | None,
    weights: Weights | None = None,
) -> dict[int, pd.DataFrame]:
    """Return by n the scores of the first n maps (images, n, H, W), one row per image."""
    shared = overlaps(samples, labels)
    pairs = distances_of(shared)
    scores = {}
    for k in n:
        own = None if weights is None else normalised(weights, k)
        scores[k] = _scores(
            pairs, shared, mode_votes(samples[:, :k], labels, own), k, population, own
        )
    return scores


def _scores(
    pairs: Distances,
    shared: Overlaps,
    votes: list[Votes],
    n: int,
    population: int | None,
    weights: NDArray[np.float64] | None,
) -> pd.DataFrame:
    energy = energy_distance(pairs, n, MODE_PROBABILITIES, population or None, weights)
    first, second = named_pixels(shared, n, weights)
    return pd.DataFrame(
        {
            "ged": energy.ged,
            "ged_unbiased": energy.ged_unbiased,
            "hm_iou": matched_iou(pairs, n, MODE_PROBABILITIES, weights),
            "diversity": energy.diversity,
            **calibration_columns(mode_reliability(votes)),
            "ged_limit": np.nan if population is None else energy.ged_limit,
            "mode_share": list(mode_shares(pairs, n, weights)),
            "first_pixels": list(first),
            "second_pixels": list(second),
            "present": list(shared.present),
            **of_votes(votes),
        }
    ).assign(**_ABSENT)


def _repeated(scores: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the scores of n copies of a map from those of one: the diversity is 0."""
    unbiased = scores["ged"] if n > 1 else np.nan
    pixels = {name: n * scores[name] for name in ("first_pixels", "second_pixels")}
    return scores.assign(ged_unbiased=unbiased, **pixels)


def _score_modes(labels: Maps) -> pd.DataFrame:
    """Return the scores of the modes with their probabilities, the best possible ones.

    They are the exact distribution and not samples of it, so `ged_unbiased` and `ged_limit` equal
    `ged`.
    """
    present = np.stack([(labels == first).any(axis=(1, 2)) for first in FIRST], axis=1)
    perfect = np.where(present.any(axis=1), 0.0, np.nan)
    return pd.DataFrame(
        {
            "ged": perfect,
            "ged_unbiased": perfect,
            "hm_iou": 1 + perfect,
            "diversity": between_modes(present) @ MODE_PROBABILITIES @ MODE_PROBABILITIES,
            **calibration_columns(exact_reliability(labels)),
            "ged_limit": perfect,
            **of_votes(exact_votes(labels)),
        }
    ).assign(**_ABSENT)
