"""Splits of released sets, as one fold: the publisher's, and MoSE's by CT series."""

import logging
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.released.listing import in_several_splits
from probunet.errors import ProbunetError, few
from probunet.folds import Fold, Folds
from probunet.truth.base import Data

_log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")  # of the publisher's split
SERIES = 875  # of the released set
_SHARE = 0.2  # of the series that remain: for testing, then for validation
_INSTEAD = "draw folds with `split: patients` (datasets.lidc in the configuration)"


def published_split(data: Data, splits: Sequence[str]) -> Folds:
    """Return the publisher's split over patients; `splits` has the part of each crop.

    Raises
    ------
    ProbunetError
        If the store lacks a part of it, or a patient is in several parts.
    """
    patients = data.subjects.tolist()
    if shared := in_several_splits(patients, splits):
        raise ProbunetError(
            f"{data.path}: the published split has patients in several parts: {few(shared)}; "
            f"{_INSTEAD}."
        )
    pairs = {*zip(patients, splits, strict=True)}
    parts = [sorted(patient for patient, split in pairs if split == part) for part in PARTS]
    if lacking := [part for part, found in zip(PARTS, parts, strict=True) if not found]:
        raise ProbunetError(
            f"{data.path}: the published split needs crops of {', '.join(lacking)}, which the "
            f"store lacks; {_INSTEAD}."
        )
    return _one_fold(data, "published", *parts)


def series_split(data: Data) -> Folds:
    """Return a split over CT series, 64, 16 and 20 %, as MoSE draws it.

    It is `train_test_split(..., test_size=0.2, random_state=0)` of scikit-learn, once on the sorted
    series and once on those that are not for testing. Patients with two series can be in two parts.

    Raises
    ------
    ProbunetError
        If there are fewer than three series.
    """
    series = np.unique(data.columns.series)
    if len(series) < 3:
        raise ProbunetError(
            f"{data.path}: holds {len(series)} CT series; a split over series needs three or more."
        )
    if len(series) != SERIES:
        _log.warning(
            "%s: holds %d of %d CT series, so its split is not the one of published figures",
            data.path,
            len(series),
            SERIES,
        )
    others, test = _divide(series)
    train, validation = _divide(others)
    return _one_fold(data, "series", *(sorted(part.tolist()) for part in (train, validation, test)))


def _divide(items: NDArray[np.str_]) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return the larger and the smaller part of items, in scikit-learn's order."""
    # the legacy generator, because scikit-learn uses it
    order = np.random.RandomState(0).permutation(len(items))
    number = math.ceil(_SHARE * len(items))
    return items[order[number:]], items[order[:number]]


def _one_fold(
    data: Data, split: str, train: list[str], validation: list[str], test: list[str]
) -> Folds:
    fold = Fold(train=tuple(train), validation=tuple(validation), test=tuple(test))
    return Folds(dataset=data.attributes.dataset, split=split, folds=(fold,))
