"""A run and its folder. No other module formats or parses such a path."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Self

import numpy as np

from probunet.errors import ProbunetError

TEMPLATE = "{dataset}/{model}/beta-{beta}/fold-{fold}/seed-{seed}"
MEMBER = TEMPLATE + "/member-{member}"
FINISHED = "finished"  # folder below a training's checkpoint: links to its outputs
_PATTERN = re.compile(
    r"(?P<dataset>[^/]+)/(?P<model>[^/]+)/beta-(?P<beta>\d{1,99}(\.\d+)?)"
    r"/fold-(?P<fold>\d{1,18})/seed-(?P<seed>\d{1,18})(/member-(?P<member>\d{1,18}))?$"
)


class WrongPlaceError(ProbunetError):
    """A run's file or folder lies in the folder of another run."""


def format_beta(beta: float) -> str:
    """Return beta as in a run's path: the shortest decimal number with the same value.

    >>> format_beta(10.0), format_beta(0.1), format_beta(1e-3)
    ('10', '0.1', '0.001')
    """
    return np.format_float_positional(beta, trim="-")


@dataclass(frozen=True, order=True)
class Run:
    """A model on one fold of a data set, with one beta and one seed.

    Each member of an ensemble is a run in a folder below that of the ensemble.
    """

    dataset: str
    model: str
    beta: float
    fold: int
    seed: int
    member: int | None = None  # None: not a member of an ensemble

    @property
    def folder(self) -> str:
        """The run's folder below `results/`."""
        template = TEMPLATE if self.member is None else MEMBER
        return template.format(**self.wildcards, member=self.member)

    @property
    def wildcards(self) -> dict[str, str]:
        """The parts of the path by the names of the workflow's wildcards."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "beta": format_beta(self.beta),
            "fold": str(self.fold),
            "seed": str(self.seed),
        }

    @classmethod
    def of_dataset(cls, folder: PurePath, dataset: str) -> Self:
        """Return the run of a folder; raise ProbunetError if it is on another data set."""
        run = cls.parse(folder.as_posix())
        if run.dataset != dataset:
            raise ProbunetError(
                f"{run.folder}: is a run on {run.dataset}, but --dataset is {dataset}; correct "
                "one of them."
            )
        return run

    @classmethod
    def of_path(cls, folder: Path) -> Self | None:
        """Return the run whose folder this is; None for another folder."""
        try:
            return cls.parse(folder.resolve().as_posix())
        except ProbunetError:
            return None

    def check_place(self, path: Path) -> None:
        """Raise WrongPlaceError if a file of this run lies in the folder of another run."""
        place = self.of_path(path.parent)
        if place is not None and place != self:
            raise WrongPlaceError(
                f"{path}: belongs to the run {self.folder}, but lies in the folder of "
                f"{place.folder}; move it back, or remove it and run the study again."
            )

    @classmethod
    def parse(cls, folder: str | PurePosixPath) -> Self:
        """Return the run of a folder; leading folders are ignored.

        >>> Run.parse("results/lidc/probabilistic_unet/beta-0.5/fold-3/seed-0").beta
        0.5
        """
        match = _PATTERN.search(str(folder))
        if match is None:
            raise ProbunetError(f"{folder}: not a run's folder; expected .../{TEMPLATE}")
        part = match.groupdict()
        member = None if part["member"] is None else int(part["member"])
        fold, seed = int(part["fold"]), int(part["seed"])
        return cls(part["dataset"], part["model"], float(part["beta"]), fold, seed, member)
