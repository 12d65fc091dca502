"""Plan the store of your own images and masks, all of one size or each of its own."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import zarr

from probunet.config import Absent
from probunet.datasets.folder.classes import Classes
from probunet.datasets.folder.fit import LABELS_RESAMPLING, OWN_SIZES, RESAMPLING
from probunet.datasets.folder.image import Form, PlannedImage, read_images
from probunet.datasets.folder.image_files import common_dtype
from probunet.datasets.folder.manifest import ImageLeftOut, ImageManifest, ImageReason
from probunet.datasets.folder.mask_kinds import BinaryMasks, LabelMaps
from probunet.datasets.folder.store import (
    ImageAttributes,
    ImageColumns,
    LabelAttributes,
    create_image_arrays,
    create_images,
)
from probunet.errors import ProbunetError
from probunet.metrics.bits import mask_dtype
from probunet.prepare.plan import Plan, Read

Size = tuple[int, int]  # height and width, pixels


@dataclass(frozen=True)
class ImagePlan(Plan[PlannedImage]):
    """The images to make from a manifest of your own images."""

    source: ImageManifest
    form: Form
    window: tuple[float, float]
    window_from: str
    absent: Absent

    noun = "image"
    unusable = ImageLeftOut
    subjects = "subjects"
    excused = (ImageReason.NO_MASK, ImageReason.UNMARKED)

    @property
    def read(self) -> Read[PlannedImage]:
        """Function that makes images; picklable."""
        return partial(read_images, Path(self.source.root), self.form)

    def attributes(self) -> ImageAttributes:
        """Return the attributes of the store."""
        counts = Counter(sum(map(bool, item.image.masks)) for item in self.items)
        resampling = LABELS_RESAMPLING if self.source.classes else RESAMPLING
        cls: Callable[..., ImageAttributes] = ImageAttributes
        if (classes := self.source.classes) is not None:
            cls = partial(LabelAttributes, absent=self.absent, classes=classes)
        return cls(
            size=self.form.size,
            channels=self.form.channels,
            values=self.form.dtype,
            graders=self.source.graders,
            window=self.window,
            window_from=self.window_from,
            resampling=OWN_SIZES if self.form.own else resampling,
            resampled=sum(
                item.image.size != self.form.size for item in self.items if not self.form.own
            ),
            annotations={str(count): counts[count] for count in sorted(counts)},
            left_out_subjects=tuple(self.lost),
            unmarked=self.source.unmarked,
            threshold=self.source.threshold,
            checks=self.source.checks,
            warnings=self.source.warnings,
            **self.origin("nibabel", "pillow"),
        )

    def create_images(self, group: zarr.Group, count: int) -> None:
        """Create the empty arrays of `count` images."""
        create_image_arrays(
            group,
            count,
            self.form.size,
            self.form.channels,
            self.form.dtype,
            self.form.graders,
            self.form.masks.array,
            self.form.own,
        )

    def create(self, store: Path) -> None:
        """Create the unsealed store of all images, with empty pixels."""
        sizes = np.array([item.image.size for item in self.items], "i4").reshape(-1, 2)
        columns = ImageColumns(
            subject=np.array([item.subject for item in self.items]),
            name=np.array([item.image.image.path for item in self.items]),
            slice=np.array([-1 if item.slice is None else item.slice for item in self.items], "i4"),
            given=np.array([_graders(item) for item in self.items], mask_dtype(self.form.graders)),
            height=sizes[:, 0] if self.form.own else None,
            width=sizes[:, 1] if self.form.own else None,
        )
        create_images(store, columns, self.attributes())


def plan_images(
    manifest: Path,
    size: Size | Literal["own"] | None = None,
    window: tuple[float, float] | None = None,
    multiple: int = 1,
    absent: Absent = "equal",
) -> ImagePlan:
    """Return the images to make from a manifest.

    `size` is height and width, which must be multiples of `multiple`; None keeps the images' size,
    which must then be the same for all; "own" keeps the size of each. `window` are the values that
    become 0 and 1; those of the manifest if None. `absent` is what a class counts that neither of
    two label maps has.

    Raises
    ------
    ProbunetError
        If the images differ in size and `size` is None, or the size is not such a multiple.
    """
    source = ImageManifest.read(manifest)
    where = f"datasets.{source.dataset}.size"
    chosen = _largest_size(source) if size == "own" else size or _common_size(source, where)
    if size != "own" and any(length % multiple for length in chosen):
        raise ProbunetError(
            f"{manifest}: images of {_pixels(chosen)}, and the network needs multiples of "
            f"{multiple}; set {where} in the configuration to {near_sizes(chosen, multiple)}, or "
            "use fewer channels (architecture.channels, or those of a model's own section)."
        )
    items = [
        PlannedImage(image, k)
        for image in sorted(source.images, key=lambda image: (image.subject, image.image.path))
        for k in (image.slices or (None,))
    ]
    dtype = common_dtype({image.dtype for image in source.images})
    form = Form(
        chosen,
        source.images[0].channels,
        dtype.name,
        padding=(window or source.window)[0],
        graders=len(source.graders),
        masks=LabelMaps(Classes(source.classes))
        if source.classes
        else BinaryMasks(source.threshold),
        own=size == "own",
    )
    return ImagePlan(
        manifest,
        items,
        list(source.left_out),
        source,
        form,
        window=window or source.window,
        window_from="set in the configuration" if window else source.window_from,
        absent=absent,
    )


def near_sizes(size: Size, multiple: int) -> str:
    """Return the nearest sizes that are multiples, as text.

    >>> near_sizes((100, 64), 16), near_sizes((10, 100), 16)
    ('[96, 64] or [112, 64]', '[16, 96] or [16, 112]')
    """
    below = [max(length // multiple, 1) * multiple for length in size]
    above = [-(-length // multiple) * multiple for length in size]
    return " or ".join(str(one) for one, _ in groupby((below, above)))


def _common_size(source: ImageManifest, key: str) -> Size:
    """Return the size of all images; raise ProbunetError if they differ."""
    first = source.images[0]
    other = next((image for image in source.images if image.size != first.size), None)
    if other is None:
        return first.size
    raise ProbunetError(
        f"{source.root}: {first.image.path} has {_pixels(first.size)}, and {other.image.path} "
        f"{_pixels(other.size)}; set {key} in the configuration to the height and width that all "
        "images should have, for example those of most images, or to `own`, to train on patches "
        "of them."
    )


def _largest_size(source: ImageManifest) -> Size:
    """Return the largest height and the largest width of the images."""
    heights, widths = zip(*(image.size for image in source.images), strict=True)
    return max(heights), max(widths)


def _pixels(size: Size) -> str:
    return f"{size[0]} x {size[1]} pixels"


def _graders(item: PlannedImage) -> int:
    """Return which graders have looked at an image, bit g = grader g."""
    return sum(1 << g for g, mask in enumerate(item.image.masks) if mask is not None)
