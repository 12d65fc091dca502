"""Dice of two sets, against all matchings."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.metrics.set_dice import match_dice, match_dice_of_samples, max_dice_of_samples


def best_matching(dice: np.ndarray, most: int) -> float:
    """Return the best mean of the rows' Dice, each column serving at most so many rows."""
    rows, columns = dice.shape
    totals = [
        sum(dice[row, column] for row, column in enumerate(chosen))
        for chosen in product(range(columns), repeat=rows)
        if max(chosen.count(column) for column in range(columns)) <= most
    ]
    return float(max(totals) / rows)


@given(n=st.integers(1, 5), graders=st.integers(1, 3), seed=st.integers(0, 2**20))
@settings(deadline=None, max_examples=60)
def test_the_best_of_all_matchings_is_found_in_both_directions(n, graders, seed):
    dice = np.random.default_rng(seed).integers(0, 5, (2, n, graders)) / 4
    samples, others = match_dice_of_samples(dice), match_dice(dice)
    largest = max_dice_of_samples(dice)
    for image, of in enumerate(dice):
        assert others[image] == pytest.approx(best_matching(of.T, -(-graders // n)))
        times = math.lcm(n, graders) // n
        if n * times <= 6:  # of more, there are too many matchings
            repeated = of.repeat(times, axis=0)
            equally = best_matching(repeated, n * times // graders)
            assert samples[image] == pytest.approx(equally)
        assert largest[image] == pytest.approx(np.mean([max(row) for row in of]))
        assert samples[image] <= largest[image] + 1e-12


def test_copies_of_samples_change_nothing():
    dice = np.random.default_rng(0).random((3, 1, 4))
    for score in (max_dice_of_samples, match_dice, match_dice_of_samples):
        np.testing.assert_allclose(score(dice.repeat(8, axis=1)), score(dice))
    np.testing.assert_allclose(match_dice_of_samples(dice), dice.mean(axis=(1, 2)))


def test_samples_that_all_copy_one_grader_match_worse_than_their_best_grader():
    dice = np.zeros((1, 4, 2))
    dice[..., 0] = 1
    assert max_dice_of_samples(dice).item() == 1
    assert match_dice_of_samples(dice).item() == match_dice(dice).item() == 0.5


def test_an_image_without_scores_stays_without():
    dice = np.full((1, 3, 2), np.nan)
    for score in (max_dice_of_samples, match_dice, match_dice_of_samples):
        assert np.isnan(score(dice)).all()
