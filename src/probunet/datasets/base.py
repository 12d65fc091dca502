"""What a data set says of itself to the verbs: they ask it, and never which one it is."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from probunet.config import Fetch, Size
from probunet.errors import ProbunetError

if TYPE_CHECKING:
    from probunet.prepare.plan import Plan
    from probunet.truth.base import Data

Part = tuple[int, int]  # part i of n parts, i from 0


class Method(NamedTuple):
    """A method, where it is published, and its figures as they are printed there.

    Each figure has the form 0.310 or 0.310±0.01; `-` is one that is not published, or not known.
    `split` is one of `Published.splits`, of which `DataSet.split_of` returns some; `weights` is
    "best", "last" or "average". Both are empty if they are not known.
    """

    name: str
    source: str
    figures: str
    split: str = ""
    weights: str = ""


class Published(NamedTuple):
    """Published figures of one version of a data set, which compare with each other."""

    name: str
    columns: tuple[tuple[str, int], ...]  # column of `summary.csv`, and n
    size: Size  # height and width that are scored, pixels
    methods: tuple[Method, ...]
    about: str  # what all of them are of
    splits: Mapping[str, str]  # what each `split` of the methods is, in words


@dataclass(frozen=True)
class DataSet(ABC):
    """A data set by its name in the configuration."""

    name: str

    kind: ClassVar[str]  # what its stores say that they hold
    other_kinds: ClassVar[tuple[str, ...]] = ()  # what some of them say instead
    template: ClassVar[str]  # its words in the report, a Jinja template below `datasets/`
    # what the predictors that are no model's are called in the report
    predictors: ClassVar[dict[str, str]] = {
        "empty": "Always empty",
        "graders": "The graders themselves",
    }
    # names of the report's charts and tables that other data sets do not have
    own_figures: ClassVar[tuple[str, ...]] = ()
    credentials: ClassVar[tuple[str, ...]] = ()  # environment variables that a download needs
    # figures to show beside those of a study, by the protocol of its store
    published: ClassVar[Mapping[str, Published]] = {}

    @property
    def title(self) -> str:
        """The data set's name in the report."""
        return self.name

    @abstractmethod
    def fetch(
        self,
        source: Any,
        folder: Path,
        manifest: Path,
        how: Fetch,
        part: Part | None = None,
    ) -> None:
        """Download, render or check the images, and write their manifest.

        Parameters
        ----------
        source
            The data set's section of the configuration.
        folder
            Where downloaded or synthetic files go; not used for files that exist already.
        manifest
            Where to write the manifest.
        how
            Connections, rate, retries and timeout.
        part
            Fetch a part only; None for all.

        Raises
        ------
        ProbunetError
            If something is wrong with the source, or it cannot be fetched in parts.
        """

    def join(self, parts: list[Path], manifest: Path) -> None:
        """Write one manifest of the parts that several jobs have fetched."""
        raise ProbunetError(f"{self.name}: is not fetched in parts; leave out --join.")

    def fetch_parts(self, source: Any, jobs: int) -> int:
        """Return in how many parts the images are fetched by so many jobs."""
        return 1

    def describe_fetch(self, source: Any, folder: Path, jobs: int) -> str:
        """Return what a download would transfer, without asking the network."""
        return f"{self.title}, source: {source.source}: the amount of data is not known beforehand"

    def check_access(self, source: Any, how: Fetch) -> None:  # noqa: B027
        """Raise ProbunetError if the publisher refuses a download; do nothing if it is open."""

    def missing_credentials(self, source: Any) -> list[str]:
        """Return the environment variables that a download needs and that are not set."""
        return [
            name for name in self.credentials if source.is_downloaded and not os.environ.get(name)
        ]

    def inputs(self, source: Any) -> list[Path]:
        """Return files whose change repeats `fetch`."""
        return []

    def verify(self, tree: Path, details: bool = False) -> str:
        """Return what an existing copy of the data set lacks; raise ProbunetError if it is used.

        With `details` every missing item is listed, else a few of each kind.
        """
        raise ProbunetError(f"{self.name}: a copy of it cannot be checked before it is fetched.")

    def describe_expected(self) -> str:
        """Return how many images the whole data set makes, without reading any."""
        raise ProbunetError(f"{self.name}: the number of images is known only after `fetch`.")

    @abstractmethod
    def plan(self, manifest: Path, source: Any, multiple_of: int) -> "Plan[Any]":
        """Return the images to make of a manifest; sides must be multiples of `multiple_of`."""

    @abstractmethod
    def open(self, path: Path) -> "Data":
        """Return the data set's store at `path`.

        Raises
        ------
        ProbunetError
            If it is not there, not whole, or was made by another protocol.
        """

    def split_of(self, source: dict[str, Any]) -> str | None:
        """Return how the data set is divided, if its section, as JSON, offers a choice."""
        return None


def refuse_parts(name: str, part: Part | None) -> None:
    """Raise an error if a part is asked for of what is fetched whole."""
    if part is not None:
        raise ProbunetError(f"{name}: is not fetched in parts; leave out --part and --parts.")
