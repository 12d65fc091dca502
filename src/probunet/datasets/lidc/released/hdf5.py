"""Read `data_lidc.hdf5`, which PHiSeg and CCDM derive from the pickle of the PyTorch port.

    train, val, test: images (N, 128, 128), the pickle's less 0.5
                      labels (N, 128, 128, 4) as PHiSeg has them, or (N, 4, 128, 128) as CCDM
                      uids (N,), a number of each crop's CT series, which does not say which it is

HDF5 can point to other files and be packed by plug-ins; what is neither in the file itself nor
packed by HDF5's own filters is refused.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from probunet.datasets.lidc.released.manifest import CropReason
from probunet.datasets.lidc.released.sets import SETS
from probunet.datasets.lidc.released.split import PARTS
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError
from probunet.limits import excess, regular
from probunet.memory import raise_if_memory_lacks
from probunet.metrics.bits import GRADERS

SUFFIXES = (".hdf5", ".h5")
_SLAB = 64  # crops that are read at a time
_LARGEST_CHUNK = 2**28  # bytes, which HDF5 unpacks as a whole
_FILTERS = {1, 2, 3, 32000}  # deflate, shuffle, fletcher32, LZF


class Row(NamedTuple):
    """A crop of the file: its name, part and series; its arrays, or why they cannot be used."""

    name: str
    part: str
    uid: int
    arrays: tuple[NDArray[np.float32], NDArray[np.uint8]] | BadFileError  # image; bit g = mask g


def read_hdf5(path: Path) -> Iterator[Row]:
    """Yield the crops of the file, some at a time read into memory.

    Raises
    ------
    ProbunetError
        If the file cannot be read, is damaged, has another layout, or names other files.
    """
    try:
        with open(path, "rb", opener=regular) as opened, h5py.File(opened, "r") as file:
            size = path.stat().st_size
            for part in PARTS:
                yield from _rows(part, *_datasets(file, part, size))
    except ProbunetError:
        raise
    except _LayoutError as error:
        raise ProbunetError(
            f"{path}: {error}; not the file that PHiSeg or CCDM makes (datasets.lidc.path)."
        ) from None
    except Exception as error:  # h5py raises many types for damaged files
        raise_if_memory_lacks(error)
        raise ProbunetError(f"{path}: not a complete HDF5 file ({error}).") from None


class _LayoutError(Exception):
    """What in the file differs from its layout."""


def _datasets(
    file: h5py.File, part: str, size: int
) -> tuple[h5py.Dataset, h5py.Dataset, h5py.Dataset]:
    """Return images, labels and uids of a part of a file of `size` bytes, after checking them."""
    group = _member(file, part, h5py.Group)
    images, labels, uids = (
        _member(group, name, h5py.Dataset) for name in ("images", "labels", "uids")
    )
    for dataset, kinds in ((images, "f"), (labels, "uib"), (uids, "iu")):
        _check_storage(dataset, kinds, size)
    side, count = SETS["knegt"].side, images.shape[0] if images.shape else 0
    layouts = ((count, side, side, GRADERS), (count, GRADERS, side, side))
    if images.shape != (count, side, side) or labels.shape not in layouts or uids.shape != (count,):
        raise _LayoutError(
            f"{part} has images {images.shape}, labels {labels.shape} and uids {uids.shape}"
        )
    return images, labels, uids


def _member(group: h5py.Group, name: str, kind: type) -> h5py.Group | h5py.Dataset:
    """Return a member of a group that lies in this file."""
    where = f"{group.name.rstrip('/')}/{name}"
    link = group.get(name, getlink=True)
    if link is None:
        raise _LayoutError(f"lacks {where}")
    if not isinstance(link, h5py.HardLink):
        raise _LayoutError(f"{where} is a link")
    member = group[name]
    if not isinstance(member, kind):
        raise _LayoutError(f"{where} is not a {kind.__name__.lower()}")
    return member


def _check_storage(dataset: h5py.Dataset, kinds: str, size: int) -> None:
    """Check that a data set has numbers of these kinds, in this file, not packed beyond measure."""
    if dataset.dtype.kind not in kinds:
        raise _LayoutError(f"{dataset.name} has values of type {dataset.dtype}")
    if dataset.is_virtual or dataset.external:
        raise _LayoutError(f"{dataset.name} lies in other files")
    created = dataset.id.get_create_plist()
    filters = {created.get_filter(number)[0] for number in range(created.get_nfilters())}
    if filters - _FILTERS:
        raise _LayoutError(f"{dataset.name} is packed by filter {max(filters - _FILTERS)}")
    chunk = np.prod(dataset.chunks or (1,), dtype=float) * dataset.dtype.itemsize
    if chunk > _LARGEST_CHUNK:
        raise _LayoutError(f"{dataset.name} has chunks of {chunk:,.0f} bytes")
    if problem := excess(dataset.size or 0, size):
        raise _LayoutError(f"{dataset.name} has {problem}")


def _rows(
    part: str, images: h5py.Dataset, labels: h5py.Dataset, uids: h5py.Dataset
) -> Iterator[Row]:
    last = labels.shape[-1] == GRADERS
    for start in range(0, len(images), _SLAB):
        slab = slice(start, start + _SLAB)
        masks = np.moveaxis(labels[slab], -1, 1) if last else labels[slab]
        for place, (image, mask, uid) in enumerate(
            zip(images[slab], masks, uids[slab].tolist(), strict=True), start
        ):
            yield Row(f"{part}/{place}", part, uid, _arrays(image, mask))


def _arrays(
    image: NDArray[np.floating], masks: NDArray[np.integer]
) -> tuple[NDArray[np.float32], NDArray[np.uint8]] | BadFileError:
    """Return an image, 0 to 1, and its masks, bit g = mask g; or why they cannot be used."""
    if not ((image >= -0.5) & (image <= 0.5)).all():
        return BadFileError(CropReason.IMAGE_VALUES, "not all between -0.5 and 0.5")
    if not ((masks == 0) | (masks == 1)).all():
        return BadFileError(CropReason.MASK_VALUES, "not all 0 or 1")
    bits = np.zeros(image.shape, np.uint8)
    for g, mask in enumerate(masks):
        bits |= mask.astype(np.uint8) << g
    return (image + 0.5).astype(np.float32), bits
