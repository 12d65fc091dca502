"""Choose folds over subjects: drawn with a seed, the publisher's split, or the user's file."""

import logging
from pathlib import Path

import numpy as np

from probunet.config import Source
from probunet.errors import ProbunetError, few
from probunet.folds import Fold, Folds, describe_alike
from probunet.seeding import numpy_generator
from probunet.truth.base import Data

_log = logging.getLogger(__name__)

VALIDATION_SHARE = 1 / 6  # of the subjects outside of a fold's test set


def choose_folds(
    data: Data, source: Source, number: int, seed: int = 0, where: str = "--settings"
) -> Folds:
    """Return a data set's folds: those of the user's file, the publisher's split, or drawn ones.

    `source` is the data set's section of the configuration, which the store must match; `number`
    is the number of folds in the configuration, and `where` its file or option, for errors.

    Raises
    ------
    ProbunetError
        If the store does not match, or cannot be divided in this way.
    """
    check_origin(data, source, where)
    if warning := describe_alike(data.subjects.tolist()):
        _log.warning("%s: warning: %s", data.path, warning)
    if source.folds_file is not None:
        folds = Folds.read(Path(source.folds_file))
        check_folds(folds, data, number, where)
        return folds
    if source.has_fixed_split:
        return data.published_split()
    return draw_folds(data, number, seed, where)


def draw_folds(data: Data, folds: int, seed: int, where: str = "--settings") -> Folds:
    """Return folds over the store's subjects, drawn with a seed.

    The subjects are shuffled and split into near-equal test sets, one per fold. Of the other
    subjects a sixth, but at least one, is for validation and the remainder for training; if there
    is only one, it is for training. All images of a subject are in the same set.

    Raises
    ------
    ProbunetError
        If there are too few subjects: every fold needs one for testing and one for training.
    """
    subjects, words = np.unique(data.subjects), data.words
    most = len(subjects)
    if most < 2:
        raise ProbunetError(
            f"{data.path}: holds {most} {words.subject if most == 1 else words.subjects}; folds "
            "need at least two, one for training and one for testing."
        )
    if not 2 <= folds <= most:
        problem = (
            "needs a fixed split" if folds < 2 else f"is more than the {most} {words.subjects}"
        )
        raise ProbunetError(
            f"{where}: folds: {folds} {problem} in {data.path}; choose 2 to {most}."
        )
    shuffled = numpy_generator(seed, "folds").permutation(subjects)
    tests = np.array_split(shuffled, folds)
    return Folds(
        dataset=data.attributes.dataset,
        seed=seed,
        folds=tuple(_fold(shuffled, test, seed, number) for number, test in enumerate(tests)),
    )


def check_folds(folds: Folds, data: Data, number: int, where: str = "--settings") -> None:
    """Check the user's folds.

    Raises
    ------
    ProbunetError
        If they name subjects that the store does not have or are of another data set, or if their
        number is not `number`.
    """
    if len(folds.folds) != number:
        raise ProbunetError(
            f"{where}: folds: {number}, but the folds file holds {len(folds.folds)}; "
            "make the two equal."
        )
    named = {
        subject for fold in folds.folds for subject in (*fold.train, *fold.validation, *fold.test)
    }
    unknown = sorted(named - set(data.subjects.tolist()))
    if unknown:
        words = data.words
        raise ProbunetError(
            f"the folds file names {words.subjects} without any {words.image} in {data.path}: "
            f"{few(unknown)}; remove them from the file."
        )
    if folds.dataset != data.attributes.dataset:
        raise ProbunetError(
            f"the folds file is of the data set {folds.dataset}, but {data.path} contains "
            f"{data.attributes.dataset}; correct `dataset` in the file, or use another one."
        )


def check_origin(data: Data, source: Source, where: str = "--settings") -> None:
    """Check that the store matches the configuration, because studies share stores.

    Raises
    ------
    ProbunetError
        If its source, number of images or size differs.
    """
    for name, found, asked in data.made_from(source):
        if asked is not None and found != asked:
            raise ProbunetError(
                f"{where}: datasets.{data.attributes.dataset}.{name}: {_as_yaml(asked)}, but "
                f"{data.path} was made with {_as_yaml(found)}; name another folder in paths.data, "
                "or remove the store so that it is made again."
            )


def _as_yaml(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _fold(subjects: np.ndarray, test: np.ndarray, seed: int, number: int) -> Fold:
    others = subjects[~np.isin(subjects, test)]
    shuffled = numpy_generator(seed, "validation", number).permutation(others)
    validation = min(max(1, round(len(others) * VALIDATION_SHARE)), len(others) - 1)
    return Fold(
        train=tuple(sorted(shuffled[validation:].tolist())),
        validation=tuple(sorted(shuffled[:validation].tolist())),
        test=tuple(sorted(test.tolist())),
    )
