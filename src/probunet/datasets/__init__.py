"""Data sets by name. A further one is a folder here and one line in the registry."""

from pathlib import Path
from typing import TYPE_CHECKING

from probunet.datasets.base import DataSet
from probunet.datasets.cityscapes import Cityscapes
from probunet.datasets.folder import Folder
from probunet.datasets.lidc import Lidc
from probunet.errors import ProbunetError

if TYPE_CHECKING:
    from probunet.truth.base import Data

__all__ = ["BUILT_IN", "DataSet", "find", "open_data"]

BUILT_IN: dict[str, type[DataSet]] = {
    "lidc": Lidc,
    "cityscapes": Cityscapes,
}
_ALL: list[type[DataSet]] = [*BUILT_IN.values(), Folder]
KINDS = {kind: one for one in _ALL for kind in (one.kind, *one.other_kinds)}


def find(name: str) -> DataSet:
    """Return the data set of a name; a name that is not built in is a folder of your own images.

    >>> find("lidc").title, find("eyes").title
    ('LIDC-IDRI', 'eyes')
    """
    return BUILT_IN.get(name, Folder)(name)


def open_data(path: Path) -> "Data":
    """Return the store at `path`, whatever data set it is of.

    Raises
    ------
    ProbunetError
        If it is not there, not whole, or not of a kind that this version reads.
    """
    from probunet.store import MAKE_AGAIN, kind_of

    kind, name = kind_of(path)
    if kind not in KINDS:
        raise ProbunetError(
            f"{path}: holds {kind!r}; this version of probunet reads {', '.join(KINDS)}; "
            f"{MAKE_AGAIN}"
        )
    data_set = find(name)
    return (data_set if isinstance(data_set, KINDS[kind]) else KINDS[kind](name)).open(path)
