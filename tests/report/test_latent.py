import base64
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from probunet import store
from probunet.datasets.cityscapes.store import open_scenes
from probunet.datasets.lidc.store import open_crops
from probunet.metrics.bits import pack
from probunet.pictures.palette import PALETTE
from probunet.report.latent import LatentFigure, latent_figures
from probunet.report.runs import read_run
from probunet.run import Run
from support.report.streets import write_samples, write_scenes

STEPS = np.array([-2, -1, 0, 1, 2], np.float32)
RUN = Run("cityscapes", "probabilistic_unet", 1.0, 0, 0)


def figures(folder: Path, grid: np.ndarray, means: np.ndarray, sigma: float) -> list[LatentFigure]:
    """Figures of one image: its prior has means of 1 and sigmas of 2 along dimensions 3 and 1."""
    write_scenes(folder / "scenes.zarr", 3, (16, 32))
    scenes = open_scenes(folder / "scenes.zarr")
    results = folder / RUN.folder
    results.mkdir(parents=True)
    write_samples(results, RUN, scenes, np.arange(3), 2, latent=False)
    drawn = store.open_samples(results / "samples.zarr")
    posterior_mean = np.zeros((1, len(means), 6), np.float32)
    posterior_mean[0, :, [3, 1]] = means.T
    latent = store.Latent(
        rows=np.array([1]),
        directions=np.array([[3, 1]]),
        steps=STEPS,
        grid=grid[None],
        posterior_mean=posterior_mean,
        posterior_log_sigma=np.full(posterior_mean.shape, np.log(sigma), np.float32),
    )
    store.write_samples(
        results / "again.zarr",
        drawn.attributes,
        {
            "rows": drawn.rows,
            "samples": np.asarray(drawn.samples[:]),
            "deterministic": np.asarray(drawn.deterministic[:]),
            "prior_mean": np.ones((3, 6), np.float32),
            "prior_log_sigma": np.full((3, 6), np.log(2), np.float32),
        },
        latent,
    )
    (results / "samples.zarr").rename(results / "before.zarr")
    (results / "again.zarr").rename(results / "samples.zarr")
    return latent_figures([read_run(results)], RUN.beta, scenes)


def test_posteriors_stand_at_their_place_in_the_prior_s_sigmas(tmp_path: Path) -> None:
    grid = np.zeros((5, 5, 16, 32), np.uint8)
    # one sigma to the right; one and a half down; far up
    means = np.array([[3, 1], [1, -2], [1, 400]], np.float32)
    (figure,) = figures(tmp_path, grid, means, sigma=0.5)
    assert (figure.directions, figure.cells, figure.step) == ((4, 2), 5, 1)
    assert figure.name == "lindau 000001_000019"
    assert (figure.prior.x, figure.prior.y, figure.prior.x_radius) == (2.5, 2.5, 1)
    right, down, far = figure.posteriors
    assert (right.x, right.y, right.x_radius, right.y_radius) == (3.5, 2.5, 0.25, 0.25)
    assert (down.x, down.y) == (2.5, 4)
    assert [one.outside for one in figure.posteriors] == [False, False, True]
    left, top, width, height = figure.view
    assert far.x == 2.5
    assert top < far.y < 0
    assert (left, left + width, top + height) == (-0.25, 5.25, 5.25)


def test_first_direction_runs_to_the_right_and_second_one_upwards(tmp_path: Path) -> None:
    grid = np.zeros((5, 5, 16, 32), np.uint8)
    grid[4, 0], grid[0, 4] = 10, 13  # right and below; left and above
    (figure,) = figures(tmp_path, grid, np.ones((1, 2), np.float32), sigma=1)
    data = base64.b64decode(figure.maps.partition(",")[2])
    picture = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    height, width = picture.shape[0] // 5, picture.shape[1] // 5
    middles = picture[height // 2 :: height, width // 2 :: width]
    expected = np.zeros((5, 5), int)
    expected[4, 4], expected[0, 0] = 10, 13
    np.testing.assert_array_equal(middles, PALETTE[expected])
    assert figure.aspect == 2


def test_crops_are_outlined_over_their_picture(study: Any) -> None:
    crops = open_crops(study.store)
    path = study.runs[0] / "samples.zarr"
    drawn = store.open_samples(path)
    masks = np.zeros((3, 3, 128, 128), bool)
    masks[2, 2, 60:70, 40:50] = True  # to the right and above
    masks[0, 1, 60:70, 40:50] = True  # to the left
    steps = np.array([-1, 0, 1], np.float32)
    latent = store.Latent(
        rows=drawn.rows[:1],
        directions=np.array([[0, 5]]),
        steps=steps,
        grid=pack(masks)[None],
        posterior_mean=np.zeros((1, 4, 6), np.float32),
        posterior_log_sigma=np.zeros((1, 4, 6), np.float32),
    )
    folder = replace(read_run(study.runs[0]), samples=replace(drawn, latent=latent))
    (figure,) = latent_figures([folder], folder.run.beta, crops)
    assert [[bool(path) for path in line] for line in figure.outlines] == [
        [False, False, True],
        [True, False, False],
        [False, False, False],
    ]
    left, top, side = figure.zoom
    assert left <= 40 < 50 <= left + side
    assert top <= 60 < 70 <= top + side
    assert figure.name == crops.columns.patient[drawn.rows[0]]
    assert len(figure.posteriors) == 4
    assert figure.aspect == 1


@pytest.mark.parametrize(("model", "beta"), [("probabilistic_unet", 2.0), ("m_heads", 1.0)])
def test_no_run_no_figure(tmp_path: Path, model: str, beta: float) -> None:
    write_scenes(tmp_path / "scenes.zarr", 3, (16, 32))
    scenes = open_scenes(tmp_path / "scenes.zarr")
    run = Run("cityscapes", model, 1.0, 0, 0)
    (tmp_path / run.folder).mkdir(parents=True)
    write_samples(tmp_path / run.folder, run, scenes, np.arange(3), 2, latent=True)
    folder = read_run(tmp_path / run.folder)
    assert latent_figures([folder], beta, scenes) == []
