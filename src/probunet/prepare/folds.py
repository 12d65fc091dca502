"""Choose folds over subjects: drawn with a seed, the publisher's split, or the user's file."""

import csv
import logging
from collections import Counter
from pathlib import Path

import numpy as np

from probunet.config import Source
from probunet.errors import ProbunetError, few
from probunet.files import written_whole
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
        return folds.model_copy(update={"split": folds.split or "file"})
    if source.has_fixed_split:
        return data.published_split()
    return draw_folds(data, number, seed, where)


def folds_like(data: Data, other: Data) -> Folds:
    """Return the published split of another store, over the subjects that both stores have.

    Raises
    ------
    ProbunetError
        If that store has no published split or is of another data set, or nothing of its training
        or test part is in `data`.
    """
    if other.attributes.dataset != data.attributes.dataset:
        raise ProbunetError(
            f"{other.path}: contains {other.attributes.dataset}, and {data.path} "
            f"{data.attributes.dataset}; name a store of the same data set."
        )
    (split,) = other.published_split().folds
    known, parts = data.fold_names, dict(split)
    kept = {part: tuple(name for name in names if name in known) for part, names in parts.items()}
    for part in ("train", "test"):
        if not kept[part]:
            raise ProbunetError(
                f"{data.path}: has none of the {len(parts[part])} that {other.path} has in "
                f"{part}; its split cannot be used."
            )
    lacking = [f"{len(parts[p]) - len(kept[p])} of {len(parts[p])} in {p}" for p in parts]
    used = data.rows_of([name for names in kept.values() for name in names])
    _log.info(
        "%s: the split of %s; not here are %s; %d of %d %s here are in no part of it",
        data.path,
        other.path,
        ", ".join(lacking),
        len(data) - len(used),
        len(data),
        data.words.images,
    )
    fold = Fold(**kept)
    name = f"as {other.protocol or other.path.name}"
    return Folds(dataset=data.attributes.dataset, split=name, folds=(fold,))


def write_shared(data: Data, other: Data, path: Path) -> None:
    """Write a table, CSV, of the images that two stores have in common; log how many.

    Its columns are those of `data` with the row, then the other store's with the prefix `other_`.
    """
    pairs = data.shared_images(other)
    columns = data.columns_of(pairs[:, 0])
    columns |= {f"other_{name}": c for name, c in other.columns_of(pairs[:, 1]).items()}
    with written_whole(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*(column.tolist() for column in columns.values()), strict=True))
    counts = [len(set(side.tolist())) for side in pairs.T]
    _log.info(
        "%s: %d of %d %s of %s are also among the %d of %s, as %d",
        path,
        counts[0],
        len(data),
        data.words.images,
        data.path,
        len(other),
        other.path,
        counts[1],
    )


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
        split=words.subjects,
        folds=tuple(_fold(shuffled, test, seed, number) for number, test in enumerate(tests)),
    )


def check_folds(folds: Folds, data: Data, number: int, where: str = "--settings") -> None:
    """Check the user's folds; warn about subjects in the test sets of several folds.

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
    unknown = sorted(named - data.fold_names)
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
    times = Counter(subject for fold in folds.folds for subject in fold.test)
    if repeated := sorted(subject for subject, count in times.items() if count > 1):
        _log.warning(
            "the folds file: warning: tests %s in several folds (%s): they count several times in "
            "means over folds, and intervals are too narrow; for a cross-validation, name each in "
            "the test set of one fold only",
            f"{len(repeated)} of the {len(times)} {data.words.subjects}",
            few(repeated),
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
