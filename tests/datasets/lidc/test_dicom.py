from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from probunet.datasets.lidc import dicom
from probunet.datasets.lidc.dicom import open_slice, read_header, read_slice
from probunet.datasets.lidc.manifest import Reason
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from support.slices import write_slice

# pydicom warns of much that is wrong on purpose here
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SERIES = "1.2.826.0.1.3680043.8.498.1"
ROWS, COLUMNS = 20, 24


def stored_values(signed: bool = True, bits: int = 16) -> np.ndarray:
    rng = np.random.default_rng(0)
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1)) if signed else (0, 2**bits)
    values = rng.integers(max(low, -2000), min(high, 3000), (ROWS, COLUMNS))
    values[0, 0] = -2000 if signed else 0
    return values


def write(path: Path, values=None, syntax=ExplicitVRLittleEndian, **fields) -> Path:
    """Write a slice; `fields` change or, if None, remove elements."""
    values = stored_values() if values is None else values
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    pixels = values.astype(f"{order}i4").astype(f"{order}i2")
    return write_slice(path, -125.5, SERIES, pixels=pixels, syntax=syntax, **fields)


def reason_of(path: Path, series: str | None = SERIES) -> Reason:
    with pytest.raises(BadFileError) as bad:
        read_slice(path, series)
    return bad.value.reason


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        ExplicitVRBigEndian,
        DeflatedExplicitVRLittleEndian,
    ],
    ids=lambda syntax: syntax.name,
)
def test_hounsfield_units_of_every_uncompressed_syntax(tmp_path, syntax):
    path = write(tmp_path / "a.dcm", syntax=syntax, ImageComments="x" * 9000)
    header, hu = read_slice(path, SERIES)
    assert (header.series, header.z, header.spacing) == (SERIES, -125.5, 0.7)
    assert header == read_header(path, SERIES)
    assert hu.dtype == np.int16
    np.testing.assert_array_equal(hu, stored_values() - 1024)
    np.testing.assert_array_equal(open_slice(path).hounsfield(3, 9), hu[3:9])


def test_padding_of_unsigned_slices_and_their_values(tmp_path):
    values = stored_values(signed=False, bits=16)
    values[1, 1] = 40_000  # as unsigned: 38,976 HU are more than int16 holds
    hu = read_slice(write(tmp_path / "a.dcm", values, PixelRepresentation=0))[1]
    np.testing.assert_array_equal(hu, np.clip(values - 1024, -(2**15), 2**15 - 1))


def test_values_below_air_stay(tmp_path):
    hu = read_slice(write(tmp_path / "a.dcm", RescaleIntercept=0))[1]
    assert hu[0, 0] == -2000


@pytest.mark.parametrize(("slope", "intercept"), [(0.5, -1000), (1, -1024.5), (20, 0), (1, 31_000)])
def test_rescaling_rounds_and_clips(tmp_path, slope, intercept):
    path = write(tmp_path / "a.dcm", RescaleSlope=slope, RescaleIntercept=intercept)
    expected = np.rint(stored_values() * slope + intercept)
    np.testing.assert_array_equal(read_slice(path)[1], np.clip(expected, -(2**15), 2**15 - 1))


@pytest.mark.parametrize("signed", [False, True])
def test_twelve_bits_stored_in_sixteen(tmp_path, signed):
    values = stored_values(signed, bits=12)
    unused = np.where(np.arange(COLUMNS) % 2, 0x5000, 0)  # bits that mean nothing
    path = write(
        tmp_path / "a.dcm",
        (values & 0x0FFF) | unused,
        BitsStored=12,
        HighBit=11,
        PixelRepresentation=int(signed),
    )
    np.testing.assert_array_equal(read_slice(path)[1], values - 1024)


