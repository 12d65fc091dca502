"""Where NIfTI images lie in space: a mask as its image, and all volumes sliced alike."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from probunet.datasets.folder.image_files import Decoded
from probunet.datasets.folder.manifest import ImageReason
from probunet.datasets.raw_file import BadFileError
from probunet.errors import ProbunetError

_TOLERANCE = 0.1  # voxels between a place in a mask and in its image
_SAME = 0.5  # cosine of 60 degrees
_PLANES = {
    **dict.fromkeys("SI", "axial"),
    **dict.fromkeys("RL", "sagittal"),
    **dict.fromkeys("AP", "coronal"),
}


class Axes(NamedTuple):
    """The directions of an image's columns, rows and slices."""

    names: str  # "RAS": to the right, to the front, upwards
    directions: NDArray[np.float64]  # (3, 3), a unit vector in each column

    @classmethod
    def of(cls, image: Decoded) -> Self | None:
        """Return the axes; None if the file does not say them."""
        if image.affine is None or None in (image.orientation or ()):
            return None
        columns = image.affine[:3, :3]
        return cls(_named(image.orientation), columns / np.linalg.norm(columns, axis=0))


def compare_places(image: Decoded, mask: Decoded) -> None:
    """Raise BadFileError if a mask of the same shape lies elsewhere than its image.

    Places are compared, not names of axes: of a volume that is tilted by 45 degrees, rounding
    changes the names.
    """
    if image.affine is None or mask.affine is None:
        return
    sizes = np.linalg.norm(image.affine[:3, :3], axis=0)  # of a voxel
    slices, height, width = image.pixels.shape[:3]
    ends = ((0, width - 1), (0, height - 1), (0, slices - 1), (1,))
    corners = np.stack(np.meshgrid(*ends)).reshape(4, -1)
    apart = np.linalg.norm((mask.affine - image.affine) @ corners, axis=0).max()
    if apart <= _TOLERANCE * sizes.min():
        return
    if image.orientation != mask.orientation:
        names = [_named(one.orientation) for one in (mask, image)]
        raise BadFileError(ImageReason.ORIENTATION, f"{names[0]}, the image {names[1]}")
    places = [_place_of(affine) for affine in (mask.affine, image.affine)]
    raise BadFileError(ImageReason.PLACE, f"{places[0]}, the image {places[1]}")


def compare_planes(images: Sequence[tuple[str, Axes]]) -> Iterator[str]:
    """Yield a warning if images, with their files, differ in their axes.

    Oblique volumes of several subjects are never parallel: directions differ beyond 60 degrees.

    Raises
    ------
    ProbunetError
        If their slices do.
    """
    if not images:
        return
    first, axes = images[0]
    others = []
    for path, other in images:
        cosines = (axes.directions * other.directions).sum(axis=0)
        if abs(cosines[2]) < _SAME:
            planes = [_PLANES[one.names[2]] for one in (axes, other)]
            raise ProbunetError(
                f"{first} has {planes[0]} slices (axes {axes.names}), and {path} has {planes[1]} "
                f"slices (axes {other.names}), but all volumes of a data set must be sliced "
                "alike; turn the volumes, or write two tables, one for each data set."
            )
        if (cosines < _SAME).any():
            others.append(other.names)
    if others:
        yield (
            f"{len(others)} of {len(images)} volumes have the axes "
            f"{', '.join(sorted(set(others)))}, and {first} {axes.names}: their slices are "
            "mirrored or turned against each other"
        )


def _named(axes: tuple[str | None, ...] | None) -> str:
    return "".join(axis or "?" for axis in axes or ())


def _place_of(affine: NDArray[Any]) -> str:
    """Return origin and voxel size, mm, as text."""
    origin, size = affine[:3, 3], np.linalg.norm(affine[:3, :3], axis=0)
    parts = [", ".join(f"{value:.5g}" for value in values) for values in (origin, size)]
    return f"origin ({parts[0]}), voxels ({parts[1]})"
