"""Folds over subjects, in a JSON file that users can replace by their own."""

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from probunet.errors import ProbunetError, few
from probunet.files import read_file, written_whole
from probunet.limits import Many

Part = Literal["train", "validation", "test"]


def describe_alike(subjects: Iterable[str]) -> str | None:
    """Return a warning about subjects that may be one, in parts that must not share any.

    >>> describe_alike(["P1", "p 1", "P2"])
    '1 subject differs from another one only in case, spaces or form of letters (P1 and p 1), and \
counts as a different one, so that folds may divide it; give each subject one name'
    >>> describe_alike(["P1", "P2"])
    """
    same: dict[str, list[str]] = {}
    for subject in sorted(set(subjects)):
        letters = unicodedata.normalize("NFKC", subject).casefold()
        same.setdefault("".join(letters.split()), []).append(subject)
    groups = [group for group in same.values() if len(group) > 1]
    if not groups:
        return None
    count = sum(len(group) - 1 for group in groups)
    words = "1 subject differs" if count == 1 else f"{count} subjects differ"
    each = "counts as a different one" if count == 1 else "count as different ones"
    return (
        f"{words} from another one only in case, spaces or form of letters "
        f"({groups[0][0]} and {groups[0][1]}), and {each}, so that folds may divide it; give each "
        "subject one name"
    )


class Fold(BaseModel):
    """The subjects of one fold: for example patients or cities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: Many[str] = Field(min_length=1)
    validation: Many[str]  # may be empty: the last weights are then the best ones
    test: Many[str] = Field(min_length=1)

    @property
    def digest(self) -> str:
        """A hash of the subjects of each part, in any order."""
        parts = {name: sorted(subjects) for name, subjects in self}
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


class Folds(BaseModel):
    """All folds of a data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    seed: int | None = None  # None: not drawn
    split: str | None = None  # how subjects are divided; None: written by an older version
    folds: Many[Fold] = Field(min_length=1)

    def write(self, path: Path) -> None:
        """Write the folds to a file."""
        with written_whole(path) as aside:
            aside.write_text(self.model_dump_json(indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Folds":
        """Return the folds in a file.

        Raises
        ------
        ProbunetError
            If the file does not contain folds, or a subject is in two parts of one fold.
        """
        content = read_file(path, "no such file of folds.")
        try:
            folds = cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ProbunetError(f"{path}: {key}: {first['msg']}.") from None
        for number, fold in enumerate(folds.folds):
            parts = (*fold.train, *fold.validation, *fold.test)
            repeated = sorted(subject for subject, count in Counter(parts).items() if count > 1)
            if repeated:
                raise ProbunetError(
                    f"{path}: folds.{number}: {few(repeated)} occurs twice; name each subject in "
                    "only one of train, validation and test."
                )
        return folds

    def subjects(self, fold: int, part: Part) -> list[str]:
        """Return the subjects in a part of a fold."""
        if not 0 <= fold < len(self.folds):
            raise ProbunetError(f"fold {fold}: there are {len(self.folds)} folds, counted from 0.")
        chosen: tuple[str, ...] = getattr(self.folds[fold], part)
        return list(chosen)
