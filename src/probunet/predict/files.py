"""Files of maps: written slice by slice, in the format and the space of the input.

NIfTI for NIfTI and for DICOM series, TIFF for TIFF; of other pictures, label maps are PNG with a
palette, and maps of numbers TIFF.
"""

import gzip
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from probunet.pictures.labels import class_colours, rgb_of
from probunet.predict.base import DISCLAIMER, Picture
from probunet.truth.labels import BACKGROUND

Append = Callable[[NDArray[Any]], None]  # a slice of maps (H, W), in order

_PACKING = 1  # gzip's level: higher ones take longer than the network, for little
_CLASSIC = 2**31  # bytes; larger files need offsets of 64 bits


@contextmanager
def map_file(
    stem: Path, picture: Picture, values: str, classes: tuple[str, ...]
) -> Iterator[Append]:
    """Yield a function that adds the next slice of maps to a file; `values` is their NumPy type.

    The file has the stem's name and an ending of its own, see `ending`.
    """
    path = stem.with_name(stem.name + ending(picture, values))
    if path.suffix == ".gz":
        with path.open("wb") as raw, gzip.GzipFile("", "wb", _PACKING, raw, mtime=0) as file:
            _header(picture, values).write_to(file)
            yield lambda one: _write(file, one.astype(np.dtype(values).newbyteorder("<")))
    elif path.suffix == ".png":
        yield lambda one: _write_png(path, one, classes)
    else:
        from tifffile import TiffWriter

        size = picture.pixels[..., 0].size * np.dtype(values).itemsize
        with TiffWriter(path, bigtiff=size > _CLASSIC) as tiff:
            how: dict[str, Any] = {"compression": "zlib", "metadata": None, "software": False}
            yield lambda one: _write_page(tiff, one.astype(values), how)


def ending(picture: Picture, values: str) -> str:
    """Return how the names of a picture's files of maps end."""
    if picture.affine is not None:
        return ".nii.gz"
    is_map = np.dtype(values) == np.uint8 and not picture.volume
    return ".png" if is_map and not picture.tiff else ".tif"


def class_rgb(classes: tuple[str, ...], single: str = "#ffffff") -> NDArray[np.uint8]:
    """Return a colour for each class, (classes, 3): black of the background; `single` if one."""
    others = sum(name != BACKGROUND for name in classes)
    colours = iter(class_colours(others) if others > 1 else [single])
    return rgb_of(["#000000" if name == BACKGROUND else next(colours) for name in classes])


def _write(file: Any, values: NDArray[Any]) -> None:
    file.write(np.ascontiguousarray(values).data)


def _write_page(tiff: Any, values: NDArray[Any], how: dict[str, Any]) -> None:
    tiff.write(np.ascontiguousarray(values), description=DISCLAIMER, **how)


def _write_png(path: Path, ids: NDArray[np.uint8], classes: tuple[str, ...]) -> None:
    image, about = Image.fromarray(ids), PngInfo()
    image.putpalette(class_rgb(classes).tobytes())
    about.add_text("Comment", DISCLAIMER)
    image.save(path, "PNG", pnginfo=about)


def _header(picture: Picture, values: str) -> Any:
    """Return the header of a NIfTI file with the picture's shape and place, little-endian."""
    import nibabel

    if picture.header is not None:
        header = picture.header.as_byteswapped("<") if _is_big(picture.header) else picture.header
        header = header.copy()
        header.extensions.clear()
    else:
        slices, height, width = picture.pixels.shape[:3]
        header = cast(Any, nibabel.Nifti1Header)()
        header.set_data_shape((width, height, slices))
        header.set_sform(picture.affine, code="scanner")
        header.set_qform(picture.affine, code="scanner")
        header.set_xyzt_units("mm")
    header.set_data_dtype(np.dtype(values))
    header.set_slope_inter(1, 0)
    header["descrip"] = DISCLAIMER.encode()
    header["cal_min"] = header["cal_max"] = 0
    header["vox_offset"] = 0  # where it is smallest
    return header


def _is_big(header: Any) -> bool:
    return bool(header.endianness == ">")
