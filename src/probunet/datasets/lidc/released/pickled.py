"""Read a pickle of NumPy arrays and nothing else: a pickle can contain any code.

Arrays are built here from their bytes. The names in a pickle of arrays are replaced by what this
file defines, and any other name is refused before it is imported.
"""

import os
import pickle
import pickletools
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from probunet.errors import ProbunetError
from probunet.limits import regular
from probunet.memory import raise_if_memory_lacks

_MEMOS = ("PUT", "BINPUT", "LONG_BINPUT")  # operations with the number of a place in memory
_KINDS = "fiub"  # floats, integers, booleans


class Array:
    """An array of a pickle; `values` is None if the pickle gives it none."""

    values: NDArray[Any] | None = None

    def __setstate__(self, state: Any) -> None:
        """Set the values as `numpy.ndarray.__setstate__` does, from plain bytes only."""
        _, shape, kind, fortran, data = state
        self._set(data, kind, shape, "F" if fortran else "C")

    def _set(self, data: object, kind: object, shape: Any, order: Any) -> None:
        if not isinstance(data, bytes | bytearray) or not isinstance(kind, _Kind):
            raise pickle.UnpicklingError("an array that is not of plain numbers")
        self.values = np.frombuffer(data, kind.dtype).reshape(shape, order=order)


class _Kind:
    """The type of an array's values."""

    def __init__(self, name: object, *_: object) -> None:
        self.dtype = np.dtype(name) if isinstance(name, str) else np.dtype(object)
        if self.dtype.kind not in _KINDS:
            raise pickle.UnpicklingError("an array that is not of plain numbers")

    def __setstate__(self, state: Any) -> None:
        """Set the order of bytes, the only part of the state that numbers have."""
        if state[1] in ("<", ">"):
            self.dtype = self.dtype.newbyteorder(state[1])


def _new_array(*_: object) -> Array:
    return Array()


def _from_buffer(data: object, kind: object, shape: Any, order: Any) -> Array:
    """Return an array as protocol 5 writes it."""
    array = Array()
    array._set(data, kind, shape, order)
    return array


def _encode(text: str, encoding: str) -> bytes:
    """Return bytes that protocol 2 writes as text."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"text in {encoding!a}")
    return text.encode("latin1")


_ALLOWED: dict[tuple[str, str], object] = {
    ("numpy.core.multiarray", "_reconstruct"): _new_array,
    ("numpy._core.multiarray", "_reconstruct"): _new_array,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
    ("numpy._core.numeric", "_frombuffer"): _from_buffer,
    ("numpy", "ndarray"): "numpy.ndarray",  # only named, never called
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encode,
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in a pickle of arrays."""
        if (module, name) not in _ALLOWED:
            raise _CodeError(f"{module}.{name}")
        return _ALLOWED[module, name]

    def persistent_load(self, pid: object) -> NoReturn:
        """Refuse what lies outside of the file."""
        raise pickle.UnpicklingError("a reference to something outside of it")


class _CodeError(Exception):
    """A name that a pickle of arrays does not have."""


def read_pickle(path: Path) -> Any:
    """Return the content of a pickle; its arrays are `Array`.

    Raises
    ------
    ProbunetError
        If it cannot be read, is damaged, or names anything but NumPy's arrays: then nothing of it
        has been run.
    """
    try:
        with _Bounded(FileIO(path, opener=regular)) as file:
            _check_memory(file)
            file.seek(0)
            return _ArraysOnly(file).load()
    except _CodeError as error:
        raise ProbunetError(
            f"{path}: a pickle that would call {error}; the released ones hold arrays alone. "
            "Nothing of it was run: do not open it, and download the set again."
        ) from None
    except OSError as error:
        raise ProbunetError(f"{path}: cannot be read ({error.strerror}).") from None
    except Exception as error:  # damaged pickles raise anything
        raise_if_memory_lacks(error)
        raise ProbunetError(
            f"{path}: not a complete pickle of arrays ({error}); download it again."
        ) from None


class _Bounded(BufferedReader):
    """A file of which no more bytes are asked for than it has."""

    def read(self, size: int | None = -1, /) -> bytes:
        """Return so many bytes, or fewer at the end."""
        left = os.fstat(self.fileno()).st_size - self.tell()
        return super().read(left if size is None or size < 0 else min(size, left))


def _check_memory(file: BufferedReader) -> None:
    """Raise UnpicklingError if the pickle uses places in memory far beyond its length."""
    for number, (operation, argument, _) in enumerate(pickletools.genops(file)):
        if operation.name in _MEMOS and int(argument or 0) > number:
            raise pickle.UnpicklingError("a place in memory that it cannot need")
