"""The layout of a data set's store: arrays of images, and columns with one value per image."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import zarr

from probunet.errors import ProbunetError
from probunet.store import sealed
from probunet.store.sealed import MAKE_AGAIN, Attributes

A = TypeVar("A", bound=Attributes)


@dataclass(frozen=True)
class Layout(Generic[A]):
    """What a store of one kind contains."""

    kind: str
    attributes: type[A]
    columns: type[Any]  # a dataclass; each field is an array (n,) of numbers or text
    arrays: tuple[str, ...]  # arrays of images (n, H, W, ...)
    protocol: str | None = None  # the value of the attribute `protocol` that can be read

    def create(
        self,
        path: Path,
        columns: Any,
        attributes: A,
        create_arrays: Callable[[zarr.Group, int], None],
    ) -> None:
        """Create an unsealed store whose images are still empty.

        `create_arrays` creates the arrays of `n` images in a group.
        """
        group = sealed.create(path, self.kind, attributes)
        names = [field.name for field in fields(self.columns)]
        create_arrays(group, len(getattr(columns, names[0])))
        for name in names:
            sealed.write_column(group, name, getattr(columns, name))

    def open(self, path: Path) -> dict[str, Any]:
        """Return path, attributes, digest, columns and arrays of a store by name.

        Raises
        ------
        ProbunetError
            If the store is missing or incomplete, or has another kind, schema version or protocol.
        """
        group, attributes, digest = sealed.open_sealed(path, self.kind, self.attributes)
        if self.protocol is not None and getattr(attributes, "protocol", None) != self.protocol:
            raise ProbunetError(
                f"{path}: its {self.kind} were created by protocol "
                f"{getattr(attributes, 'protocol', None)!r}; this version of probunet reads "
                f"{self.protocol!r}; {MAKE_AGAIN}"
            )
        columns = {f.name: sealed.read_column(group, f.name) for f in fields(self.columns)}
        return {
            "path": path,
            "attributes": attributes,
            "digest": digest,
            "columns": self.columns(**columns),
            **{name: sealed.array_of(group, name) for name in self.arrays},
        }
