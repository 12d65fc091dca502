"""The registry of scores: means over classes by either rule; Cityscapes' exact probabilities."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probunet.flips import MODE_PROBABILITIES, MODES, flip
from probunet.metrics.bits import pack
from probunet.metrics.distances import distances
from probunet.metrics.max_dice import dice
from probunet.metrics.mode_calibration import exact_votes, mode_votes
from probunet.metrics.proper import brier
from probunet.metrics.reported import (
    COLUMNS,
    CURVES,
    GRADER,
    PRESENCE_BINS,
    SCORES,
    of_masks,
    of_run,
    of_votes,
)
from support.label_maps import TEN, sample_and_label_maps
from support.masks import sample_and_grader_masks
from support.seen import seen_of

CLASSWISE = [score for score in SCORES if score.sees != "dice"]


@given(st.integers(0, 2**20), st.sampled_from(["equal", "left_out"]))
@settings(deadline=None, max_examples=30)
def test_a_score_of_classes_is_the_mean_of_those_that_count(seed, absent):
    random = np.random.default_rng(seed)
    masks = random.random((3, 2, 7, 4, 5)) < random.choice([0, 0.4], (3, 2, 7, 1, 1))
    classes = [seen_of(one[:, :4], one[:, 4:]) for one in masks]
    found = of_masks(classes, np.zeros((2, 4, 3)), ["a", "b", "c"], absent)
    for score in CLASSWISE:
        own = [score.of(one if score.sees == "masks" else one.votes) for one in classes]
        for image in range(2):
            there = [one[image].any() or absent == "equal" for one in masks]
            chosen = there if any(there) else [True] * 3
            expected = np.mean([of[image] for of, k in zip(own, chosen, strict=True) if k])
            assert found[score.name][image] == pytest.approx(expected, abs=1e-12)
    by_grader = np.stack([found[f"{GRADER}:{name}"] for name in "abc"], axis=1)
    np.testing.assert_allclose(by_grader.mean(axis=1), found["mean_dice"])
    assert np.sum(list(found[PRESENCE_BINS[0]])) == 3 * 2 * 3  # classes, images, graders


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=20)
def test_every_score_of_an_image_is_in_the_registry(masks):
    seen = seen_of(*masks)
    pairs = distances(pack(masks[0]), pack(masks[1]))
    names = [str(g) for g in range(masks[1].shape[1])]
    found = of_masks([seen], dice(pairs.between), names, "equal")
    assert [name for name in found if name in {score.name for score in SCORES}] == [
        score.name for score in SCORES
    ]
    numbers = np.stack([found[score.name] for score in SCORES])
    assert np.isfinite(numbers).all()


def test_columns_have_names_and_heads_of_their_own():
    for part in ("name", "head"):
        values = [getattr(column, part) for column in COLUMNS]
        assert len(set(values)) == len(values)


def test_an_image_without_a_pixel_to_score_has_no_score():
    seen = seen_of(np.zeros((1, 2, 3, 3), bool), np.zeros((1, 2, 3, 3), bool))
    seen.votes.pixels[:] = 0
    found = of_masks([seen], np.full((1, 2, 2), np.nan), ["a", "b"], "equal")
    assert all(np.isnan(found[score.name]).all() for score in SCORES)


@given(sample_and_label_maps(most_samples=3))
@settings(deadline=None, max_examples=10)
def test_scores_against_modes_are_expectations_over_them(maps):
    samples, labels = maps
    found, exact = of_votes(mode_votes(samples, labels)), of_votes(exact_votes(labels))
    for image, label in enumerate(labels):
        if np.isnan(found["brier"][image]):
            continue
        scored = label != 255
        expected = 0.0
        for mode, weight in zip(MODES, MODE_PROBABILITIES, strict=True):
            shown = flip(label, mode)
            squares = [
                ((samples[image] == name).mean(axis=0) - (shown == name))[scored] ** 2
                for name in TEN
            ]
            expected += weight * float(np.mean(squares))
        assert found["brier"][image] == pytest.approx(expected)
        assert exact["brier"][image] <= found["brier"][image] + 1e-12
        assert exact["ace"][image] == pytest.approx(0, abs=1e-12)
    for score in SCORES:
        if score.sees != "votes":
            assert np.isnan(found[score.name]).all()
    assert brier(exact_votes(labels)[0]).shape == (len(labels),)


def test_a_run_s_curves_take_the_dice_of_the_mean_for_risk():
    images = {
        "mean_dice": np.array([0.9, 0.5, 0.7]),
        "entropy": np.array([0.1, 0.3, 0.2]),
        **dict.fromkeys(
            ("softmax_entropy", "expected_entropy", "mutual_information"), np.full(3, np.nan)
        ),
    }
    found = of_run(images)
    assert list(found) == [column.name for column in CURVES]
    assert found["aurc_entropy"] == pytest.approx(np.mean([0.1, 0.2, 0.3]))
    assert found["e_aurc_entropy"] == pytest.approx(0)
    assert np.isnan(found["aurc_mutual_information"])
