"""Test images with their graders and samples, drawn as outlines over the picture."""

import base64
import io
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.image import imsave
from numpy.typing import NDArray
from skimage.measure import find_contours

from probunet.metrics.bits import unpack
from probunet.report.runs import RunFolder
from probunet.run import Run
from probunet.store import GRADERS, SIZE, Crops, Samples

WINDOW = (-1350.0, 150.0)  # HU: the usual lung window, width 1500 around -600
SHOWN = 16  # samples per image, at most
ZOOM_MARGIN = 10  # pixels around all outlines
LEAST_ZOOM = 48  # pixels, the smallest side that is shown


ImageScores = dict[Hashable, Any]  # a row of a run's scores


@dataclass(frozen=True)
class Example:
    """One test image: pictures as data URIs, outlines as SVG paths in pixels of the crop."""

    run: Run
    patient: str
    z: float  # mm
    annotations: int
    ged: float
    crop: int  # side, pixels
    zoom: tuple[int, int, int]  # left, top and side of the part shown large, pixels
    picture: str
    graders: list[str]
    graders_mean: str
    samples: list[str]
    samples_mean: str


def choose(
    runs: list[RunFolder], model: str, beta: float, count: int
) -> list[tuple[RunFolder, ImageScores]]:
    """Return runs and rows of their scores: images spread over folds and over GED.

    Of the lowest seed. The folds take turns; the i-th of `count` images lies at the quantile
    (i + 1/2) / count of its fold's GED, or nearest to it among patients not yet shown.
    """
    of_model = [run for run in runs if (run.run.model, run.run.beta) == (model, beta)]
    seed = min((run.run.seed for run in of_model), default=0)
    usable = [
        (run, _model_scores(run.scores))
        for run in sorted(of_model, key=lambda run: run.run)
        if run.run.seed == seed and run.samples is not None and run.scores is not None
    ]
    chosen: list[tuple[RunFolder, ImageScores]] = []
    shown: set[str] = set()
    for i in range(count if usable else 0):
        run, scores = usable[i % len(usable)]
        taken = [row["row"] for other, row in chosen if other is run]
        left = scores[~scores["row"].isin(taken)]
        if left.empty:
            continue
        unseen = left[~left["patient"].isin(shown)]
        candidates = left if unseen.empty else unseen
        wanted = float(scores["ged"].quantile((i + 0.5) / count))
        nearest = int((candidates["ged"] - wanted).abs().to_numpy().argmin())
        row: ImageScores = candidates.to_dict("records")[nearest]
        chosen.append((run, row))
        shown.add(row["patient"])
    return sorted(chosen, key=lambda pair: pair[1]["ged"])


def draw(run: Run, row: ImageScores, samples: Samples, crops: Crops) -> Example:
    """Return the drawing of one test image."""
    crop = samples.attributes.size[0]
    margin = (SIZE - crop) // 2
    centre = slice(margin, margin + crop)
    index = int(row["row"])
    image = np.asarray(crops.image[index])[centre, centre]
    bits = np.asarray(crops.masks[index])[centre, centre]
    graders = np.stack([(bits >> g & 1).astype(bool) for g in range(GRADERS)])
    position = int(np.flatnonzero(samples.rows == index)[0])
    drawn = unpack(np.asarray(samples.samples[position]), crop, crop)
    return Example(
        run=run,
        patient=str(row["patient"]),
        z=float(row["z"]),
        annotations=int(row["annotations"]),
        ged=float(row["ged"]),
        crop=crop,
        zoom=_zoom(np.concatenate((graders, drawn[:SHOWN]))),
        picture=_png(image, *WINDOW, "gray"),
        graders=[outline(mask) for mask in graders],
        graders_mean=_png(graders.mean(axis=0), 0, 1, "magma"),
        samples=[outline(mask) for mask in drawn[:SHOWN]],
        samples_mean=_png(drawn.mean(axis=0), 0, 1, "magma"),
    )


def outline(mask: NDArray[np.bool_]) -> str:
    """Return a mask's outline as an SVG path, x and y in pixels; empty for an empty mask."""
    parts = []
    for contour in find_contours(np.pad(mask, 1).astype(np.float32), 0.5):  # type: ignore[no-untyped-call]
        # a pixel's centre lies half a pixel from its corner, less the padding's pixel
        points = contour[:-1] - 0.5
        parts.append("M" + "L".join(f"{x:g} {y:g}" for y, x in points) + "Z")
    return "".join(parts)


def _model_scores(scores: pd.DataFrame) -> pd.DataFrame:
    model = scores[scores["predictor"] == "model"]
    greatest: pd.DataFrame = model[model["n"] == model["n"].max()]
    return greatest


def _zoom(masks: NDArray[np.bool_]) -> tuple[int, int, int]:
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


def _png(values: NDArray[np.generic], low: float, high: float, colours: str) -> str:
    buffer = io.BytesIO()
    imsave(
        buffer,
        values,
        vmin=low,
        vmax=high,
        cmap=colours,
        format="png",
        pil_kwargs={"optimize": True},
    )
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
