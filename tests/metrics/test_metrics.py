"""All scores against versions written out pair by pair."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from probunet.metrics.bits import pack
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance, ged
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.max_dice import max_dice
from probunet.metrics.threads import PART
from support.masks import ged_of, iou, mean_distance, sample_and_grader_masks


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=100)
def test_ged_is_that_of_all_pairs(masks):
    samples, graders = masks
    expected = [ged_of(s, y) for s, y in zip(samples, graders, strict=True)]
    np.testing.assert_allclose(ged(pack(samples), pack(graders)), expected, atol=1e-12)


@given(sample_and_grader_masks(), st.data())
@settings(deadline=None, max_examples=100)
def test_first_n_samples_score_as_if_there_were_no_others(masks, data):
    samples, graders = masks
    n = data.draw(st.integers(1, samples.shape[1]))
    pairs = distances(pack(samples), pack(graders))
    found = energy_distance(pairs, n)
    for image, (s, y) in enumerate(zip(samples[:, :n], graders, strict=True)):
        between, within = mean_distance(s, y), mean_distance(s, s)
        of_graders = mean_distance(y, y)
        assert found.diversity[image] == pytest.approx(within)
        assert found.ged[image] == pytest.approx(2 * between - within - of_graders, abs=1e-12)
        if n == 1:
            assert np.isnan(found.ged_unbiased[image])
        else:
            apart = np.mean([1 - iou(a, b) for a, b in permutations(s, 2)])
            assert found.ged_unbiased[image] == pytest.approx(
                2 * between - apart - of_graders, abs=1e-12
            )


@given(sample_and_grader_masks(most_samples=3, most_graders=3))
@settings(deadline=None, max_examples=60)
def test_matched_iou_is_the_best_of_all_matchings(masks):
    samples, graders = masks
    n, g = samples.shape[1], graders.shape[1]
    found = matched_iou(distances(pack(samples), pack(graders)), n)
    size = int(np.lcm(n, g))
    for image, (s, y) in enumerate(zip(samples, graders, strict=True)):
        table = np.array([[iou(s[i % n], y[j % g]) for j in range(size)] for i in range(size)])
        best = max(
            table[np.arange(size), list(matching)].mean() for matching in permutations(range(size))
        )
        assert found[image] == pytest.approx(best)


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=100)
def test_max_dice_is_the_best_sample_of_each_grader(masks):
    samples, graders = masks

    def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
        total = a.sum() + b.sum()
        return float(2 * (a & b).sum() / total) if total else 1.0

    found = max_dice(distances(pack(samples), pack(graders)), samples.shape[1])
    for image, (s, y) in enumerate(zip(samples, graders, strict=True)):
        expected = np.mean([max(dice(a, grader) for a in s) for grader in y])
        assert found[image] == pytest.approx(expected)


def test_all_empty_is_agreement():
    nothing = pack(np.zeros((1, 3, 8, 8), bool))
    pairs = distances(nothing, nothing)
    assert energy_distance(pairs, 3).ged == 0
    assert matched_iou(pairs, 3) == 1
    assert max_dice(pairs, 3) == 1


def test_empty_samples_against_full_graders_are_as_far_as_can_be():
    pairs = distances(pack(np.zeros((1, 2, 8, 8), bool)), pack(np.ones((1, 4, 8, 8), bool)))
    assert energy_distance(pairs, 2).ged == 2
    assert matched_iou(pairs, 2) == 0
    assert max_dice(pairs, 2) == 0


def test_masks_of_more_than_65535_pixels_are_counted_whole():
    full = np.ones((1, 1, 300, 300), bool)
    half = full.copy()
    half[..., :150, :] = False
    assert distances(pack(full), pack(half)).between == 0.5


@pytest.mark.parametrize("n", [0, 3])
def test_n_outside_the_samples_is_a_mistake(n):
    masks = pack(np.ones((1, 2, 8, 8), bool))
    with pytest.raises(ValueError, match="there are 2 samples"):
        energy_distance(distances(masks, masks), n)


@pytest.mark.parametrize("wrong", [lambda m: m[:1], lambda m: m[..., :8]])
def test_samples_and_graders_must_agree(wrong):
    masks = pack(np.ones((2, 2, 16, 16), bool))
    with pytest.raises(ValueError, match="do not agree"):
        distances(masks, wrong(masks))


def test_many_images_are_scored_as_one_by_one():
    random = np.random.default_rng(0)
    samples, graders = (pack(random.random((2 * PART + 3, m, 9, 9)) < 0.3) for m in (3, 4))
    together = distances(samples, graders)
    for image in range(len(samples)):
        alone = distances(samples[image : image + 1], graders[image : image + 1])
        for name in ("samples", "between", "graders"):
            np.testing.assert_array_equal(getattr(together, name)[image], getattr(alone, name)[0])


def test_no_image_has_no_score():
    nothing = pack(np.zeros((0, 4, 8, 8), bool))
    assert ged(nothing, nothing).shape == (0,)
