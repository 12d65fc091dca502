"""The latent space around test images: a grid of segmentations, the prior and the posterior.

As in Kohl et al. 2018, figures of the latent space: segmentations are shown where they lie in it.
All places are in units of the prior's sigma, from the prior's mean.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import bits_of, unpack, unpack_graders
from probunet.report import own
from probunet.report.crops import WINDOW, centre_of, outline, zoom_to
from probunet.report.images import grey, indexed
from probunet.report.palette import PALETTE, coloured
from probunet.report.runs import RunFolder
from probunet.report.scenes import fitted
from probunet.run import Run
from probunet.store import Crops, Data, Graded, Latent, Samples, Scenes

MOST = 3  # images shown per data set
CELL = 144  # pixels, width of a scene's segmentation in the grid
SIDE = 1.0  # how far beside the grid a posterior is still shown, in cells


@dataclass(frozen=True)
class Posterior:
    """One sigma of a posterior, in cells of the grid from its upper left corner."""

    x: float
    y: float
    x_radius: float
    y_radius: float
    outside: bool  # farther than is shown: its centre is drawn at the edge
    grader: int = -1  # from 0, whose mask the model was shown; -1: it is the prior


@dataclass(frozen=True)
class LatentFigure:
    """The grid of one test image: first direction to the right, second one upwards."""

    run: Run
    name: str  # whose image
    directions: tuple[int, int]  # dimensions of the latent space, from 1
    cells: int  # along each side
    step: float  # from cell to cell, in the prior's sigmas
    aspect: float  # a cell's width over its height
    view: tuple[float, float, float, float]  # left, top, width and height, cells
    picture: str  # of masks: what lies behind the outlines, a square; else empty
    crop: int  # of masks: the picture's side, pixels
    zoom: tuple[int, int, int]  # of masks: left, top and side of the part shown
    outlines: list[list[str]]  # of masks: SVG paths, from the top row down; else empty
    maps: str  # of scenes: the whole grid as one picture; else empty
    prior: Posterior
    posteriors: list[Posterior]


def latent_figures(runs: list[RunFolder], beta: float, data: Data) -> list[LatentFigure]:
    """Return the figures of the first run of the Probabilistic U-Net, this beta, that has any."""
    for run in runs:
        samples = run.samples
        if (run.run.model, run.run.beta) != ("probabilistic_unet", beta) or samples is None:
            continue
        if samples.latent is not None and samples.attributes.store == data.digest:
            shown = range(min(MOST, len(samples.latent.rows)))
            return [_figure(run.run, samples, samples.latent, k, data) for k in shown]
    return []


def _figure(run: Run, samples: Samples, latent: Latent, k: int, data: Data) -> LatentFigure:
    row = int(latent.rows[k])
    # upwards along the second direction: (rows from the top, columns, ...)
    grid = np.flip(np.swapaxes(latent.grid[k], 0, 1), axis=0)
    height, width = samples.attributes.size
    side = max(height, width)
    zoom, outlines, maps, picture = (0, 0, side), [], "", ""
    if isinstance(data, Scenes):
        maps = _maps(grid)
        name = f"{data.columns.city[row]} {data.columns.frame[row]}"
    else:
        picture, graders, name = _behind(data, row, width)
        masks = _squared(unpack(np.ascontiguousarray(grid), height, width))
        zoom = zoom_to(np.concatenate((_squared(graders), masks.reshape(-1, side, side))))
        outlines = [[outline(mask) for mask in line] for line in masks]
    prior, *posteriors = _places(samples, latent, k)
    return LatentFigure(
        run=run,
        name=name,
        directions=(int(latent.directions[k, 0]) + 1, int(latent.directions[k, 1]) + 1),
        cells=len(latent.steps),
        step=float(latent.steps[1] - latent.steps[0]),
        aspect=width / height if isinstance(data, Scenes) else 1.0,
        view=_view(len(latent.steps), posteriors),
        picture=picture,
        crop=side,
        zoom=zoom,
        outlines=outlines,
        maps=maps,
        prior=prior,
        posteriors=posteriors,
    )


def _behind(data: Graded, row: int, width: int) -> tuple[str, NDArray[np.bool_], str]:
    """Return an image as a square picture, its graders' masks (G, H, W) and whose it is."""
    if isinstance(data, Crops):
        image, graders = centre_of(data, row, width)
        return grey(image, *WINDOW), graders, str(data.columns.patient[row])
    masks = np.asarray(data.masks[row])[None]
    graders = unpack_graders(masks, bits_of(int(data.given[row])))[0]
    low, high = data.attributes.window
    values = np.asarray(data.image[row]).astype(np.float64) - low  # 0 where nothing is
    square = np.moveaxis(_squared(np.moveaxis(values, -1, 0)), 0, -1)
    name = f"{data.columns.subject[row]}, {own.name_of(data, row)}"
    return own.shown(square, (0, high - low)), graders, name


