"""Scores of scenes of Cityscapes: label maps against the 32 modes, by their probabilities."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.cityscapes import FIRST, IGNORE, MODE_PROBABILITIES, drawn_label
from probunet.metrics.calibration import Reliability, expected_calibration_error
from probunet.metrics.distances import Distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.mode_calibration import exact_reliability, mode_reliability
from probunet.metrics.mode_shares import mode_shares, named_pixels
from probunet.metrics.modes import between_modes, distances_of
from probunet.metrics.overlaps import Overlaps, overlaps
from probunet.metrics.reconstruction import scene_reconstruction_iou
from probunet.store import Samples, Scenes

Maps = NDArray[np.uint8]
_ABSENT = dict.fromkeys(("max_dice", "ncc", "reconstruction_iou"), np.nan)
_BLOCK = 16  # images at a time, spread over threads: 34 MB of 16 samples of 256x512
_TAKEN = ["mode_share", "first_pixels", "second_pixels", "present"]


def score_scenes(drawn: Samples, scenes: Scenes, seed: int, n: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the scores of some images at a time, so that memory does not grow with the data.

    The model's rows, and those of its single best guess, tell besides which modes and names the
    samples take, see `metrics.mode_shares`: `mode_share`, `first_pixels`, `second_pixels`, and
    whether the label has each class, `present`. `seed`, the run's, is that of the flips which the
    model was shown for its reconstructions.
    """
    for start in range(0, len(drawn.rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        rows = drawn.rows[part]
        labels = np.asarray(scenes.label.oindex[rows])
        images = _columns(scenes, rows)
        rebuilt = _reconstruction_iou(drawn, part, labels, seed)
        model = _of_maps(np.asarray(drawn.samples[part, : max(n)]), labels, n)
        guess = _of_maps(np.asarray(drawn.deterministic[part])[:, None], labels, [1])[1]
        nothing = _of_maps(np.full_like(labels, IGNORE)[:, None], labels, [1])[1]
        exact = _of_modes(labels)
        for k in n:
            for predictor, scores in (
                ("model", model[k].assign(reconstruction_iou=rebuilt)),
                ("deterministic", _repeated(guess, k)),
                ("empty", _repeated(nothing, k).drop(columns=_TAKEN)),
                ("graders", exact if k > 1 else exact.assign(ged_unbiased=np.nan)),
            ):
                yield pd.concat((images.assign(predictor=predictor, n=k), scores), axis=1)


def _columns(scenes: Scenes, rows: NDArray[np.int64]) -> pd.DataFrame:
    city, frame = scenes.columns.city[rows], scenes.columns.frame[rows]
    subject = [f"{a}_{b}" for a, b in zip(city, frame, strict=True)]
    return pd.DataFrame({"row": rows, "city": city, "frame": frame, "subject": subject})


def _reconstruction_iou(
    drawn: Samples, part: slice, labels: Maps, seed: int
) -> NDArray[np.float64]:
    if drawn.reconstruction is None:
        return np.full(len(labels), np.nan)
    shown = [
        drawn_label(label, seed, int(row))
        for label, row in zip(labels, drawn.rows[part], strict=True)
    ]
    again = np.asarray(drawn.reconstruction[part])[:, 0]
    return scene_reconstruction_iou(again, np.stack(shown), labels)


def _of_maps(samples: Maps, labels: Maps, n: list[int]) -> dict[int, pd.DataFrame]:
    """Return, by n, the scores of the first n maps (images, n, H, W), one row per image."""
    shared = overlaps(samples, labels)
    pairs = distances_of(shared)
    return {k: _scores(pairs, shared, mode_reliability(samples[:, :k], labels), k) for k in n}


def _scores(pairs: Distances, shared: Overlaps, bins: Reliability, n: int) -> pd.DataFrame:
    energy = energy_distance(pairs, n, MODE_PROBABILITIES)
    first, second = named_pixels(shared, n)
    return pd.DataFrame(
        {
            "ged": energy.ged,
            "ged_unbiased": energy.ged_unbiased,
            "hm_iou": matched_iou(pairs, n, MODE_PROBABILITIES),
            "diversity": energy.diversity,
            **_calibration(bins),
            "mode_share": list(mode_shares(pairs, n)),
            "first_pixels": list(first),
            "second_pixels": list(second),
            "present": list(shared.present),
        }
    ).assign(**_ABSENT)


def _repeated(scores: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return the scores of one map as those of it n times, its diversity being 0."""
    unbiased = scores["ged"] if n > 1 else np.nan
    pixels = {name: n * scores[name] for name in ("first_pixels", "second_pixels")}
    return scores.assign(ged_unbiased=unbiased, **pixels)


def _of_modes(labels: Maps) -> pd.DataFrame:
    """Return the scores of the modes by their probabilities: nothing is left to be better.

    They are what is aimed at and no samples of it, so that there is no bias to take away.
    """
    present = np.stack([(labels == first).any(axis=(1, 2)) for first in FIRST], axis=1)
    pairs = between_modes(present)
    perfect = np.where(present.any(axis=1), 0.0, np.nan)
    return pd.DataFrame(
        {
            "ged": perfect,
            "ged_unbiased": perfect,
            "hm_iou": 1 + perfect,
            "diversity": pairs @ MODE_PROBABILITIES @ MODE_PROBABILITIES,
            **_calibration(exact_reliability(labels)),
        }
    ).assign(**_ABSENT)


def _calibration(bins: Reliability) -> dict[str, object]:
    return {
        "ece": expected_calibration_error(bins),
        "bin_pixels": list(bins.pixels),
        "bin_predicted": list(bins.predicted),
        "bin_marked": list(bins.marked),
    }
