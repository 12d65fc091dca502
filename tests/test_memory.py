"""Lack of memory is never taken for a damaged file."""

import errno
import mmap
import zlib
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from probunet import memory
from probunet.memory import lacks_memory, raise_if_memory_lacks
from support.listening import linux
from support.little_memory import LACKS, OTHER, SAME, outcomes_of
from support.slices import write_slice

RIGHT = np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        OSError("out of memory when reading image file"),  # Pillow's decoder error -9
        RuntimeError("exceptions were raised: rle: Unable to allocate 2.00 GiB for an array"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("std::bad_alloc"),
        ImportError("libopenblas.so: failed to map segment from shared object"),
    ],
)
def test_an_error_that_says_so_is_a_lack_of_memory(error: Exception) -> None:
    with pytest.raises(MemoryError):
        raise_if_memory_lacks(error)
    damaged = ValueError("damaged")
    damaged.__context__ = error
    assert lacks_memory(damaged)


def test_any_error_is_one_if_hardly_any_memory_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = OSError("broken data stream when reading image file")  # libjpeg's, whatever it was
    raise_if_memory_lacks(broken)
    raise_if_memory_lacks(zlib.error("Error -3 while decompressing data: incorrect data check"))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr(memory.mmap, "mmap", refuse)
    with pytest.raises(MemoryError, match="less than 256 MiB were left"):
        raise_if_memory_lacks(broken)
    assert mmap.mmap is refuse


def pictures(folder: Path) -> list[Path]:
    image = Image.fromarray(RIGHT)
    for name in ("a.png", "a.jpg", "a.bmp", "a.ppm", "a.gif"):
        image.save(folder / name)
    for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg"):
        image.save(folder / f"{name}.tif", compression=name)
    tifffile.imwrite(folder / "deep.tif", RIGHT.astype(np.uint16) * 257, photometric="rgb")
    tifffile.imwrite(folder / "stack.tif", RIGHT.transpose(2, 0, 1), photometric="minisblack")
    nibabel.save(nibabel.Nifti1Image(RIGHT, np.eye(4)), folder / "a.nii")
    nibabel.save(nibabel.Nifti1Image(RIGHT, np.eye(4)), folder / "a.nii.gz")
    return sorted(folder.iterdir())


DECODE_PICTURE = """
from probunet.datasets.folder.image_files import decode_image
def decode(path):
    return decode_image(path.read_bytes()).pixels
"""
DECODE_PNG = """
import numpy as np
from probunet.datasets.cityscapes.png import decode as decode_png
def decode(path):
    return np.asarray(decode_png(path.read_bytes()).image)
"""
DECODE_SLICE = """
from probunet.datasets.lidc.dicom import read_slice
def decode(path):
    return read_slice(path)[1]
"""


def check(found: dict[Path, Counter[int]]) -> None:
    """Check that decoding with too little memory says so, and never something else."""
    for path, codes in found.items():
        assert codes[SAME], f"{path.name}: {codes}"
        assert not codes[OTHER], f"{path.name}: {codes}"
    assert any(codes[LACKS] for codes in found.values())


@linux
@pytest.mark.slow
def test_pictures_and_volumes_are_not_damaged_with_little_memory(tmp_path: Path) -> None:
    check(outcomes_of(DECODE_PICTURE, pictures(tmp_path), 25))


@linux
@pytest.mark.slow
def test_scenes_are_not_damaged_with_little_memory(tmp_path: Path) -> None:
    check(
        outcomes_of(DECODE_PNG, [path for path in pictures(tmp_path) if path.suffix == ".png"], 25)
    )


@linux
@pytest.mark.slow
def test_slices_are_not_damaged_with_little_memory(tmp_path: Path) -> None:
    plain = write_slice(tmp_path / "plain.dcm", 0.0, pixels=RIGHT[..., 0].astype("<i2"))
    for name, syntax in (("deflated", DeflatedExplicitVRLittleEndian), ("rle", RLELossless)):
        dataset = pydicom.dcmread(plain)
        if syntax is RLELossless:
            dataset.compress(syntax)
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(tmp_path / f"{name}.dcm")
    check(outcomes_of(DECODE_SLICE, sorted(tmp_path.iterdir()), 25))
