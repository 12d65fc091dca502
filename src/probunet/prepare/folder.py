"""Images of one's own and their masks -> the store of images, all of one size."""

from collections import Counter
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path

import numpy as np
import zarr

from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.image_files import common_dtype
from probunet.image_manifest import ImageManifest, ImageReason
from probunet.manifest import count_reasons
from probunet.prepare.fit import RESAMPLING
from probunet.prepare.image import Form, PlannedImage, read_images
from probunet.prepare.plan import Plan, Read
from probunet.store import (
    ImageAttributes,
    ImageColumns,
    create_image_arrays,
    create_images,
    versions,
)

Size = tuple[int, int]  # height and width, pixels


@dataclass(frozen=True)
class ImagePlan(Plan[PlannedImage]):
    """The images to make of a manifest of one's own."""

    source: ImageManifest
    form: Form
    window: tuple[float, float]
    window_from: str

    noun = "image"
    subjects = "subjects"
    excused = (ImageReason.NO_MASK, ImageReason.UNMARKED)

    @property
    def read(self) -> Read[PlannedImage]:
        """Makes images; can be sent to a worker."""
        return partial(read_images, Path(self.source.root), self.form)

    def attributes(self) -> ImageAttributes:
        """Return what the store says of itself."""
        graders = Counter(sum(map(bool, item.image.masks)) for item in self.items)
        return ImageAttributes(
            dataset=self.source.dataset,
            source=self.source.source,
            synthetic=self.source.synthetic,
            size=self.form.size,
            channels=self.form.channels,
            values=self.form.dtype,
            graders=self.source.graders,
            window=self.window,
            window_from=self.window_from,
            resampling=RESAMPLING,
            resampled=sum(item.image.size != self.form.size for item in self.items),
            annotations={str(count): graders[count] for count in sorted(graders)},
            left_out=count_reasons(self.left_out),
            left_out_subjects=tuple(self.lost),
            unmarked=self.source.unmarked,
            manifest_sha256=sha256(self.manifest),
            licence=self.source.licence,
            versions=versions("nibabel", "pillow"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the arrays of so many images, still empty."""
        create_image_arrays(group, count, self.form.size, self.form.channels, self.form.dtype)

    def create(self, store: Path) -> None:
        """Create the unsealed store of all images, its pixels still empty."""
        columns = ImageColumns(
            subject=np.array([item.subject for item in self.items]),
            name=np.array([item.image.image.path for item in self.items]),
            slice=np.array([-1 if item.slice is None else item.slice for item in self.items], "i4"),
            given=np.array([_given(item) for item in self.items], np.uint8),
        )
        create_images(store, columns, self.attributes())


def plan_images(
    manifest: Path,
    size: Size | None = None,
    window: tuple[float, float] | None = None,
    multiple: int = 1,
) -> ImagePlan:
    """Return the images to make of a manifest.

    Parameters
    ----------
    manifest
        What `fetch` wrote.
    size
        Height and width; the images' own if None, which all must have then.
    window
        Values that become 0 and 1; those of the manifest if None.
    multiple
        Of which height and width must be multiples.

    Raises
    ------
    ProbunetError
        If the images differ in size and none is told, or it is no such multiple.
    """
    source = ImageManifest.read(manifest)
    where = f"datasets.{source.dataset}.size"
    chosen = size or _common_size(source, where)
    if any(length % multiple for length in chosen):
        raise ProbunetError(
            f"{manifest}: images of {_told(chosen)} pixels, and the network needs multiples of "
            f"{multiple}; set {where} in config.yaml to {near_sizes(chosen, multiple)}, or take "
            "fewer architecture.channels."
        )
    items = [
        PlannedImage(image, k)
        for image in sorted(source.images, key=lambda image: (image.subject, image.image.path))
        for k in (image.slices or (None,))
    ]
    dtype = common_dtype({image.dtype for image in source.images})
    form = Form(chosen, source.images[0].channels, dtype.name, (window or source.window)[0])
    told = ("set in the configuration", window) if window else (source.window_from, source.window)
    return ImagePlan(manifest, items, list(source.left_out), source, form, told[1], told[0])


def near_sizes(size: Size, multiple: int) -> str:
    """Return the next sizes that are multiples, in words.

    >>> near_sizes((100, 64), 16), near_sizes((10, 100), 16)
    ('[96, 64] or [112, 64]', '[16, 96] or [16, 112]')
    """
    below = [max(length // multiple, 1) * multiple for length in size]
    above = [-(-length // multiple) * multiple for length in size]
    return " or ".join(str(one) for one, _ in groupby((below, above)))


def _common_size(source: ImageManifest, key: str) -> Size:
    """Return the size that all images have."""
    first = source.images[0]
    other = next((image for image in source.images if image.size != first.size), None)
    if other is None:
        return first.size
    raise ProbunetError(
        f"{source.root}: {first.image.path} has {_told(first.size)} pixels, and {other.image.path} "
        f"{_told(other.size)}; set {key} in config.yaml to the height and width that all are to "
        "have, for example to that of most."
    )


def _told(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _given(item: PlannedImage) -> int:
    """Return who has looked at an image, bit g = grader g."""
    return sum(1 << g for g, mask in enumerate(item.image.masks) if mask is not None)
