"""Label maps as DICOM SEG: read back at the right place."""

import numpy as np
import pydicom
import pytest

from probunet.errors import ProbunetError
from probunet.predict.series import read_series
from support.predicting import FRAME, assert_same_places, write_whole_series

CLASSES = ("background", "nodule", "vessel")
SHAPE = (24, 32)


def corners(mask: np.ndarray) -> np.ndarray:
    """Return the voxels of a mask (slices, H, W) as (n, 4): column, row, slice, 1."""
    z, y, x = np.nonzero(mask)
    return np.stack([x, y, z, np.ones(len(x))], axis=1)


@pytest.fixture
def highdicom():
    return pytest.importorskip("highdicom", reason="highdicom is not installed")


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1)])
def test_pixels_are_read_back_where_they_were_drawn(tmp_path, highdicom, orientation):
    picture = read_series(write_whole_series(tmp_path / "ct", SHAPE, orientation), "ct")
    maps = np.zeros((5, *SHAPE), np.uint8)
    maps[1, 3:6, 10:20] = 1
    maps[3, 20, 30] = 1
    maps[2:4, 8:9, 2:5] = 2
    path = tmp_path / "sample-0.dcm"
    picture.write_seg(path, maps, CLASSES)

    to_lps = np.diag([-1, -1, 1, 1]) @ picture.affine
    drawn = {k: (to_lps @ corners(maps == k).T)[:3].T for k in (1, 2)}

    seg = highdicom.seg.segread(path)  # as highdicom reads it
    assert [one.segment_label for one in map(seg.get_segment_description, (1, 2))] == [*CLASSES[1:]]
    for k in (1, 2):
        volume = seg.get_volume(segment_numbers=[k])
        found = np.argwhere(volume.array[..., 0])
        at = volume.map_indices_to_reference(found)
        assert_same_places(at, drawn[k])

    dataset = pydicom.dcmread(path)  # as pydicom reads it, frame by frame
    assert dataset.Modality == "SEG"
    assert dataset.FrameOfReferenceUID == FRAME
    assert "Research use" in dataset.ContentDescription
    shared = dataset.SharedFunctionalGroupsSequence[0]
    orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    between_rows, between_columns = shared.PixelMeasuresSequence[0].PixelSpacing
    places: dict[int, list] = {1: [], 2: []}
    for frame, groups in zip(
        np.atleast_3d(dataset.pixel_array), dataset.PerFrameFunctionalGroupsSequence, strict=True
    ):
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        origin = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        for y, x in np.argwhere(frame):
            places[number].append(origin + x * between_columns * row + y * between_rows * column)
    for k in (1, 2):
        assert_same_places(np.array(places[k]), drawn[k])


def test_an_empty_map_is_written_too(tmp_path, highdicom):
    picture = read_series(write_whole_series(tmp_path / "ct", SHAPE), "ct")
    path = tmp_path / "sample-0.dcm"
    picture.write_seg(path, np.zeros((5, *SHAPE), np.uint8), CLASSES)
    assert not highdicom.seg.segread(path).pixel_array.any()


def test_an_element_that_is_missing_is_named(tmp_path, highdicom):
    folder = write_whole_series(tmp_path / "ct", SHAPE)
    for path in folder.iterdir():
        dataset = pydicom.dcmread(path)
        del dataset.StudyInstanceUID
        dataset.save_as(path)
    picture = read_series(folder, "ct")
    with pytest.raises(ProbunetError, match=r"lacks an element that DICOM SEG needs .*StudyInst"):
        picture.write_seg(tmp_path / "a.dcm", np.ones((5, *SHAPE), np.uint8), CLASSES)
    assert not (tmp_path / "a.dcm").exists()


def test_without_highdicom_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "highdicom", None)
    picture = read_series(write_whole_series(tmp_path / "ct", SHAPE), "ct")
    with pytest.raises(ProbunetError, match=r"pip install highdicom"):
        picture.write_seg(tmp_path / "a.dcm", np.ones((5, *SHAPE), np.uint8), CLASSES)
