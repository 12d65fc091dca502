"""Pickles: arrays in all protocols are read, and nothing else."""

import os
import pickle
import struct

import numpy as np
import pytest

from probunet.datasets.lidc.released.pickled import Array, read_pickle
from probunet.errors import ProbunetError

ARRAYS = [
    np.arange(12.0).reshape(3, 4),
    np.asfortranarray(np.arange(12, dtype=">f4").reshape(3, 4)),
    np.zeros((2, 3), bool),
    np.arange(6, dtype=np.int16)[::2],
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("old", [False, True])
def test_arrays_of_all_protocols_and_of_older_numpy(tmp_path, protocol, old):
    content = pickle.dumps({"all": ARRAYS, "text": "a"}, protocol)
    if old and protocol < 4:  # names have no length in these
        content = content.replace(b"numpy._core", b"numpy.core")
    (tmp_path / "a.pickle").write_bytes(content)
    found = read_pickle(tmp_path / "a.pickle")
    assert found["text"] == "a"
    for array, one in zip(ARRAYS, found["all"], strict=True):
        assert isinstance(one, Array)
        assert one.values.dtype == array.dtype
        np.testing.assert_array_equal(one.values, array)


class Calls:
    """Something that a pickle calls when it is opened."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "call",
    [
        Calls(os.mkdir, "made"),
        Calls(eval, "__import__('os').mkdir('made')"),
        Calls(np.frombuffer, b"12345678"),
        Calls(open, "made", "w"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, monkeypatch, call, protocol):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.pickle"
    path.write_bytes(pickle.dumps({"a": ARRAYS[0], "b": call}, protocol))
    with pytest.raises(ProbunetError, match=r"a pickle that would call .*Nothing of it was run"):
        read_pickle(path)
    assert list(tmp_path.iterdir()) == [path]


def test_an_array_of_objects_is_refused(tmp_path):
    for dtype in (object, "U3", [("a", "f8")]):
        (tmp_path / "a.pickle").write_bytes(pickle.dumps(np.zeros(3, dtype)))
        with pytest.raises(ProbunetError, match="not of plain numbers"):
            read_pickle(tmp_path / "a.pickle")


def test_any_cut_or_a_changed_shape_is_refused(tmp_path):
    whole = pickle.dumps({"a": ARRAYS[0], "b": "c"})
    path = tmp_path / "a.pickle"
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ProbunetError, match="not a complete pickle"):
            read_pickle(path)
    path.write_bytes(whole.replace(b"K\x03K\x04\x86", b"K\x03K\x05\x86"))
    with pytest.raises(ProbunetError, match="not a complete pickle"):
        read_pickle(path)


def test_a_pickle_that_asks_for_memory_is_refused(tmp_path):
    huge = b"\x80\x04K\x01r" + struct.pack("<I", 2**32 - 1) + b"."  # LONG_BINPUT
    (tmp_path / "a.pickle").write_bytes(huge)
    with pytest.raises(ProbunetError, match="a place in memory that it cannot need"):
        read_pickle(tmp_path / "a.pickle")
    (tmp_path / "a.pickle").write_bytes(b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"a.")
    with pytest.raises(ProbunetError, match="not a complete pickle"):
        read_pickle(tmp_path / "a.pickle")
    with pytest.raises(ProbunetError, match=r"cannot be read \(No such file"):
        read_pickle(tmp_path / "b.pickle")