def test_slices_without_slice_location_are_read(tmp_path):
    path = write(tmp_path / "a.dcm", SliceLocation=None)
    np.testing.assert_array_equal(read_slice(path)[1], stored_values() - 1024)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    "fields",
    [
        {"RescaleSlope": None},
        {"RescaleIntercept": None},
        {"RescaleSlope": None, "RescaleIntercept": None},
        {"RescaleSlope": ""},
        {"RescaleIntercept": ""},
        {"RescaleSlope": [1, 2]},
        {"RescaleSlope": 0},
        {"RescaleSlope": -1},
        {"RescaleSlope": "NaN"},
        {"RescaleSlope": "1e9"},
        {"RescaleIntercept": "inf"},
        {"RescaleIntercept": "1e9"},
        {"RescaleType": "OD"},
        {"RescaleType": "US"},
    ],
    ids=str,
)
def test_hounsfield_units_are_never_guessed(tmp_path, fields, syntax):
    assert reason_of(write(tmp_path / "a.dcm", syntax=syntax, **fields)) is Reason.RESCALE


@pytest.mark.parametrize("unit", ["HU", "", None])
def test_a_slice_says_hounsfield_units_or_nothing(tmp_path, unit):
    path = write(tmp_path / "a.dcm", RescaleType=unit)
    np.testing.assert_array_equal(read_slice(path)[1], stored_values() - 1024)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize(
    "fields",
    [
        {"PixelRepresentation": None},
        {"PixelRepresentation": 2},
        {"BitsStored": None},
        {"BitsStored": 0},
        {"BitsStored": 17},
        {"BitsAllocated": None},
        {"BitsStored": 12},  # with HighBit 15, the values are in the upper bits
        {"HighBit": 11},
        {"PhotometricInterpretation": None},
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PhotometricInterpretation": "RGB"},
    ],
    ids=str,
)
def test_how_pixels_are_stored_is_never_guessed(tmp_path, fields, syntax):
    assert reason_of(write(tmp_path / "a.dcm", syntax=syntax, **fields)) is Reason.PIXEL_FORMAT


def test_the_detail_names_what_is_missing(tmp_path):
    path = write(tmp_path / "a.dcm", RescaleIntercept=None)
    with pytest.raises(BadFileError, match="RescaleIntercept is missing"):
        read_slice(path)
    path = write(tmp_path / "a.dcm", PixelRepresentation=None, BitsStored=None)
    with pytest.raises(BadFileError, match="BitsStored, PixelRepresentation missing"):
        read_slice(path)


@pytest.mark.parametrize("value", ["NaN", "inf", "1e9", "0", "-0.7"])
def test_a_spacing_that_is_no_length_is_refused(tmp_path, value):
    path = write(tmp_path / "a.dcm", PixelSpacing=[value, value])
    assert reason_of(path) is Reason.GEOMETRY


def test_an_empty_slice_location_counts_as_absent(tmp_path):
    path = write(tmp_path / "a.dcm", SliceLocation="")
    np.testing.assert_array_equal(read_slice(path)[1], stored_values() - 1024)


def test_slice_location_may_have_the_other_sign(tmp_path):
    assert read_header(write(tmp_path / "a.dcm", SliceLocation=125.53)).z == -125.5


def test_run_length_encoding_is_decoded(tmp_path):
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.compress(RLELossless)
    dataset.save_as(path)
    np.testing.assert_array_equal(read_slice(path)[1], stored_values() - 1024)
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    assert reason_of(path) is Reason.TRUNCATED


