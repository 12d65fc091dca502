"""The plan of a store: its images, known before any of them is read, and equal in every job."""

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
from probunet.files import sha256
from probunet.manifest import RawManifest, Unusable, count_reasons
from probunet.store import Attributes, versions

_SHOWN = 5  # subjects, and items of each, that an error names


class Item(Protocol):
    """An image to make."""

    @property
    def subject(self) -> str:
        """The patient or city."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Its files, relative to the manifest's root."""


ItemT = TypeVar("ItemT", bound=Item)
# Returns arrays with a row per item, and the unusable items, whose rows are meaningless.
Read = Callable[[Sequence[ItemT]], tuple[dict[str, NDArray[Any]], list[Unusable]]]


@dataclass(frozen=True)
class Plan(ABC, Generic[ItemT]):
    """A data set's images in the order of the store; those of a subject are neighbours."""

    manifest: Path
    items: Sequence[ItemT]
    left_out: Sequence[Unusable]  # as far as it is known
    source: RawManifest

    noun: ClassVar[str]  # for what is left out
    subjects: ClassVar[str]
    unusable: ClassVar[type[Unusable]]  # the manifest's entry of an unusable item
    excused: ClassVar[Collection[StrEnum]] = ()  # reasons that do not make a subject lost

    @property
    @abstractmethod
    def read(self) -> Read[ItemT]:
        """Function that makes images; picklable."""

    @abstractmethod
    def attributes(self) -> Attributes:
        """Return the attributes of the store."""

    def origin(self, *packages: str) -> dict[str, Any]:
        """Return the attributes of every store; its content depends on these packages as well."""
        return {
            "dataset": self.source.dataset,
            "source": self.source.source,
            "synthetic": self.source.synthetic,
            "left_out": count_reasons(self.left_out),
            "manifest_sha256": sha256(self.manifest),
            "licence": self.source.licence,
            "versions": versions(*packages),
        }

    @abstractmethod
    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the empty arrays of `count` images."""

    @abstractmethod
    def create(self, store: Path) -> None:
        """Create the unsealed store of all items, with empty images."""

    def without(self, bad: Sequence[Unusable]) -> Self:
        """Return the plan without the items that turned out to be unusable."""
        items = [self.items[i] for i in usable(self.items, bad)]
        return replace(self, items=items, left_out=[*self.left_out, *bad])

    @cached_property
    def lost(self) -> list[str]:
        """The subjects without a usable image."""
        wanted = {item.subject for item in self.left_out if item.reason not in self.excused}
        return sorted(wanted - {item.subject for item in self.items})

    def check(self, on_error: str) -> None:
        """Raise ProbunetError if no item is left or, unless `on_error` is `skip`, one is lost."""
        if self.lost and on_error == "stop":
            raise ProbunetError(*self._describe_lost())
        if not self.items:
            reasons = describe_reasons(self.left_out, self.noun)
            raise ProbunetError(f"{self.manifest}: no {self.noun} of it can be used{reasons}.")

    def _describe_lost(self) -> list[str]:
        """Return lines that say why the lost subjects have no usable image, and what to do."""
        lost, noun, subjects = self.lost, self.noun, self.subjects
        known = set(lost)
        reasons = describe_reasons((o for o in self.left_out if o.subject in known), noun)
        lines = [f"no {noun} can be used of these {subjects}, {len(lost)} in all{reasons}:"]
        for subject in lost[:_SHOWN]:
            items = [item for item in self.left_out if item.subject == subject]
            lines += [f"  {subject}: {item.place}: {item.why}" for item in items[:_SHOWN]]
            if len(items) > _SHOWN:
                lines.append(f"  {subject}: and {len(items) - _SHOWN} more")
        if len(lost) > _SHOWN:
            lines.append(f"  and {len(lost) - _SHOWN} more {subjects}")
        lines.append(
            f"Replace these files and run `probunet fetch` again, or leave such {subjects} out "
            "with `on_error: skip` (under datasets in the configuration)."
        )
        return lines


def describe_reasons(left_out: Iterable[Unusable], noun: str) -> str:
    """Return each reason with its count, to continue a sentence.

    >>> describe_reasons([], "slice")
    ''
    """
    reasons = count_reasons(left_out).items()
    return "".join(f"; {reason}: {n} {noun}{'s' if n > 1 else ''}" for reason, n in reasons)


def usable(items: Sequence[Item], bad: Iterable[Unusable]) -> list[int]:
    """Return the indices of the items without a bad file."""
    paths = {item.path for item in bad}
    return [i for i, item in enumerate(items) if paths.isdisjoint(item.paths)]
