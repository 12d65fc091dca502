from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probunet.datasets.lidc.manifest import LeftOut, Reason, SliceFile
from probunet.datasets.lidc.matching import check, match
from probunet.datasets.lidc.outlines import Scan
from probunet.datasets.lidc.tree import DicomFile
from support.servers.s3 import slice_bytes


@given(
    zs=st.lists(st.integers(0, 12), unique=True, min_size=1),
    files=st.lists(st.tuples(st.integers(0, 12), st.sampled_from([None, *Reason])), max_size=20),
)
def test_each_outlined_z_is_accounted_for_once(zs, files):
    scan = Scan("1.2", "p", 1.0, 1.0, np.arange(13.0))
    found = [
        DicomFile(Path(f"{i}.dcm"), "1.2", float(z), reason) for i, (z, reason) in enumerate(files)
    ]
    matches = match(scan, sorted(float(z) for z in zs), found)
    assert [z for _, z, _ in matches] == sorted(zs)
    for _, z, candidates in matches:
        good = [i for i, (at, reason) in enumerate(files) if at == z and reason is None]
        bad = [reason for at, reason in files if at == z and reason is not None]
        if good:
            assert [file.path for file in candidates] == [Path(f"{i}.dcm") for i in good]
            assert {file.reason for file in candidates} == {None}
        else:
            [file] = candidates
            assert file.reason in (bad or [Reason.MISSING])


@pytest.mark.parametrize(
    ("spacing", "usable"), [("0.700000", True), ("0.703125", True), ("0.6640625", False)]
)
def test_a_spacing_that_is_not_that_of_the_outlines(tmp_path, spacing, usable):
    scan = Scan("1.2", "p", 0.7, 1.0, np.arange(3.0))
    path = tmp_path / "slice.dcm"
    path.write_bytes(slice_bytes(scan, 1.0, PixelSpacing=[spacing] * 2))
    _, entry = check(tmp_path, (scan, 1.0, (DicomFile(path, "1.2", 1.0),)))
    assert isinstance(entry, SliceFile if usable else LeftOut)
    if isinstance(entry, LeftOut):
        assert entry.reason is Reason.GEOMETRY
        assert "0.6640625" in entry.detail


def test_a_file_that_is_another_slice_by_now(tmp_path):
    scan = Scan("1.2", "p", 0.7, 1.0, np.arange(3.0))
    path = tmp_path / "slice.dcm"
    path.write_bytes(slice_bytes(scan, 2.0))
    _, entry = check(tmp_path, (scan, 1.0, (DicomFile(path, "1.2", 1.0),)))
    assert isinstance(entry, LeftOut)
    assert (entry.reason, entry.detail) == (Reason.CHANGED, "its z is 2.0, and was 1.0")
