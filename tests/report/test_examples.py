import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.draw import polygon2mask

from probunet.report.examples import choose, outline
from probunet.report.runs import RunFolder
from probunet.run import Run
from probunet.store import Samples


@given(st.integers(3, 12), st.integers(3, 12), st.integers(0, 2**32))
@settings(deadline=None, max_examples=50)
def test_outline_encloses_the_mask_s_pixels(height: int, width: int, seed: int) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < 0.5
    inside = np.zeros(mask.shape, bool)
    for part in outline(mask).split("M")[1:]:
        points = [tuple(map(float, pair.split())) for pair in part.rstrip("Z").split("L")]
        assert points[0] != points[-1]
        # SVG's (x, y) from the corner, against (row, column) from the pixel's centre
        corners = np.array(points)[:, ::-1] - 0.5
        inside ^= polygon2mask(mask.shape, corners)  # even-odd, as the page fills it
    np.testing.assert_array_equal(inside, mask)


def test_an_empty_mask_has_no_outline() -> None:
    assert outline(np.zeros((4, 4), bool)) == ""


def test_one_pixel_is_a_diamond_around_its_centre() -> None:
    mask = np.zeros((5, 5), bool)
    mask[1, 3] = True
    points = {tuple(map(float, p.split())) for p in re.split("[MLZ]", outline(mask)) if p}
    assert points == {(3.5, 1), (4, 1.5), (3.5, 2), (3, 1.5)}


def folder(fold: int, seed: int, images: int, patients: int) -> RunFolder:
    rows = np.arange(images)
    table = pd.DataFrame(
        {
            "predictor": "model",
            "n": 16,
            "row": rows,
            "patient": [f"P{fold}-{row % patients}" for row in rows],
            "ged": np.random.default_rng(fold).permutation(images) / images,
        }
    )
    others = table.assign(n=1, ged=-1.0)
    samples = Samples.__new__(Samples)  # chosen by its presence alone
    scores = pd.concat([others, table], ignore_index=True)
    return RunFolder(Run("lidc", "probabilistic_unet", 1, fold, seed), {}, samples, scores, ())


def test_examples_are_spread_over_folds_patients_and_ged() -> None:
    runs = [folder(fold, seed, 40, 20) for seed in (1, 0) for fold in (0, 1)]
    chosen = choose(runs, "probabilistic_unet", 1, 10)
    assert len(chosen) == 10
    assert [run.run.fold for run, _ in chosen].count(0) == 5
    assert {run.run.seed for run, _ in chosen} == {0}
    assert len({row["patient"] for _, row in chosen}) == 10
    ged = [row["ged"] for _, row in chosen]
    assert ged == sorted(ged)
    np.testing.assert_allclose(ged, np.arange(0.05, 1, 0.1), atol=0.1)


@pytest.mark.parametrize("images", [1, 3])
def test_few_images_are_shown_once(images: int) -> None:
    chosen = choose([folder(0, 0, images, 1)], "probabilistic_unet", 1, 12)
    assert sorted(row["row"] for _, row in chosen) == list(range(images))


def test_no_run_no_examples() -> None:
    assert choose([], "probabilistic_unet", 1, 12) == []