@pytest.mark.parametrize(
    ("syntax", "packages"),
    [
        (JPEGLSLossless, "pip install pyjpegls"),
        (JPEG2000Lossless, "pip install pylibjpeg pylibjpeg-openjpeg"),
        (JPEGLosslessSV1, "pip install pylibjpeg pylibjpeg-libjpeg"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_without_a_decoder_the_packages_are_named(tmp_path, syntax, packages, monkeypatch):
    class NoDecoder:
        is_available = False

    monkeypatch.setattr(dicom, "get_decoder", lambda syntax: NoDecoder())
    path = write(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([b"not decoded here"])
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    with pytest.raises(BadFileError, match=packages) as bad:
        read_slice(path)
    assert bad.value.reason is Reason.CANNOT_DECODE
    assert syntax.name in bad.value.detail


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"PixelData": None}, Reason.NO_PIXELS),
        ({"PixelData": b""}, Reason.NO_PIXELS),
        ({"Rows": None}, Reason.GEOMETRY),
        ({"PixelSpacing": None}, Reason.GEOMETRY),
        ({"PixelSpacing": 0.7}, Reason.GEOMETRY),
        ({"PixelSpacing": [0.7, 0.8]}, Reason.GEOMETRY),
        ({"PixelSpacing": [0, 0]}, Reason.GEOMETRY),
        ({"PixelSpacing": ["nan", "nan"]}, Reason.GEOMETRY),
        ({"ImagePositionPatient": None}, Reason.GEOMETRY),
        ({"ImagePositionPatient": [1, 2]}, Reason.GEOMETRY),
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, Reason.GEOMETRY),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 1]}, Reason.GEOMETRY),
        ({"SliceLocation": 12.5}, Reason.SLICE_LOCATION),
        ({"SliceLocation": [1, 2]}, Reason.GEOMETRY),
        ({"SeriesInstanceUID": "1.2.3"}, Reason.WRONG_SERIES),
        ({"SeriesInstanceUID": None}, Reason.GEOMETRY),
        ({"PixelSpacing": ""}, Reason.GEOMETRY),
        ({"Rows": ROWS + 1}, Reason.TRUNCATED),
        ({"NumberOfFrames": 2, "Rows": ROWS // 2}, Reason.GEOMETRY),
    ],
)
def test_unusable_slices_say_why(tmp_path, fields, reason):
    assert reason_of(write(tmp_path / "a.dcm", **fields)) is reason


def test_files_that_are_no_slices_say_why(tmp_path):
    path = tmp_path / "a.dcm"
    assert reason_of(path) is Reason.MISSING
    path.write_bytes(b"")
    assert reason_of(path) is Reason.EMPTY
    path.write_text("no picture\n" * 30)
    assert reason_of(path) is Reason.NOT_DICOM
    with pytest.raises(ProbunetError, match=r"cannot be read"):
        read_slice(tmp_path)


def test_a_file_that_ends_early_is_never_read(tmp_path):
    content = write(tmp_path / "whole.dcm").read_bytes()
    pixels = 2 * ROWS * COLUMNS
    path = tmp_path / "a.dcm"
    for size in (*range(0, len(content) - pixels, 3), len(content) - pixels // 2, len(content) - 1):
        path.write_bytes(content[:size])
        reason = reason_of(path)
        if size >= len(content) - pixels:
            assert reason is Reason.TRUNCATED


def test_a_file_that_shrinks_after_it_was_opened_is_noticed(tmp_path):
    path = write(tmp_path / "a.dcm")
    opened = open_slice(path)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    opened.hounsfield(0, 5)
    with pytest.raises(BadFileError, match="become shorter"):
        opened.hounsfield()


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1100), st.integers(0, 255)), min_size=1, max_size=8)
)
def test_a_damaged_header_is_read_or_refused(tmp_path, changes):
    content = bytearray(write(tmp_path / "whole.dcm").read_bytes())
    for place, value in changes:
        content[place % (len(content) - 2 * ROWS * COLUMNS)] = value
    path = tmp_path / "a.dcm"
    path.write_bytes(content)
    try:
        header, hu = read_slice(path)
    except BadFileError:
        return
    assert hu.shape == header.shape


def test_real_slices_are_read_as_pydicom_reads_them(sample):
    for path in sorted(sample.rglob("*.dcm"))[::5]:
        dataset = pydicom.dcmread(path)
        expected = dataset.pixel_array.astype(int) + int(dataset.RescaleIntercept)
        header, hu = read_slice(path, str(dataset.SeriesInstanceUID))
        np.testing.assert_array_equal(hu, expected)
        assert header.spacing == float(dataset.PixelSpacing[0])
