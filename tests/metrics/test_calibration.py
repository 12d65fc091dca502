from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings

from probunet.metrics.bits import pack
from probunet.metrics.calibration import BINS, Reliability, expected_calibration_error, reliability
from probunet.metrics.votes import votes
from support.masks import Masks, sample_and_grader_masks


def bins_of(samples: Masks, graders: Masks) -> Reliability:
    pixels = samples.shape[-2] * samples.shape[-1]
    return reliability(votes(pack(samples), pack(graders), pixels))


def answers(
    samples: Masks, graders: Masks
) -> list[tuple[Fraction, bool]]:  # prediction and answer, every pixel and grader
    n = samples.shape[1]
    return [
        (Fraction(int(samples[image, :, row, column].sum()), n), bool(answer))
        for image, row, column in np.ndindex(samples.shape[0], *samples.shape[2:])
        for answer in graders[image, :, row, column]
    ]


@given(sample_and_grader_masks(most_samples=12))
@settings(deadline=None, max_examples=60)
def test_bins_of_many_images_add_up_to_those_of_all_pixels(masks):
    samples, graders = masks
    found = bins_of(samples, graders)
    pooled = Reliability(
        found.pixels.sum(axis=0), found.predicted.sum(axis=0), found.marked.sum(axis=0)
    )
    given_answers, ece = answers(samples, graders), Fraction(0)
    for b in range(BINS):
        inside = [
            (p, y)
            for p, y in given_answers
            if Fraction(b, BINS) <= p < Fraction(b + 1, BINS) or (b == BINS - 1 and p == 1)
        ]
        assert pooled.pixels[b] == len(inside)
        assert pooled.predicted[b] == pytest.approx(float(sum(p for p, _ in inside)))
        assert pooled.marked[b] == sum(y for _, y in inside)
        ece += abs(sum((p - y for p, y in inside), start=Fraction(0)))
    assert expected_calibration_error(pooled) == pytest.approx(
        float(ece / len(given_answers)), abs=1e-12
    )
    for image in range(len(samples)):
        alone = bins_of(samples[image : image + 1], graders[image : image + 1])
        np.testing.assert_array_equal(found.pixels[image], alone.pixels[0])
        np.testing.assert_array_equal(found.marked[image], alone.marked[0])


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=50)
def test_graders_are_calibrated_by_their_own_mean(masks):
    _, graders = masks
    ece = expected_calibration_error(bins_of(graders, graders))
    np.testing.assert_allclose(ece, 0, atol=1e-12)


def test_certain_and_wrong_everywhere_is_the_worst():
    nothing, everything = np.zeros((1, 3, 4, 4), bool), np.ones((1, 2, 4, 4), bool)
    assert expected_calibration_error(bins_of(nothing, everything)) == 1
    assert expected_calibration_error(bins_of(everything, nothing)) == 1
    assert expected_calibration_error(bins_of(nothing, nothing)) == 0
