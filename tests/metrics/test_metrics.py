"""All scores against versions written out pair by pair."""

from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

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
        assert found.diversity[image] == pytest.approx(within, abs=1e-12)
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
        assert found[image] == pytest.approx(best, abs=1e-12)


def hm_iou_as_published(samples: NDArray[np.bool_], graders: NDArray[np.bool_]) -> float:
    """Both sets repeated to the least common multiple, and matched one to one."""
    size = int(np.lcm(len(samples), len(graders)))
    table = np.array([[iou(a, b) for b in graders] for a in samples])
    table = np.tile(table, (size // len(samples), size // len(graders)))
    return float(table[linear_sum_assignment(-table)].mean())


# with 7 graders the sets are repeated to 112, 350 and 700, of which the last is not assigned
@pytest.mark.parametrize("graders", [4, 7])
@pytest.mark.parametrize("n", [1, 16, 50, 99, 100])
def test_ged_and_matched_iou_of_many_samples_are_as_published(n, graders):
    random = np.random.default_rng(n)
    masks = random.random((n + graders, 6, 6)) < random.choice([0, 0.2, 0.6], (n + graders, 1, 1))
    samples, truth = masks[:n], masks[n:]
    pairs = distances(pack(samples[None]), pack(truth[None]))
    assert energy_distance(pairs, n).ged[0] == pytest.approx(ged_of(samples, truth), abs=1e-12)
    expected = hm_iou_as_published(samples, truth)
    assert matched_iou(pairs, n)[0] == pytest.approx(expected, abs=1e-12)


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
        assert found[image] == pytest.approx(expected, abs=1e-12)


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


def five_masks() -> NDArray[np.bool_]:
    return np.random.default_rng(3).random((5, 6, 6)) < 0.4


def limit_of(
    samples: NDArray[np.bool_], graders: NDArray[np.bool_], population: int | None
) -> float:
    pairs = distances(pack(samples[None]), pack(graders[None]))
    return float(energy_distance(pairs, len(samples), population=population).ged_limit[0])


@pytest.mark.parametrize("n", [2, 3])
def test_the_limit_of_a_perfect_sampler_is_zero_in_expectation(n):
    graders = five_masks()[:3]
    draws = [limit_of(graders[list(one)], graders, None) for one in product(range(3), repeat=n)]
    assert np.mean(draws) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_the_limit_of_a_finite_population_does_not_depend_on_n_in_expectation(n):
    heads, graders = five_masks()[:4], five_masks()[2:]
    whole = ged_of(heads, graders)
    draws = [limit_of(heads[list(one)], graders, 4) for one in permutations(range(4), n)]
    assert np.mean(draws) == pytest.approx(whole, abs=1e-12)
    # without replacement from 4 as if from a distribution: off by more than the last digit
    wrong = [limit_of(heads[list(one)], graders, None) for one in permutations(range(4), n)]
    assert np.mean(wrong) < whole - 0.01


@pytest.mark.parametrize("repeats", [1, 2])
def test_the_limit_of_a_whole_population_is_exact(repeats):
    graders = five_masks()[:4]
    assert limit_of(np.tile(graders, (repeats, 1, 1)), graders, 4) == pytest.approx(0, abs=1e-12)
    # more samples than heads, not a whole number of rounds
    assert limit_of(np.concatenate((graders, graders[:1])), graders, 4) == pytest.approx(
        0, abs=1e-12
    )


def test_one_sample_has_a_limit_only_if_there_are_no_others():
    mask, graders = five_masks()[:1], five_masks()[1:]
    assert limit_of(mask, graders, 1) == pytest.approx(ged_of(mask, graders))
    assert np.isnan(limit_of(mask, graders, 4))
    assert np.isnan(limit_of(mask, graders, None))
