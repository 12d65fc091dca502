"""Folds over patients: drawn from a seed, or the user's own, checked."""

import numpy as np

from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds
from probunet.seeding import numpy_generator
from probunet.store import Crops

VALIDATION_SHARE = 1 / 6  # of a fold's patients that are not in its test set


def draw_folds(crops: Crops, folds: int, seed: int) -> Folds:
    """Return folds over the store's patients, drawn from a seed.

    The patients are shuffled and cut into as many test sets as there are folds, as equal in size
    as can be. Of the others a sixth, at least one, validates, and the rest trains; where there is
    just one other, it trains. Both CTs of a patient who has two stay together, since only
    patients are drawn.

    Raises
    ------
    ProbunetError
        If there are too few patients: every fold tests and trains on one at least.
    """
    patients = np.unique(crops.columns.patient)
    most = len(patients)
    if most < 2:
        raise ProbunetError(
            f"{crops.path}: holds {most} patient{'s' if most != 1 else ''}; a fold needs two at "
            "least, to train and to test."
        )
    if folds > most:
        raise ProbunetError(
            f"config.yaml: folds: {folds} is more than the {most} patients in {crops.path}; "
            f"choose 2 to {most}."
        )
    shuffled = numpy_generator(seed, "folds").permutation(patients)
    tests = np.array_split(shuffled, folds)
    return Folds(
        dataset=crops.attributes.dataset,
        seed=seed,
        folds=tuple(_fold(shuffled, test, seed, number) for number, test in enumerate(tests)),
    )


def check_folds(folds: Folds, crops: Crops, number: int) -> None:
    """Check a user's own folds against the store's patients and the configured number of folds.

    Raises
    ------
    ProbunetError
        If they name patients that the store does not have, or are more or fewer than `number`.
    """
    if len(folds.folds) != number:
        raise ProbunetError(
            f"config.yaml: folds: {number}, but the folds file holds {len(folds.folds)}; "
            "make the two equal."
        )
    named = {patient for fold in folds.folds for patient in _patients(fold)}
    unknown = sorted(named - set(crops.columns.patient.tolist()))
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise ProbunetError(
            f"the folds file names {', '.join(unknown[:5])}{more}, of whom {crops.path} has no "
            "crop; remove them from the file."
        )


def check_origin(crops: Crops, source: str | None, patients: int | None) -> None:
    """Check that the store is the one that the configuration asks for; studies share stores.

    Raises
    ------
    ProbunetError
        If it was made from another source, or of another number of patients.
    """
    found = len({*crops.columns.patient.tolist(), *crops.attributes.left_out_patients})
    for key, is_, asked in (
        ("source", crops.attributes.source, source),
        ("patients", found, patients),
    ):
        if asked is not None and is_ != asked:
            raise ProbunetError(
                f"config.yaml: datasets.{crops.attributes.dataset}.{key}: {asked}, but "
                f"{crops.path} was made with {is_}; name another folder in paths.data, or remove "
                "the store to have it made again."
            )


def _fold(patients: np.ndarray, test: np.ndarray, seed: int, number: int) -> Fold:
    others = patients[~np.isin(patients, test)]
    shuffled = numpy_generator(seed, "validation", number).permutation(others)
    validation = min(max(1, round(len(others) * VALIDATION_SHARE)), len(others) - 1)
    return Fold(
        train=tuple(sorted(shuffled[validation:].tolist())),
        validation=tuple(sorted(shuffled[:validation].tolist())),
        test=tuple(sorted(test.tolist())),
    )


def _patients(fold: Fold) -> tuple[str, ...]:
    return (*fold.train, *fold.validation, *fold.test)
