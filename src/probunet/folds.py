"""Folds over subjects, in a JSON file that users can replace by their own."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from probunet.errors import ProbunetError, few
from probunet.files import written_whole

Part = Literal["train", "validation", "test"]


class Fold(BaseModel):
    """The subjects of one fold: for example patients or cities."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    train: tuple[str, ...] = Field(min_length=1)
    validation: tuple[str, ...]  # may be empty: the last weights are then the best ones
    test: tuple[str, ...] = Field(min_length=1)


class Folds(BaseModel):
    """All folds of a data set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    dataset: str
    seed: int | None = None  # None: not drawn
    folds: tuple[Fold, ...] = Field(min_length=1)

    def write(self, path: Path) -> None:
        """Write the folds to a file."""
        with written_whole(path) as aside:
            aside.write_text(self.model_dump_json(indent=1) + "\n")

    @classmethod
    def read(cls, path: Path) -> "Folds":
        """Return the folds in a file.

        Raises
        ------
        ProbunetError
            If the file does not contain folds, or a subject is in two parts of one fold.
        """
        try:
            folds = cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ProbunetError(f"{path}: no such file of folds.") from None
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(str(part) for part in first["loc"])
            raise ProbunetError(f"{path}: {key}: {first['msg']}.") from None
        for number, fold in enumerate(folds.folds):
            parts = (*fold.train, *fold.validation, *fold.test)
            repeated = sorted({subject for subject in parts if parts.count(subject) > 1})
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
