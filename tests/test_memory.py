"""Lack of memory is never taken for a damaged file."""

import errno
import mmap
import subprocess
import sys
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
from probunet.memory import free_memory, lacks_memory, raise_if_memory_lacks
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


@linux
@pytest.mark.parametrize(
    ("group", "files", "left"),
    [
        ("0::/job", {"job/memory.max": "max"}, None),
        ("0::/job", {"job/memory.max": "5000000", "job/memory.current": "2000000"}, 3_000_000),
        # what is cached of files is taken back before a job is killed
        (
            "0::/job/step",
            {
                "job/memory.max": "5000000",
                "job/memory.current": "4000000",
                "job/memory.stat": "anon 1\ninactive_file 2500000",
                "job/step/memory.max": "max",
            },
            3_500_000,
        ),
        (
            "4:cpu,memory:/job",
            {
                "memory/job/memory.limit_in_bytes": "5000000",
                "memory/job/memory.usage_in_bytes": "1000000",
            },
            4_000_000,
        ),
    ],
)
def test_free_memory_is_what_the_job_s_limit_leaves(tmp_path, monkeypatch, group, files, left):
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    (tmp_path / "cgroup").write_text(f"{group}\n")
    monkeypatch.setattr(memory, "PROCESS", tmp_path)
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    found = free_memory()
    assert found == left if left else found > 2**26


@linux
def test_free_memory_is_what_a_limit_of_the_process_leaves():
    code = """
import resource
from probunet.memory import free_memory
used = int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + 2**27, used + 2**27))
print(free_memory())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert abs(int(done.stdout) - 2**27) < 2**23
