"""Scores of label maps against the label maps of several graders, and those of each class.

The columns of a class have its name behind a colon, `ged:cup`. Where no grader of an image marks a
class, its scores are NaN if absent classes are left out. An image of which the graders ignore every
pixel has no scores.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from probunet.flips import IGNORE
from probunet.metrics.bits import Packed, bits_of
from probunet.metrics.calibration import Reliability, calibration_columns, reliability, total
from probunet.metrics.classes import (
    Maps,
    class_dice,
    class_distances,
    class_reconstruction_iou,
    ignored_pixels,
    mean_distances,
    packed_classes,
)
from probunet.metrics.distances import Distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.reported import of_masks
from probunet.metrics.sample_weights import Weights, mean_over_pairs, normalised
from probunet.metrics.seen import Seen
from probunet.metrics.votes import votes
from probunet.store import Samples
from probunet.truth.graders.scoring import block_of, of_model
from probunet.truth.labels import Labelled, stored_maps
from probunet.truth.predictors import predictor_tables
from probunet.truth.rows import centre, read_rows

_BLOCK = 16  # images at a time


def score_labels(drawn: Samples, data: Labelled, n: list[int]) -> Iterator[pd.DataFrame]:
    """Yield the scores of some test images at a time, to save memory.

    The graders of an image have equal weights; images with the same graders are scored together.
    """
    block = block_of(drawn, _BLOCK)
    for start in range(0, len(drawn.rows), block):
        given = data.given[drawn.rows[start : start + block]]
        for bits in np.unique(given).tolist():
            positions = start + np.flatnonzero(given == bits)
            yield from _score_positions(drawn, data, positions, bits_of(bits), n)


def _score_positions(
    drawn: Samples, data: Labelled, positions: NDArray[np.int64], graders: list[int], n: list[int]
) -> Iterator[pd.DataFrame]:
    """Yield the scores of test images that have the same graders."""
    rows, size = drawn.rows[positions], drawn.attributes.size
    truth = np.moveaxis(read_rows(data.labels, rows, *centre(data.size, size)), -1, 1)[:, graders]
    scorer = _Scorer(data, truth, [data.graders[g] for g in graders])

    def maps(stored: NDArray[np.uint8]) -> Maps:
        return stored_maps(stored, data.classes, size)

    deterministic = maps(read_rows(drawn.deterministic, positions)[:, None])
    predictors = {
        "model": maps(read_rows(drawn.samples, positions, slice(max(n)))),
        "deterministic": deterministic,
        "empty": np.full_like(deterministic, IGNORE),
        "graders": truth,
    }
    reconstruction = np.full(len(rows), np.nan)
    if drawn.reconstruction is not None:
        rebuilt = maps(read_rows(drawn.reconstruction, positions)[:, graders])
        reconstruction = scorer.reconstruction_iou(rebuilt)
    yield from predictor_tables(
        pd.DataFrame(data.columns_of(rows)),
        predictors,
        drawn.attributes.population,
        n,
        scorer.score,
        of_model(drawn, positions, graders, max(n), reconstruction),
        None if drawn.sample_weights is None else drawn.sample_weights[positions],
    )


class _Scorer:
    """Scores of label maps of some images against those of their graders (images, G, H, W)."""

    def __init__(self, data: Labelled, truth: Maps, graders: list[str]) -> None:
        self.data, self.graders = data, graders
        self.ignored = ignored_pixels(truth)
        self.pixels = (~self.ignored).sum(axis=(1, 2))  # (images,)
        self.truth = self.packed(truth)

    def packed(self, maps: Maps) -> list[Packed]:
        """Return the scored pixels of maps, by class."""
        return packed_classes(maps, self.ignored, self.data.scored_classes)

    def reconstruction_iou(self, rebuilt: Maps) -> NDArray[np.float64]:
        """Return the mean IoU (images,) of the graders' maps and their reconstructions."""
        return class_reconstruction_iou(self.packed(rebuilt), self.truth, self.data.absent)

    def score(
        self, maps: Maps, population: int | None, weights: Weights | None
    ) -> Callable[[int], pd.DataFrame]:
        """Return a function of n: the scores of the first n maps, one row per image."""
        masks, absent = self.packed(maps), self.data.absent
        by_class = class_distances(masks, self.truth)
        for one in by_class:
            one.between[self.pixels == 0] = np.nan
        pairs = mean_distances(by_class, masks, self.truth, absent)
        dice = class_dice(by_class, masks, self.truth, absent)

        def first(n: int) -> pd.DataFrame:
            own = None if weights is None else normalised(weights, n)
            energy = energy_distance(pairs, n, population=population or None, sample_weights=own)
            seen = [
                self._seen(one[:, :n], of, own) for one, of in zip(masks, self.truth, strict=True)
            ]
            bins = [reliability(one.votes) for one in seen]
            return pd.DataFrame(
                {
                    "ged": energy.ged,
                    "ged_unbiased": energy.ged_unbiased,
                    "hm_iou": matched_iou(pairs, n, sample_weights=own),
                    "diversity": energy.diversity,
                    "max_dice": dice[:, :n].max(axis=1).mean(axis=1),
                    "ncc": np.nan,
                    **calibration_columns(total(bins)),
                    "ged_limit": np.nan if population is None else energy.ged_limit,
                    **self._by_class(by_class, bins, n, own),
                    **of_masks(seen, dice[:, :n], self.graders, absent),
                }
            )

        return first

    def _seen(self, masks: Packed, graders: Packed, weights: NDArray[np.float64] | None) -> Seen:
        return Seen(masks, graders, votes(masks, graders, self.pixels, weights), weights)

    def _by_class(
        self,
        by_class: Sequence[Distances],
        bins: Sequence[Reliability],
        n: int,
        weights: Weights | None,
    ) -> dict[str, object]:
        """Return the columns of the classes."""
        columns: dict[str, object] = {}
        for k, one, of, truth in zip(
            self.data.scored_classes, by_class, bins, self.truth, strict=True
        ):
            name = self.data.class_names[k]
            left_out = self.data.absent == "left_out" and ~truth.any(axis=(1, 2))
            scores = {
                "ged": energy_distance(one, n, sample_weights=weights).ged,
                "iou": 1 - mean_over_pairs(one.between[:, :n], weights),
            }
            columns |= {
                f"{column}:{name}": np.where(left_out, np.nan, values)
                for column, values in scores.items()
            }
            columns |= {f"{c}:{name}": values for c, values in calibration_columns(of).items()}
        return columns