def _squared(planes: NDArray[Any]) -> NDArray[Any]:
    """Return planes (..., H, W) as squares, with zeros on the right or below."""
    height, width = planes.shape[-2:]
    side = max(height, width)
    beyond = [(0, 0)] * (planes.ndim - 2) + [(0, side - height), (0, side - width)]
    return np.pad(planes, beyond)


def _maps(grid: NDArray[np.uint8]) -> str:
    """Return class ids (rows, columns, H, W) as one coloured picture."""
    small = np.array([[coloured(fitted(cell, CELL)) for cell in line] for line in grid])
    black = len(PALETTE) - 1
    small = np.pad(small, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=black)
    rows, columns, height, width = small.shape
    tiled = small.swapaxes(1, 2).reshape(rows * height, columns * width)
    return indexed(tiled, PALETTE)


def _places(samples: Samples, latent: Latent, k: int) -> list[Posterior]:
    """Return the prior and the posteriors, one sigma of each."""
    if samples.prior_mean is None or samples.prior_log_sigma is None:
        raise ValueError(f"{samples.path}: a latent grid without a prior")
    position = int(np.flatnonzero(samples.rows == latent.rows[k])[0])
    pair = latent.directions[k]
    sigma = np.exp(samples.prior_log_sigma[position, pair])
    means = (latent.posterior_mean[k][:, pair] - samples.prior_mean[position, pair]) / sigma
    radii = np.exp(latent.posterior_log_sigma[k][:, pair]) / sigma
    step, middle = latent.steps[1] - latent.steps[0], len(latent.steps) / 2
    offset = float(latent.steps.mean())  # 0 where the grid is centred on the prior's mean
    low, high = -SIDE, len(latent.steps) + SIDE
    places = []
    both = zip([np.zeros(2), *means], [np.ones(2), *radii], strict=True)
    for grader, (mean, radius) in enumerate(both, start=-1):
        if np.isnan(mean).any():  # has not looked at this image
            continue
        x = middle + (float(mean[0]) - offset) / step
        y = middle - (float(mean[1]) - offset) / step
        outside = not (low <= x <= high and low <= y <= high)
        places.append(
            Posterior(
                x=round(float(np.clip(x, low, high)), 3),
                y=round(float(np.clip(y, low, high)), 3),
                x_radius=round(float(radius[0]) / step, 4),
                y_radius=round(float(radius[1]) / step, 4),
                outside=outside,
                grader=grader,
            )
        )
    return places


def _view(cells: int, posteriors: list[Posterior]) -> tuple[float, float, float, float]:
    """Return the part that holds the grid and all posteriors' centres, with a margin."""
    margin = 0.25
    left = min([0.0, *(p.x for p in posteriors)]) - margin
    right = max([float(cells), *(p.x for p in posteriors)]) + margin
    top = min([0.0, *(p.y for p in posteriors)]) - margin
    bottom = max([float(cells), *(p.y for p in posteriors)]) + margin
    return left, top, right - left, bottom - top
