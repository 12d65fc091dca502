"""What is to be made of a manifest, known before any image is read: the same in every job."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar

import zarr
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.manifest import Unusable
from probunet.prepare.left_out import advice_on_lost, told
from probunet.store import Attributes


class Item(Protocol):
    """An image to make."""

    @property
    def subject(self) -> str:
        """Whose it is: a patient, or a city."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that it is made of, relative to the manifest's root."""


ItemT = TypeVar("ItemT", bound=Item)
# arrays with a row for each item, and what cannot be used: its rows mean nothing
Read = Callable[[Sequence[ItemT]], tuple[dict[str, NDArray[Any]], list[Unusable]]]


@dataclass(frozen=True)
class Plan(ABC, Generic[ItemT]):
    """A data set's images in the store's order, those of a subject one after the other."""

    manifest: Path
    items: Sequence[ItemT]
    left_out: Sequence[Unusable]  # what cannot be used, as far as it is known

    noun: ClassVar[str]  # for what is left out
    subjects: ClassVar[str]
    excused: ClassVar[Collection[StrEnum]] = ()  # reasons for which a subject is not lost

    @property
    @abstractmethod
    def read(self) -> Read[ItemT]:
        """Makes images; can be sent to a worker."""

    @abstractmethod
    def attributes(self) -> Attributes:
        """Return what the store says of itself."""

    @abstractmethod
    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the arrays of so many images, still empty."""

    @abstractmethod
    def create(self, store: Path) -> None:
        """Create the unsealed store of all items, its images still empty."""

    def without(self, bad: Sequence[Unusable]) -> Self:
        """Return the plan without what turned out to be unusable."""
        items = [self.items[i] for i in usable(self.items, bad)]
        return replace(self, items=items, left_out=[*self.left_out, *bad])

    @cached_property
    def lost(self) -> list[str]:
        """The subjects of whom nothing can be used."""
        wanted = {item.subject for item in self.left_out if item.reason not in self.excused}
        return sorted(wanted - {item.subject for item in self.items})

    def check(self, on_error: str) -> None:
        """Raise ProbunetError if nothing is left or, unless `on_error` is `skip`, somebody lost."""
        if self.lost and on_error == "stop":
            raise ProbunetError(advice_on_lost(self.lost, self.left_out, self.noun, self.subjects))
        if not self.items:
            of_it = told(self.left_out, self.noun)
            raise ProbunetError(f"{self.manifest}: not one {self.noun} of it can be used{of_it}.")


def usable(items: Sequence[Item], bad: Iterable[Unusable]) -> list[int]:
    """Return the numbers of the items none of whose files is bad."""
    paths = {item.path for item in bad}
    return [i for i, item in enumerate(items) if paths.isdisjoint(item.paths)]
