import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from probunet.datasets.lidc import verify
from probunet.datasets.lidc.manifest import Reason
from probunet.datasets.lidc.outlines import read_scans
from probunet.datasets.lidc.series import read_series
from probunet.datasets.lidc.verify import SeriesState, describe_states, verify_tree
from support.slices import OTHER, PATIENT, SERIES, ZS, write_slice


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tree with one whole series."""
    folder = tmp_path_factory.mktemp("whole") / "tree"
    for number, z in enumerate(read_scans()[SERIES].z):
        write_slice(folder / f"ct/1-{number:03}.dcm", float(z))
    return folder


@pytest.fixture
def tree(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "tree"))


def slice_at(tree: Path, z: float) -> Path:
    [place] = (read_scans()[SERIES].z == z).nonzero()[0]
    return tree / f"ct/1-{place:03}.dcm"


def state_of(tree: Path) -> SeriesState:
    [state] = [one for one in verify_tree(tree, workers=1) if one.scan.series == SERIES]
    return state


def test_a_whole_series_lacks_nothing_and_all_others_are_missing(tree):
    states = verify_tree(tree, workers=1)
    assert len(states) == 1018
    assert sum(state.slices for state in states) == 243_958
    assert sum(state.outlined for state in states) == 14_627
    here = [state for state in states if not state.absent]
    assert [state.scan.series for state in here] == [SERIES]
    assert (here[0].slices, here[0].outlined, here[0].faults) == (133, len(ZS), [])
    others = [state for state in states if state.scan.series != SERIES]
    assert all(state.absent == state.slices for state in others)
    assert {fault.reason for state in others for fault in state.faults} == {Reason.MISSING}

    told = describe_states(tree, states, details=True)
    assert f"{len(ZS)} of 14,627; complete are 1 of 883 series, 1 of 875 patients" in told
    assert "133 of 243,958; complete are 1 of 1,018 series, 1 of 1,010 patients" in told
    assert f"  {PATIENT}" not in told
    other = next(state for state in states if state.scan.series == OTHER)
    named = f"  {other.scan.patient}"
    assert f"{named}: {other.outlined} slices with outlines, {other.slices} of all" in told
    assert f"{named}  {OTHER}  all {other.outlined}: no slice at the outline's z" in told
    assert f"{named}  {OTHER}  {other.slices} of {other.slices}\n" in told

    short = describe_states(tree, states).splitlines()
    assert len(short) < 50
    assert "  and 1,007 more; --details lists all" in short
    *_, before, last = short
    assert before.startswith("  of all CT slices: 133 of 243,958")
    assert last.startswith("  of the slices with outlines, the only ones used: ")
    assert told.endswith("\n".join(short[-3:]))


def test_missing_slices_are_listed_neighbours_in_one(tree):
    for z in (-340.0, -332.5, -330.0, -327.5, -125.0):
        slice_at(tree, z).unlink()
    state = state_of(tree)
    assert state.absent == 5
    assert [(fault.z, fault.reason) for fault in state.faults] == [(-125.0, Reason.MISSING)]
    told = describe_states(tree, [state])
    assert f"{PATIENT}: 1 slices with outlines, 5 of all" in told
    assert f"{PATIENT}  {SERIES}  5 of 133: z -340, -332.5 to -327.5, -125" in told
    assert f"{PATIENT}  {SERIES}  z -125    no slice at the outline's z" in told


def test_bad_files_count_as_missing_and_are_listed(tree):
    cut = slice_at(tree, ZS[0])
    cut.write_bytes(cut.read_bytes()[:-100])  # its header is whole
    slice_at(tree, ZS[1]).write_bytes(b"")
    write_slice(slice_at(tree, ZS[2]), ZS[2], OTHER)
    slice_at(tree, -340.0).write_bytes(b"not DICOM")
    state = state_of(tree)
    assert [fault.reason for fault in state.faults] == [
        Reason.TRUNCATED,
        Reason.MISSING,
        Reason.WRONG_SERIES,
    ]
    assert state.absent_z == [-340.0, ZS[1], ZS[2]]


def test_a_second_copy_hides_no_gap(tree):
    shutil.copytree(tree, tree / "again")
    for copy in (tree, tree / "again"):
        slice_at(copy, -340.0).unlink()
    state = state_of(tree)
    assert (state.absent, state.absent_z) == (1, [-340.0])
    assert state.faults == []  # equal files count once


def test_a_second_copy_hides_no_missing_instance(tree, monkeypatch):
    """A series with one instance more than positions, one of which is missing in both copies."""
    rows = read_series()
    more = {SERIES: replace(rows[SERIES], instances=rows[SERIES].instances + 1)}
    monkeypatch.setattr(verify, "read_series", lambda: rows | more)
    assert state_of(tree).absent == 1
    shutil.copytree(tree, tree / "again")
    assert state_of(tree).absent == 1


def test_many_gaps_of_a_series_are_bounded(tree):
    for z in read_scans()[SERIES].z[::2]:
        slice_at(tree, z).unlink()
    state = state_of(tree)
    [line] = [
        one for one in describe_states(tree, [state]).splitlines() if f"{SERIES}  67 of 133" in one
    ]
    assert line.endswith("and 62 more")
    assert len(line) < 200
    [whole] = [
        one
        for one in describe_states(tree, [state], details=True).splitlines()
        if f"{SERIES}  67 of 133" in one
    ]
    assert whole.count(",") == 66


def test_instances_at_one_z_are_counted():
    several = "1.3.6.1.4.1.14519.5.2.1.6279.6001.156990013635454707781600846659"
    scan = read_scans()[several]
    told = describe_states(Path("t"), [SeriesState(scan, 268, 1, [], 0, [])])
    assert f"{several}  1 of 268" in told
