"""Labels, modes and flips of Cityscapes."""

import numpy as np
import pytest

from probunet.datasets.cityscapes.labels import (
    TEST_CITIES,
    TRAIN_CITIES,
    TRAIN_IDS,
    UNLABELLED_CITIES,
    VALIDATION_CITIES,
)
from probunet.flips import (
    CLASSES,
    FIRST,
    FLIPS,
    IGNORE,
    MODE_PROBABILITIES,
    MODES,
    PROBABILITIES,
    SECOND,
    draw_flips,
    drawn_label,
    flip,
)
from probunet.seeding import numpy_generator


@pytest.fixture
def label():
    random = np.random.default_rng(0)
    return random.choice([*range(19), IGNORE], (6, 8)).astype(np.uint8)


def test_classes_and_cities():
    assert len(CLASSES) == len(set(CLASSES)) == 24
    assert sorted(TRAIN_IDS.values()) == list(range(19))
    assert [CLASSES[i] for i in FIRST] == list(FLIPS)
    assert SECOND.tolist() == [19, 20, 21, 22, 23]
    parts = (TRAIN_CITIES, VALIDATION_CITIES, TEST_CITIES, UNLABELLED_CITIES)
    assert [len(part) for part in parts] == [15, 3, 3, 6]
    assert len({city for part in parts for city in part}) == 27


def test_a_mode_s_probability_is_the_product_of_its_flips():
    assert len(np.unique(MODES, axis=0)) == 32
    assert MODE_PROBABILITIES.sum() == pytest.approx(1)
    nothing, all_of_them = (~MODES).all(axis=1), MODES.all(axis=1)
    assert MODE_PROBABILITIES[nothing] == pytest.approx(9 * 10 * 11 * 12 * 13 / 17**5)
    assert MODE_PROBABILITIES[all_of_them] == pytest.approx(8 * 7 * 6 * 5 * 4 / 17**5)
    np.testing.assert_allclose(MODE_PROBABILITIES @ MODES, PROBABILITIES)


def test_flips_come_as_often_as_they_should():
    flips = draw_flips(np.random.default_rng(0), 20_000)
    assert flips.mean(axis=0) == pytest.approx(PROBABILITIES, abs=0.015)
    together = np.cov(flips, rowvar=False)
    assert np.abs(together - np.diag(np.diag(together))).max() < 0.01  # each on its own


def test_flipping_renames_classes_and_nothing_else(label):
    for mode in MODES[[0, 5, 31]]:
        flipped = flip(label, mode)
        for before, after in zip(label.ravel(), flipped.ravel(), strict=True):
            k = {*FIRST[mode]} & {before}
            expected = SECOND[FIRST.tolist().index(before)] if k else before
            assert after == expected
    many = flip(np.stack([label, label]), MODES[[3, 4]])
    assert np.array_equal(many, [flip(label, MODES[3]), flip(label, MODES[4])])


def test_the_drawn_label_is_of_seed_and_row(label):
    drawn = [drawn_label(label, 4, row) for row in range(40)]
    assert np.array_equal(drawn[7], drawn_label(label, 4, 7))
    assert len({one.tobytes() for one in drawn}) > 8
    assert not np.array_equal(drawn, [drawn_label(label, 5, row) for row in range(40)])
    flips = draw_flips(numpy_generator(4, "reconstruction", 7), 1)
    assert np.array_equal(drawn[7], flip(label, flips[0]))
