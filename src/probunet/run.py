"""A run and its folder: the only place that formats or parses such a path."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Self

import numpy as np

from probunet.errors import ProbunetError

TEMPLATE = "{dataset}/{model}/beta-{beta}/fold-{fold}/seed-{seed}"
MEMBER = TEMPLATE + "/member-{member}"
_PATTERN = re.compile(
    r"(?P<dataset>[^/]+)/(?P<model>[^/]+)/beta-(?P<beta>[0-9.]+)"
    r"/fold-(?P<fold>\d+)/seed-(?P<seed>\d+)(/member-(?P<member>\d+))?$"
)


def format_beta(beta: float) -> str:
    """Return beta as it stands in a path: the shortest form that reads back the same.

    >>> format_beta(10.0), format_beta(0.1), format_beta(1e-3)
    ('10', '0.1', '0.001')
    """
    return np.format_float_positional(beta, trim="-")


@dataclass(frozen=True, order=True)
class Run:
    """One training: a model on one fold of a data set, with one beta and one seed.

    An ensemble is trained member by member, each in a folder of its own below the ensemble's.
    """

    dataset: str
    model: str
    beta: float
    fold: int
    seed: int
    member: int | None = None  # None: not of an ensemble, or all of it

    @property
    def folder(self) -> str:
        """The run's folder below `results/`."""
        template = TEMPLATE if self.member is None else MEMBER
        return template.format(**self.wildcards, member=self.member)

    @property
    def wildcards(self) -> dict[str, str]:
        """The parts of the path by name, as the workflow's wildcards have them."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "beta": format_beta(self.beta),
            "fold": str(self.fold),
            "seed": str(self.seed),
        }

    @classmethod
    def parse(cls, folder: str | PurePosixPath) -> Self:
        """Return the run whose folder this is, whatever leads up to it.

        >>> Run.parse("results/lidc/probabilistic_unet/beta-0.5/fold-3/seed-0").beta
        0.5
        """
        match = _PATTERN.search(str(folder))
        if match is None:
            raise ProbunetError(f"{folder}: not a run's folder; expected .../{TEMPLATE}")
        part = match.groupdict()
        return cls(
            part["dataset"],
            part["model"],
            float(part["beta"]),
            int(part["fold"]),
            int(part["seed"]),
            None if part["member"] is None else int(part["member"]),
        )
