"""Folds over subjects: drawn from a seed, the publisher's, or the user's own, checked."""

import logging
from typing import NamedTuple

import numpy as np

from probunet.cityscapes import TEST_CITIES, TRAIN_CITIES, VALIDATION_CITIES
from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds
from probunet.seeding import numpy_generator
from probunet.store import Data, Images, Scenes

VALIDATION_SHARE = 1 / 6  # of a fold's subjects that are not in its test set

logger = logging.getLogger(__name__)


def draw_folds(data: Data, folds: int, seed: int) -> Folds:
    """Return folds over the store's subjects, drawn from a seed.

    The subjects are shuffled and cut into as many test sets as there are
    folds, as equal in size as can be. Of the others a sixth, at least one, validates, and the rest
    trains; where there is just one other, it trains. All that is of one subject stays together,
    both CTs of a patient who has two, since only subjects are drawn.

    Raises
    ------
    ProbunetError
        If there are too few subjects: every fold tests and trains on one at least.
    """
    subjects, words = np.unique(data.subjects), _words(data)
    most = len(subjects)
    if most < 2:
        raise ProbunetError(
            f"{data.path}: holds {most} {words.one if most == 1 else words.many}; a fold needs two "
            "at least, to train and to test."
        )
    if folds > most:
        raise ProbunetError(
            f"config.yaml: folds: {folds} is more than the {most} {words.many} in {data.path}; "
            f"choose 2 to {most}."
        )
    shuffled = numpy_generator(seed, "folds").permutation(subjects)
    tests = np.array_split(shuffled, folds)
    return Folds(
        dataset=data.attributes.dataset,
        seed=seed,
        folds=tuple(_fold(shuffled, test, seed, number) for number, test in enumerate(tests)),
    )


def official_folds(data: Data) -> Folds:
    """Return the one fold of the published split of Cityscapes (Kohl et al. 2018, appendix H.2).

    Three of the publisher's training cities validate, and its validation cities test.

    Raises
    ------
    ProbunetError
        If the store has cities that are not in the split, or lacks some that validate or test.
    """
    if not isinstance(data, Scenes):
        raise ProbunetError(f"{data.path}: has no official split; draw folds, or give your own.")
    found = set(data.subjects.tolist())
    train = sorted(found & {*TRAIN_CITIES})
    unknown = sorted(found - {*TRAIN_CITIES, *VALIDATION_CITIES, *TEST_CITIES})
    lacking = sorted({*VALIDATION_CITIES, *TEST_CITIES} - found)
    instead = "draw folds with `split: cities` (datasets.cityscapes in config.yaml)"
    if unknown:
        raise ProbunetError(
            f"{data.path}: the official split does not know {_few(unknown)}; {instead}."
        )
    if lacking or not train:
        what = _few(lacking) if lacking else "training cities"
        raise ProbunetError(
            f"{data.path}: the official split needs {what}, of which the store has no scene; "
            f"fetch and prepare them, or {instead}."
        )
    if len(train) < len(TRAIN_CITIES) and not data.attributes.synthetic:
        absent = _few(sorted({*TRAIN_CITIES} - found))
        logger.warning("%s: trains without %s, of which there is no scene", data.path, absent)
    fold = Fold(train=tuple(train), validation=VALIDATION_CITIES, test=TEST_CITIES)
    return Folds(dataset=data.attributes.dataset, folds=(fold,))


def check_folds(folds: Folds, data: Data, number: int) -> None:
    """Check a user's own folds against the store's subjects and the configured number of folds.

    Raises
    ------
    ProbunetError
        If they name subjects that the store does not have, or are more or fewer than `number`.
    """
    if len(folds.folds) != number:
        raise ProbunetError(
            f"config.yaml: folds: {number}, but the folds file holds {len(folds.folds)}; "
            "make the two equal."
        )
    named = {subject for fold in folds.folds for subject in _subjects(fold)}
    unknown = sorted(named - set(data.subjects.tolist()))
    if unknown:
        words = _words(data)
        raise ProbunetError(
            f"the folds file names {_few(unknown)}, of {words.which} {data.path} has no "
            f"{words.image}; remove them from the file."
        )


def check_origin(
    data: Data,
    source: str | None,
    count: int | None,
    size: tuple[int, int] | None = None,
    window: tuple[float, float] | None = None,
) -> None:
    """Check that the store is the one that the configuration asks for; studies share stores.

    `count` is the number of patients or scenes that it was made of, those left out among them;
    `size` the scenes' or images' height and width; `window` the values of images that become 0 and
    1. What is None is not checked.

    Raises
    ------
    ProbunetError
        If it was made from another source, of another number, or in another size.
    """
    made: list[tuple[str, object, object]] = [("source", data.attributes.source, source)]
    if isinstance(data, Scenes):
        made.append(("images", len(data) + sum(data.attributes.left_out.values()), count))
        made.append(("size", list(data.attributes.size), size and list(size)))
    elif isinstance(data, Images):
        made.append(("size", list(data.attributes.size), size and list(size)))
        made.append(("window", list(data.attributes.window), window and list(window)))
    else:
        patients = {*data.subjects.tolist(), *data.attributes.left_out_patients}
        made.append(("patients", len(patients), count))
    for name, is_, asked in made:
        if asked is not None and is_ != asked:
            raise ProbunetError(
                f"config.yaml: datasets.{data.attributes.dataset}.{name}: {asked}, but "
                f"{data.path} was made with {is_}; name another folder in paths.data, or remove "
                "the store to have it made again."
            )


class _Words(NamedTuple):
    one: str
    many: str
    which: str
    image: str


def _words(data: Data) -> _Words:
    if isinstance(data, Scenes):
        return _Words("city", "cities", "which", "scene")
    if isinstance(data, Images):
        return _Words("subject", "subjects", "whom", "image")
    return _Words("patient", "patients", "whom", "crop")


def _few(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def _fold(subjects: np.ndarray, test: np.ndarray, seed: int, number: int) -> Fold:
    others = subjects[~np.isin(subjects, test)]
    shuffled = numpy_generator(seed, "validation", number).permutation(others)
    validation = min(max(1, round(len(others) * VALIDATION_SHARE)), len(others) - 1)
    return Fold(
        train=tuple(sorted(shuffled[validation:].tolist())),
        validation=tuple(sorted(shuffled[:validation].tolist())),
        test=tuple(sorted(test.tolist())),
    )


def _subjects(fold: Fold) -> tuple[str, ...]:
    return (*fold.train, *fold.validation, *fold.test)
