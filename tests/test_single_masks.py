"""`benchmarks/single_masks.py`: what one mask per crop reaches, against sets of pixels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from probunet.metrics.bits import pack
from single_masks import of_guesses, single_masks

MASKS = arrays.arrays(bool, st.tuples(st.integers(1, 4), st.integers(2, 4), *[st.just(3)] * 2))


def distance(one: np.ndarray, other: np.ndarray) -> float:
    union = (one | other).sum()
    return 1 - (one & other).sum() / union if union else 0.0


def ged_of(guess: np.ndarray, graders: np.ndarray) -> float:
    pairs = [distance(a, b) for a in graders for b in graders]
    return float(2 * np.mean([distance(guess, one) for one in graders]) - np.mean(pairs))


@settings(deadline=None, max_examples=30)
@given(MASKS)
def test_each_choice_is_the_mask_that_its_name_says(graders: np.ndarray) -> None:
    graders[0, :2, 0, 0] = True  # two outlines
    readers = graders.shape[1]

    def mean(choose) -> float:
        return float(np.mean([np.mean([ged_of(s, one) for s in choose(one)]) for one in graders]))

    def most(one: np.ndarray) -> np.ndarray:
        chosen = 2 * one.sum(0) > readers
        return chosen if chosen.any() else one.any(0)

    expected = {
        "empty": mean(lambda one: [np.zeros_like(one[0])]),
        "marked by half of the readers": mean(lambda one: [2 * one.sum(0) >= readers]),
        "marked by more than half": mean(lambda one: [2 * one.sum(0) > readers]),
        "marked by any reader": mean(lambda one: [one.any(0)]),
        "marked by all readers": mean(lambda one: [one.all(0)]),
        "marked by most, never empty": mean(lambda one: [most(one)]),
        "one reader's": mean(list),
        "one reader's outline, never empty": mean(
            lambda one: [s for s in one if s.any()] or list(one)
        ),
    }
    found = single_masks(graders)["ged"]
    best = found.pop("the best of these, crop by crop")["all"]
    assert {name: ged["all"] for name, ged in found.items()} == pytest.approx(expected)
    assert best <= min(ged["all"] for ged in found.values()) + 1e-9


@settings(deadline=None, max_examples=30)
@given(MASKS, st.data())
def test_an_empty_mask_has_the_share_of_outlines_and_a_drawn_one_what_its_iou_leaves(
    graders: np.ndarray, data: st.DataObject
) -> None:
    graders[0, 0, 0, 0] = True  # at least one outline
    shape = (len(graders), *graders.shape[2:])
    guess = data.draw(arrays.arrays(bool, shape))
    guess[:, 0, 0] = True  # never empty
    share = graders.any((2, 3)).mean()
    found = of_guesses(pack(guess), graders)
    assert found["share_empty"] == 0
    assert found["of_an_empty_mask"] == pytest.approx(share)
    assert found["expected_distance"] == pytest.approx(1 - share * found["iou_with_outlines"])
    empty = of_guesses(pack(np.zeros_like(guess)), graders)
    assert empty["expected_distance"] == pytest.approx(share)
    assert (empty["share_empty"], empty["iou_with_outlines"]) == (1, 0)
