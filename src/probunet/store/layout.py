"""The layout of a data set's store: arrays of images, and columns with one value per image."""

from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, Generic, TypeVar

import zarr

from probunet.store import sealed
from probunet.store.sealed import Attributes

A = TypeVar("A", bound=Attributes)


@dataclass(frozen=True)
class Layout(Generic[A]):
    """What a store of one kind contains."""

    kind: str
    attributes: type[A]
    # a dataclass; each field is an array (n,) of numbers or text; one with a default may be absent
    columns: type[Any]
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
            if (column := getattr(columns, name)) is not None:
                sealed.write_column(group, name, column)

    def open(self, path: Path) -> dict[str, Any]:
        """Return path, attributes, digest, columns and arrays of a store by name.

        Raises
        ------
        ProbunetError
            If the store is missing, incomplete or damaged, or has another kind, schema version or
            protocol.
        """
        group, attributes, digest = sealed.open_sealed(
            path, self.kind, self.attributes, self.protocol
        )
        with sealed.reading(path):
            columns = {
                f.name: sealed.read_column(group, f.name)
                for f in fields(self.columns)
                if f.default is MISSING or f.name in group
            }
            arrays = {name: sealed.array_of(group, name) for name in self.arrays}
        shape = arrays[self.arrays[0]].shape[:3]  # images, height, width
        for name, array in arrays.items():
            sealed.check_shape(
                path, f"the beginning of the shape of {name}", array.shape[:3], shape
            )
        for name, column in columns.items():
            sealed.check_shape(path, f"the length of {name}", column.shape, shape[:1])
        return {
            "path": path,
            "attributes": attributes,
            "digest": digest,
            "columns": self.columns(**columns),
            **arrays,
        }
