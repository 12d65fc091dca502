"""Scores of images of one's own, against a plain loop over images, samples and their graders."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from probunet.datasets.folder.store import Images, open_images
from probunet.metrics.bits import bits_of, pack
from probunet.run import Run
from probunet.score.run import score_run
from probunet.score.table import write_tables
from probunet.store import open_samples, write_samples
from probunet.truth.graders.scoring import score_masks
from support.masks import iou, mean_distance
from support.own_images import write_store
from support.samples import sample_attributes
from support.seen import dice_of

SIZE = (6, 10)
RUN = Run("mine", "probabilistic_unet", 1.0, 0, 0)


def write_random_samples(folder: Path, images: Images, rows: list[int], n: int, seed: int) -> Path:
    """Write random samples and reconstructions, one sample in four being empty."""
    random = np.random.default_rng(seed)

    def masks(*shape: int) -> NDArray[np.uint8]:
        there = random.random((*shape, 1, 1)) < 0.75
        return pack((random.random((*shape, *SIZE)) < 0.4) & there)

    path = folder / RUN.folder / "samples.zarr"
    path.parent.mkdir(parents=True)
    arrays = {
        "rows": np.array(rows),
        "samples": masks(len(rows), n),
        "deterministic": masks(len(rows)),
        "reconstruction": masks(len(rows), len(images.graders)),
        "ncc": random.uniform(-1, 1, (len(rows), n, len(images.graders))),
        "softmax_entropy": random.uniform(0.4, 0.7, (len(rows), n)),
        "expected_entropy": random.uniform(0, 0.4, (len(rows), n)),
    }
    about = sample_attributes(RUN, size=SIZE, samples=n, store=images.digest)
    write_samples(path, about, arrays)
    return path


def unpacked(bits: NDArray[np.uint8]) -> list[NDArray[np.bool_]]:
    flat = np.unpackbits(bits, axis=-1, count=SIZE[0] * SIZE[1]).astype(bool)
    return list(flat)


def expected(samples: list, graders: list) -> dict[str, float]:
    """Return scores by their definitions, image by image and pair by pair."""
    diversity = mean_distance(samples, samples)
    among = mean_distance(graders, graders)
    between = mean_distance(samples, graders)
    n = len(samples)
    dice = [max(2 * iou(s, y) / (1 + iou(s, y)) for s in samples) for y in graders]
    most = np.mean(samples, axis=0) > 0.5
    areas = [int(s.sum()) for s in samples]
    apart = np.mean([abs(a - int(y.sum())) for a in areas for y in graders])
    presence = np.mean([bool(s.any()) for s in samples])
    return {
        "mean_dice": float(np.mean([dice_of(most, y) for y in graders])),
        "max_dice_of_samples": float(
            np.mean([max(dice_of(s, y) for y in graders) for s in samples])
        ),
        "area_crps": float(apart - np.mean([abs(a - b) for a in areas for b in areas]) / 2),
        "brier": float(np.mean([(np.mean(samples, axis=0) - y) ** 2 for y in graders])),
        "presence_brier": float(np.mean([(presence - bool(y.any())) ** 2 for y in graders])),
        "ged": 2 * between - diversity - among,
        "ged_unbiased": math.nan if n == 1 else 2 * between - diversity * n / (n - 1) - among,
        "diversity": diversity,
        "max_dice": float(np.mean(dice)),
    }


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    looked=st.lists(st.integers(1, 2**5 - 1), min_size=2, max_size=9),
    n=st.integers(1, 5),
    seed=st.integers(0, 2**20),
)
def test_scores_are_those_of_a_plain_loop(tmp_path_factory, looked, n, seed):
    folder = tmp_path_factory.mktemp("own")
    images = open_images(write_store(folder / "mine.zarr", looked, SIZE, graders=5))
    rows = list(range(len(looked)))[:: 1 if seed % 2 else -1]
    drawn = open_samples(write_random_samples(folder, images, rows, n, seed))
    table = pd.concat(list(score_masks(drawn, images, sorted({1, n}))))
    assert len(table) == len(rows) * 4 * len({1, n})
    for place, row in enumerate(rows):
        bits = np.asarray(images.masks[row])
        who = bits_of(looked[row])
        graders = [(bits >> g & 1).astype(bool).ravel() for g in who]
        samples = unpacked(drawn.samples[place])
        single = unpacked(np.asarray(drawn.deterministic[place])[None])
        again = unpacked(drawn.reconstruction[place])
        own = table[table["row"] == row].set_index(["predictor", "n"])
        for k in {1, n}:
            for name, value in expected(samples[:k], graders).items():
                assert own.loc[("model", k), name] == pytest.approx(value, nan_ok=True), name
            guess = expected(single, graders)
            assert own.loc[("deterministic", k), "ged"] == pytest.approx(guess["ged"])
            assert own.loc[("empty", k), "ged"] == pytest.approx(
                expected([np.zeros_like(graders[0])], graders)["ged"]
            )
            assert own.loc[("graders", k), "ged"] == pytest.approx(0, abs=1e-12)
            assert own.loc[("graders", k), "hm_iou"] == pytest.approx(1)
        for k in {1, n}:
            ncc = np.asarray(drawn.ncc)[place, k - 1, who].mean()
            assert own.loc[("model", k), "ncc_softmax"] == pytest.approx(ncc, abs=1e-12)
            assert np.isnan(own.loc[("graders", k), "ncc_softmax"])
            entropies = drawn.softmax_entropy[place, k - 1], drawn.expected_entropy[place, k - 1]
            names = ["softmax_entropy", "expected_entropy", "mutual_information"]
            expected_values = [*entropies, entropies[0] - entropies[1]]
            assert own.loc[("model", k), names].tolist() == pytest.approx(expected_values)
            assert own.loc[("graders", k), names].isna().all()
        most = np.mean(samples, axis=0) > 0.5
        for g in range(5):
            found = own.get(f"grader_dice:mask_{g}", pd.Series(math.nan, own.index))[("model", n)]
            looks = dice_of(most, graders[who.index(g)]) if g in who else math.nan
            assert found == pytest.approx(looks, nan_ok=True)
        rebuilt = np.mean([iou(again[g], mask) for g, mask in zip(who, graders, strict=True)])
        assert own.loc[("model", n), "reconstruction_iou"] == pytest.approx(rebuilt)


def test_one_grader_everywhere_makes_whole_tables(tmp_path):
    images = open_images(write_store(tmp_path / "mine.zarr", [1] * 8, SIZE, graders=1))
    path = write_random_samples(tmp_path, images, list(range(8)), 4, 0)
    output = tmp_path / "scores.parquet"
    score_run(path, images.path, output, (1, 4))
    table = pd.read_parquet(output)
    graders = table[table["predictor"] == "graders"]
    assert (graders["diversity"] == 0).all()
    assert table[["ged", "hm_iou", "max_dice"]].notna().all(axis=None)
    assert table["name"].iloc[0] == "images/0.png"
    names = [tmp_path / name for name in ("scores.csv", "summary.csv", "comparison.csv")]
    write_tables([output], *names, bootstrap=20)
    summary = pd.read_csv(names[1]).set_index(["model", "n"])
    assert summary.loc[("graders", 4), "ged"] == 0
    assert summary.loc[("probabilistic_unet", 4), ["images", "subjects"]].tolist() == [8, 4]
