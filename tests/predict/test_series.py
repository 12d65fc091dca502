"""CT series as volumes with their place, and crops around places in them."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.datasets.lidc.crop import Grid, resample
from probunet.datasets.lidc.dicom import read_slice
from probunet.predict.base import Picture, Place, UnusableError
from probunet.predict.series import crops_at, is_series, read_series
from support.slices import slice_bytes, write_slice

SAMPLE = Path(__file__).parents[3] / "shared/lidc-sample"


def write_series(folder: Path, zs=(10.0, 7.5, 5.0), shape=(24, 32), **fields) -> Path:
    """Write slices whose HU are 100 times their number, plus column and 2 times row."""
    row, column = np.mgrid[: shape[0], : shape[1]]
    for number, z in enumerate(zs):
        pixels = (1024 + 100 * number + column + 2 * row).astype("<i2")
        write_slice(folder / f"{number}.dcm", z, pixels=pixels, **({"Modality": "CT"} | fields))
    return folder


def change(path: Path, **fields) -> None:
    dataset = pydicom.dcmread(path)
    for name, value in fields.items():
        setattr(dataset, name, value)
    dataset.save_as(path)


def test_a_series_is_a_volume_in_the_order_of_its_positions(tmp_path):
    folder = write_series(tmp_path / "ct", ImagePositionPatient=None)
    for number, z in enumerate((10.0, 7.5, 5.0)):
        change(folder / f"{number}.dcm", ImagePositionPatient=[-20, 30, z])
    (folder / "69.xml").write_text("notes")
    assert is_series(folder)
    picture = read_series(folder, "ct")
    assert picture.volume
    assert picture.pixels.shape == (3, 24, 32, 1)
    assert picture.pixels.dtype == np.int16
    assert picture.pixels[:, 0, 0, 0].tolist() == [200, 100, 0]  # upwards
    assert picture.pixels[0, 3, 5, 0] == 200 + 5 + 2 * 3
    # 5 columns to the left, 3 rows to the back, 1 slice upwards; in RAS
    np.testing.assert_allclose(
        picture.affine @ [5, 3, 1, 1], [20 - 5 * 0.7, -30 - 3 * 0.7, 7.5, 1], atol=1e-9
    )


@pytest.mark.parametrize(
    "orientation", [[0, 1, 0, 0, 0, -1], [1, 0, 0, 0, 0, -1], [0.6, 0.8, 0, -0.8, 0.6, 0]]
)
def test_any_orientation_is_read_and_only_axial_slices_are_cropped(tmp_path, orientation):
    row, column = np.reshape(orientation, (2, 3)).astype(float)
    for number in range(3):
        position = 2.0 * number * np.cross(row, column) + [3, 4, 5]
        write_slice(
            tmp_path / f"{number}",
            float(number),
            Modality="CT",
            ImageOrientationPatient=orientation,
            ImagePositionPatient=position.tolist(),
        )
    picture = read_series(tmp_path, "ct")
    at = [3, 4, 5] + 0.7 * 2 * row + 0.7 * 4 * column + 2.0 * np.cross(row, column)
    np.testing.assert_allclose((picture.affine @ [2, 4, 1, 1])[:3], at * [-1, -1, 1], atol=1e-6)
    with pytest.raises(UnusableError, match=r"ct: its slices are not axial"):
        crops_at(picture, [Place(8, 8, 1, "voxel")], (16, 16), 0.5)


def two_series(folder):
    change(folder / "1.dcm", SeriesInstanceUID="1.2.3")


def a_slice_is_missing(folder):
    (folder / "2.dcm").rename(folder / "x")
    change(folder / "x", ImagePositionPatient=[0, 0, 2.5])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (two_series, r"ct: has 2 series: .*\(2 slices\), 1\.2\.3 \(1 slices\); move each into"),
        (a_slice_is_missing, r"x and 1\.dcm are 5 mm apart, and slices usually 3\.75 mm: slices"),
        (
            lambda folder: write_slice(
                folder / "3.dcm", 7.5, pixels=np.zeros((24, 32), "<i2"), Modality="CT"
            ),
            r"1\.dcm and 3\.dcm are 0 mm apart, and slices usually 2\.5 mm: .* twice there",
        ),
        (
            lambda folder: change(folder / "1.dcm", Modality="MR"),
            r"1\.dcm: has the modality MR, and only CT has Hounsfield units; name the folder",
        ),
        (
            lambda folder: change(folder / "1.dcm", PixelSpacing=[0.5, 0.5]),
            r"1\.dcm: has another spacing than .*0\.dcm, \(0\.5, 0\.5\) and \(0\.7, 0\.7\); remove",
        ),
        (
            lambda folder: (folder / "1.dcm").write_bytes(slice_bytes(7.5, Modality="CT")),
            r"1\.dcm: has another shape than .*0\.dcm, \(16, 16\) and \(24, 32\); remove",
        ),
        (
            lambda folder: (folder / "1.dcm").write_bytes((folder / "1.dcm").read_bytes()[:-9]),
            r"1\.dcm: truncated file.*; remove it if it does not belong",
        ),
        (
            lambda folder: (folder / "1.dcm").write_bytes(
                slice_bytes(7.5, Modality="CT", PixelSpacing=None)
            ),
            r"1\.dcm: does not say where its pixels are .*; export the series again",
        ),
        (
            lambda folder: (folder / "1.dcm").write_bytes(
                slice_bytes(7.5, Modality="CT", ImagePositionPatient=["NaN", 0, 7.5])
            ),
            r"1\.dcm: does not say where its pixels are .*; export the series again",
        ),
        (
            lambda folder: (folder / "1.dcm").write_bytes(
                slice_bytes(7.5, Modality="CT", RescaleSlope="NaN")
            ),
            r"1\.dcm: RescaleSlope or RescaleIntercept missing or wrong",
        ),
    ],
)
def test_a_folder_that_is_no_whole_ct_series_is_refused_in_a_sentence(tmp_path, spoil, message):
    folder = write_series(tmp_path / "ct")
    spoil(folder)
    with pytest.raises(UnusableError, match=message) as found:
        read_series(folder, "ct")
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("z", [7.5, 8.0])
def test_slices_beside_the_line_of_the_others_are_refused(tmp_path, z):
    """In the plane by more than half a pixel, or along a distance that changes slowly."""
    folder = write_series(tmp_path / "ct", zs=[2.5 * k for k in range(3)])
    if z == 7.5:
        change(folder / "1.dcm", ImagePositionPatient=[0.4, 0, 2.5])
        name = "1"
    else:
        positions = np.cumsum([0, *[2.5] * 9, *[2.4] * 9])
        write_series(folder, zs=positions.tolist())
        name = "9"
    with pytest.raises(UnusableError, match=rf"ct: {name}\.dcm is 0\..* mm beside the line of the"):
        read_series(folder, "ct")


def test_files_beside_the_slices_are_counted(tmp_path, caplog):
    caplog.set_level("INFO", "probunet")
    folder = write_series(tmp_path / "ct")
    (folder / "0.dcm").rename(folder / "0.IMA")  # as scanners of one maker name them
    (folder / "DICOMDIR").write_bytes(b"0" * 128 + b"DICM")
    (folder / "notes").mkdir()
    (folder / "notes/a.xml").write_text("notes")
    assert len(read_series(folder, "ct").pixels) == 3
    assert "ct: 2 files beside the slices have no part" in caplog.text


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (None, "does not say the size of its pixels"),
        (np.diag([0.7, 0.7, 0, 1]), "does not say the size of its pixels"),
        (np.diag([0.7, 0.9, 2, 1]), r"its pixels not square \(0\.7 x 0\.9 mm\)"),
        (np.diag([700.0, 700, 2500, 1]), "its pixels of 700 mm are larger than a crop"),
    ],
)
def test_volumes_without_a_usable_space_have_no_crops(affine, message):
    picture = Picture("a.nii", np.zeros((3, 24, 32, 1), np.int16), True, affine)
    for place in (Place(3, 3, 1, "voxel"), Place(3, 3, 1, "mm")):
        with pytest.raises(UnusableError, match=rf"a\.nii: {message}|a\.nii: .*{message}"):
            crops_at(picture, [place], (16, 16), 0.5)


def test_folders_without_dicom_files_are_no_series(tmp_path):
    (tmp_path / "a.dcm").write_text("not DICOM")
    write_series(tmp_path / "below")
    assert not is_series(tmp_path)
    with pytest.raises(UnusableError, match="has no DICOM file"):
        read_series(tmp_path, "ct")


@pytest.mark.parametrize(
    "place",
    [
        Place(32, 3, 0, "voxel"),
        Place(3, 24, 0, "voxel"),
        Place(3, 3, 3, "voxel"),
        Place(-1, 3, 0, "voxel"),
        Place(3, 3, 11.3, "mm"),
        Place(300, 3, 7, "mm"),
    ],
)
def test_places_outside_of_the_volume_are_refused(tmp_path, place):
    picture = read_series(write_series(tmp_path / "ct"), "ct")
    message = (
        r"ct: the place .* is outside of the volume, which has 32 x 24 x 3 voxels, and in mm x, y, "
        r"z from 0 to 21\.7, 0 to 16\.1, 5 to 10; correct the place or its unit"
    )
    with pytest.raises(UnusableError, match=message):
        crops_at(picture, [place], (16, 16), 0.5)


def test_a_crop_is_that_of_the_protocol(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 2000, (300, 280)).astype("<i2")
    write_slice(tmp_path / "0", 5.0, pixels=pixels, Modality="CT", SliceThickness=2.5)
    picture = read_series(tmp_path, "ct")
    (view,) = crops_at(picture, [Place(100.25, 140.5, 0, "voxel", row=7)], (128, 128), 0.5).of(0)
    _, hu = read_slice(tmp_path / "0")
    step = 0.5 / 0.7
    whole = resample(hu, Grid(100.25 - step * 89.5, 140.5 - step * 89.5, step))
    np.testing.assert_array_equal(view.image[..., 0], whole[26:154, 26:154])
    assert view.row == 7


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(-0.4, 59.4),
    y=st.floats(-0.4, 49.4),
    spacing=st.floats(0.3, 1.2),
    mirrored=st.tuples(st.booleans(), st.booleans()),
    dicom=st.booleans(),
)
def test_maps_are_laid_back_where_the_crop_was(x, y, spacing, mirrored, dicom):
    """Against plain code: each pixel has the map's value at the nearest of the crop's pixels."""
    affine = np.diag([-spacing, -spacing, 2.0, 1.0])
    for axis in (0, 1):
        affine[axis, axis] *= -1 if mirrored[axis] else 1
    row, column = np.mgrid[:50, :60]
    hu = np.stack([3 * column, 3 * row]).astype(np.int16)
    writer = (lambda *_: None) if dicom else None
    found = []
    for one in hu:  # columns and rows as values: where is each pixel of the crop?
        picture = Picture("ct", one[None, ..., None], True, affine, write_seg=writer)
        (view,) = crops_at(picture, [Place(x, y, 0, "voxel")], (32, 48), 0.5).of(0)
        found.append(view.image[..., 0] / 3)
    rows, columns = view.part
    maps = np.arange(32 * 48, dtype=np.int32).reshape(1, 32, 48)
    back = view.back(maps)
    assert back.shape == (1, rows.stop - rows.start, columns.stop - columns.start)
    at = np.unravel_index(back[0], (32, 48))
    own = [one[rows, columns] for one in (column, row)]
    margin = 0.5 + 0.5 / spacing  # beyond the edge is air, with which it is interpolated
    inside = np.ones(back[0].shape, bool)
    for one, length in zip(own, (60, 50), strict=True):
        inside &= (one >= margin) & (one <= length - 1 - margin)
    smooth = view.back(np.stack(found).astype(np.float32))
    for values, mean, one in zip(found, smooth, own, strict=True):
        # half a pixel of the crop, and the rounding of HU
        for maybe in (values[at], mean):
            assert (abs(maybe - one)[inside] <= 0.5 * 0.5 / spacing + 0.35).all()
    # every pixel whose centre is in the crop is laid back
    for part, centre, length, size in ((columns, x, 60, 48), (rows, y, 50, 32)):
        reach = size / 2 * 0.5 / spacing
        expected = [p for p in range(length) if abs(p - centre) <= reach - 1e-6]
        assert part.start <= expected[0]
        assert part.stop > expected[-1]
        assert part.stop - part.start <= len(expected) + 2


def test_places_in_mm_are_those_of_the_file(tmp_path):
    picture = read_series(write_series(tmp_path / "ct"), "ct")
    nifti = Picture("nifti", picture.pixels, True, picture.affine)
    (view,) = crops_at(picture, [Place(7.0, 3.5, 7.6, "mm")], (4, 4), 0.5).of(1)
    (same,) = crops_at(nifti, [Place(-7.0, -3.5, 7.6, "mm")], (4, 4), 0.5).of(1)
    (voxel,) = crops_at(picture, [Place(10, 5, 1, "voxel")], (4, 4), 0.5).of(1)
    for one in (same, voxel):
        np.testing.assert_array_equal(view.image, one.image)
        assert view.part == one.part


@pytest.mark.skipif(not SAMPLE.exists(), reason="../shared/lidc-sample is not there")
def test_series_of_lidc_are_read():
    folder = min(SAMPLE.rglob("*.dcm")).parent
    picture = read_series(folder, "ct")
    files = {float(path.stem): path for path in folder.glob("*.dcm")}
    lowest = read_slice(files[min(files)])[1]
    np.testing.assert_array_equal(picture.pixels[0, ..., 0], lowest)
    assert picture.affine[2, 2] == pytest.approx(2.5)
