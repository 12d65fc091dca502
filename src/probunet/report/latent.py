"""The latent space around test images: a grid of segmentations, the prior and the posteriors.

As in Kohl et al. 2018, figures of the latent space: segmentations are shown where they are in it.
All places are in units of the prior's sigma, from the prior's mean.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from probunet.metrics.bits import unpack
from probunet.pictures.encode import indexed
from probunet.pictures.maps import fitted
from probunet.pictures.masks import squared
from probunet.pictures.outline import outline, zoom_to
from probunet.pictures.palette import PALETTE, coloured
from probunet.pictures.view import Shown
from probunet.report.runs import RunFolder
from probunet.run import Run
from probunet.store import Latent, Samples
from probunet.truth.base import Data

MODEL = "probabilistic_unet"  # the model whose latent space is drawn
MOST = 3  # images shown per data set
CELL = 144  # pixels, width of a label map in the grid
SIDE = 1.0  # how far beside the grid a posterior is still shown, in cells
MARGIN = 0.25  # around grid and posteriors, in cells


@dataclass(frozen=True)
class Posterior:
    """One sigma of a posterior, in cells of the grid from its upper left corner."""

    x: float
    y: float
    x_radius: float
    y_radius: float
    outside: bool  # farther than is shown: its centre is drawn at the edge
    grader: int = -1  # from 0, whose mask the posterior has seen; -1: it is the prior


@dataclass(frozen=True)
class LatentFigure:
    """The grid of one test image: first direction to the right, second one upwards."""

    run: Run
    name: str  # whose image
    directions: tuple[int, int]  # dimensions of the latent space, from 1
    cells: int  # along each side
    step: float  # from cell to cell, in the prior's sigmas
    view: tuple[float, float, float, float]  # left, top, width and height, cells
    prior: Posterior
    posteriors: list[Posterior]
    aspect: float = 1.0  # a cell's width over its height
    maps: str = ""  # of label maps: the whole grid as one picture
    # of masks:
    picture: str = ""  # what lies behind the outlines, a square
    crop: int = 0  # the picture's side, pixels
    zoom: tuple[int, int, int] = (0, 0, 0)  # left, top and side of the part shown
    outlines: tuple[list[str], ...] = ()  # SVG paths, from the top row down


def latent_figures(
    runs: list[RunFolder], beta: float | None, data: Data | None
) -> list[LatentFigure]:
    """Return the figures of the first run of the Probabilistic U-Net, this beta, that has any."""
    for run in runs:
        samples = run.samples
        if (run.run.model, run.run.beta) != (MODEL, beta) or samples is None or data is None:
            continue
        if samples.latent is not None and samples.attributes.store == data.digest:
            images = range(min(MOST, len(samples.latent.rows)))
            return [_figure(run.run, samples, samples.latent, k, data.shown()) for k in images]
    return []


def _figure(run: Run, samples: Samples, latent: Latent, k: int, shown: Shown) -> LatentFigure:
    # upwards along the second direction: (rows from the top, columns, ...)
    grid = np.flip(np.swapaxes(latent.grid[k], 0, 1), axis=0)
    height, width = samples.attributes.size
    backdrop = shown.backdrop(int(latent.rows[k]), (height, width))
    prior, *posteriors = _places(samples, latent, k)
    figure = LatentFigure(
        run=run,
        name=backdrop.name,
        directions=(int(latent.directions[k, 0]) + 1, int(latent.directions[k, 1]) + 1),
        cells=len(latent.steps),
        step=float(latent.steps[1] - latent.steps[0]),
        view=_view(len(latent.steps), posteriors),
        prior=prior,
        posteriors=posteriors,
    )
    if backdrop.masks is None:
        return replace(figure, aspect=width / height, maps=_maps(grid, backdrop.colours))
    masks = squared(unpack(np.ascontiguousarray(grid), height, width))
    side = masks.shape[-1]
    return replace(
        figure,
        picture=backdrop.picture,
        crop=side,
        zoom=zoom_to(np.concatenate((squared(backdrop.masks), masks.reshape(-1, side, side)))),
        outlines=tuple([outline(mask) for mask in line] for line in masks),
    )


def _maps(grid: NDArray[np.uint8], colours: NDArray[np.uint8] | None) -> str:
    """Return class ids (rows, columns, H, W) as one picture; without colours in Cityscapes'."""
    small = np.array([[fitted(cell, CELL) for cell in line] for line in grid])
    if colours is None:
        palette = PALETTE  # ends with black
        small = np.array([[coloured(cell) for cell in line] for line in small])
    else:
        palette = np.concatenate((colours, [[0, 0, 0]])).astype(np.uint8)
    black = len(palette) - 1
    small = np.pad(small, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=black)
    rows, columns, height, width = small.shape
    tiled = small.swapaxes(1, 2).reshape(rows * height, columns * width)
    return indexed(tiled, palette)


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
    offset = float(latent.steps.mean())  # 0 if the grid is centred on the prior's mean
    low, high = -SIDE, len(latent.steps) + SIDE
    places = []
    both = zip([np.zeros(2), *means], [np.ones(2), *radii], strict=True)
    for grader, (mean, radius) in enumerate(both, start=-1):
        if np.isnan(mean).any():  # has not looked at this image
            continue
        x = middle + (float(mean[0]) - offset) / step
        y = middle - (float(mean[1]) - offset) / step
        places.append(
            Posterior(
                x=round(float(np.clip(x, low, high)), 3),
                y=round(float(np.clip(y, low, high)), 3),
                x_radius=round(float(radius[0]) / step, 4),
                y_radius=round(float(radius[1]) / step, 4),
                outside=not (low <= x <= high and low <= y <= high),
                grader=grader,
            )
        )
    return places


def _view(cells: int, posteriors: list[Posterior]) -> tuple[float, float, float, float]:
    """Return the part that holds the grid and all posteriors' centres, with a margin."""
    xs = [0.0, float(cells), *(p.x for p in posteriors)]
    ys = [0.0, float(cells), *(p.y for p in posteriors)]
    left, top = min(xs) - MARGIN, min(ys) - MARGIN
    return left, top, max(xs) + MARGIN - left, max(ys) + MARGIN - top
