"""Images of one's own in the report: pictures, and the masks of those who have looked at them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import bits_of, unpack_graders
from probunet.report import masks
from probunet.report.images import LEVELS, grey, photograph
from probunet.report.view import About, Preset, Scale, View
from probunet.store import Images


def about(images: Images) -> About:
    """Return what is the same for all images."""
    low, high = images.attributes.window
    whole = Preset("as trained on", (low + high) / 2, high - low)
    return About(
        kind="masks",
        subject="subject",
        subjects="subjects",
        truth="grader",
        names=images.attributes.graders,
        scale=Scale(low, high, "", [whole]) if images.attributes.channels == 1 else None,
    )


def views(images: Images, rows: NDArray[np.int64], size: tuple[int, int]) -> list[View]:
    """Return the images in these rows; all of an image is sampled, `size` is that of the store."""
    found = []
    pictures, drawn = images.image.oindex[rows], images.masks.oindex[rows]
    for row, picture, bits in zip(rows, np.asarray(pictures), np.asarray(drawn), strict=True):
        graders = bits_of(int(images.given[row]))
        truth = unpack_graders(bits[None], graders)[0]
        found.append(
            View(
                subject=str(images.columns.subject[row]),
                name=name_of(images, int(row)),
                area=float(truth.sum() / len(truth)),
                disagreement=masks.disagreement(truth),
                picture=shown(picture, images.attributes.window),
                truth=masks.stacked(truth),
                given=[grader + 1 for grader in graders],
                box=masks.box(truth),
                arrays={"truth": truth},
            )
        )
    return found


def drawn(
    view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
) -> dict[str, Any]:
    """Return a run's masks of one image."""
    height, width = view.arrays["truth"].shape[1:]
    return masks.segmentations(samples, deterministic, (height, width))


def name_of(images: Images, row: int) -> str:
    """Return the file of an image, as the table names it, and the slice of a volume."""
    name, place = str(images.columns.name[row]), int(images.columns.slice[row])
    return name if place < 0 else f"{name}, slice {place}"


def shown(picture: NDArray[Any], window: tuple[float, float]) -> str:
    """Return an image (H, W, C) within the window: grey as PNG, in colour as JPEG."""
    if picture.shape[2] == 1:
        return grey(picture[..., 0], *window)
    low, high = window
    levels = np.clip((picture.astype(np.float64) - low) / (high - low), 0, 1) * LEVELS
    return photograph(np.rint(levels).astype(np.uint8))
