"""LIDC-IDRI in the report: its crops, graders and samples."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from probunet.metrics.bits import GRADERS, unpack_graders
from probunet.report import masks
from probunet.report.images import grey
from probunet.report.labels import number
from probunet.report.view import About, Preset, Scale, View
from probunet.store import SIZE, Crops

WINDOW = (-1350.0, 150.0)  # HU: the usual lung window, width 1500 around -600
ZOOM_MARGIN = 10  # pixels around all outlines
LEAST_ZOOM = 48  # pixels, the smallest side that is shown
SAME = 0.1  # mm: slices that are nearer to each other are told by the same number
# from air to soft tissue; bone, and vessels with contrast agent, are cut
SCALE = Scale(
    low=-1400,
    high=600,
    unit="HU",
    presets=[Preset("lung", -600, 1500), Preset("mediastinum", 40, 400)],
)


def about(crops: Crops) -> About:
    """Return what is the same for all crops."""
    return About(
        kind="masks",
        subject="patient",
        subjects="patients",
        truth="grader",
        spacing=crops.attributes.spacing,
        scale=SCALE,
    )


def views(crops: Crops, rows: NDArray[np.int64], size: tuple[int, int]) -> list[View]:
    """Return the crops in these rows, of each its centre."""
    margin = (SIZE - size[0]) // 2
    centre = slice(margin, margin + size[0])
    images = np.asarray(crops.image.oindex[rows, centre, centre])
    graders = unpack_graders(np.asarray(crops.masks.oindex[rows, centre, centre]))
    return [
        View(
            subject=str(crops.columns.patient[row]),
            name=name_of(crops, int(row)),
            area=float(drawn.sum() / len(drawn)),
            disagreement=masks.disagreement(drawn),
            picture=grey(image, SCALE.low, SCALE.high),
            truth=masks.stacked(drawn),
            given=[*range(1, GRADERS + 1)],
            box=masks.box(drawn),
            annotations=int(crops.columns.annotations[row]),
            arrays={"truth": drawn},
        )
        for row, image, drawn in zip(rows, images, graders, strict=True)
    ]


def drawn(
    view: View, samples: NDArray[np.uint8], deterministic: NDArray[np.uint8]
) -> dict[str, Any]:
    """Return a run's masks of one crop."""
    height, width = view.arrays["truth"].shape[1:]
    return masks.segmentations(samples, deterministic, (height, width))


def name_of(crops: Crops, row: int) -> str:
    """Return what tells a crop from the patient's others: its slice, and the lesion if need be."""
    patient, z = crops.columns.patient, crops.columns.z
    name = f"z {number(float(z[row]), 1)} mm"
    beside = (patient == patient[row]) & (np.abs(z - z[row]) < SAME)
    return f"{name}, lesion {crops.columns.lesion[row]}" if beside.sum() > 1 else name


def centre_of(crops: Crops, row: int, crop: int) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """Return a crop's centre (crop, crop), HU, and its graders' masks (4, crop, crop)."""
    margin = (SIZE - crop) // 2
    centre = slice(margin, margin + crop)
    bits = np.asarray(crops.masks[row])[centre, centre]
    graders = np.stack([(bits >> g & 1).astype(bool) for g in range(GRADERS)])
    return np.asarray(crops.image[row])[centre, centre], graders


def outline(mask: NDArray[np.bool_]) -> str:
    """Return a mask's outline as an SVG path, x and y in pixels; empty for an empty mask."""
    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):  # type: ignore[no-untyped-call]
        # a pixel's centre lies half a pixel from its corner, less the padding's pixel
        points = contour[:-1] - 0.5
        parts.append("M" + "L".join(f"{x:g} {y:g}" for y, x in points) + "Z")
    return "".join(parts)


def zoom_to(masks: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return left, top and side of a square that holds all masks (m, H, W), with a margin."""
    crop = masks.shape[-1]
    rows, columns = np.nonzero(masks.any(axis=0))
    if len(rows) == 0:
        return 0, 0, crop
    height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
    side = int(np.clip(max(height, width) + 2 * ZOOM_MARGIN, min(LEAST_ZOOM, crop), crop))

    def start(indices: NDArray[np.int64]) -> int:
        middle = (indices.min() + indices.max() + 1) / 2
        return int(np.clip(round(middle - side / 2), 0, crop - side))

    return start(columns), start(rows), side
