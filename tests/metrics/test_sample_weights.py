"""Scores of samples with weights: against sums over all pairs, and against repeated samples."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linprog

from probunet.flips import MODE_PROBABILITIES
from probunet.metrics.bits import pack
from probunet.metrics.calibration import reliability
from probunet.metrics.distances import distances
from probunet.metrics.ged import energy_distance
from probunet.metrics.matched_iou import matched_iou
from probunet.metrics.max_dice import dice
from probunet.metrics.mode_calibration import mode_reliability, mode_votes
from probunet.metrics.mode_shares import mode_shares, named_pixels
from probunet.metrics.modes import distances_of
from probunet.metrics.ncc import ncc
from probunet.metrics.overlaps import overlaps
from probunet.metrics.reported import of_masks, of_votes
from probunet.metrics.sample_weights import Weights
from probunet.metrics.seen import Seen
from probunet.metrics.votes import votes
from support.label_maps import sample_and_label_maps
from support.masks import iou, sample_and_grader_masks


def weights_for(images: int, samples: int, seed: int) -> NDArray[np.float64]:
    """Weights (images, samples), zeros among them; the first of an image is none."""
    random = np.random.default_rng(seed)
    weights = random.random((images, samples)) * random.choice([0, 1], (images, samples))
    weights[:, 0] += 0.01
    return weights


@given(sample_and_grader_masks(), st.data())
@settings(deadline=None, max_examples=80)
def test_ged_is_that_of_all_weighted_pairs(masks, data):
    samples, graders = masks
    n = data.draw(st.integers(1, samples.shape[1]))
    weights = weights_for(*samples.shape[:2], data.draw(st.integers(0, 2**20)))
    found = energy_distance(distances(pack(samples), pack(graders)), n, sample_weights=weights)
    for image, (s, y) in enumerate(zip(samples, graders, strict=True)):
        w = weights[image, :n] / weights[image, :n].sum()
        between = within = apart = others = 0.0
        for i in range(n):
            between += w[i] * np.mean([1 - iou(s[i], grader) for grader in y])
            for j in range(n):
                within += w[i] * w[j] * (1 - iou(s[i], s[j]))
                if i != j:
                    others += w[i] * w[j]
                    apart += w[i] * w[j] * (1 - iou(s[i], s[j]))
        truth = np.mean([1 - iou(a, b) for a in y for b in y])
        assert found.diversity[image] == pytest.approx(within, abs=1e-12)
        assert found.ged[image] == pytest.approx(2 * between - within - truth, abs=1e-12)
        expected = 2 * between - apart / others - truth if others else np.nan
        assert found.ged_unbiased[image] == pytest.approx(expected, abs=1e-9, nan_ok=True)
        assert np.isnan(found.ged_limit[image])


@given(sample_and_grader_masks(most_samples=5, most_graders=4), st.data())
@settings(deadline=None, max_examples=60)
def test_a_weight_of_three_is_a_sample_that_stands_thrice(masks, data):
    samples, graders = masks
    images, n = samples.shape[:2]
    times = np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)))
    pairs = distances(pack(samples), pack(graders))
    weights = np.broadcast_to(times.astype(float), (images, n))
    repeated = distances(pack(samples.repeat(times, axis=1)), pack(graders))
    many = int(times.sum())
    of_graders = np.arange(1.0, graders.shape[1] + 1)
    for chosen in (None, of_graders):
        found = energy_distance(pairs, n, chosen, sample_weights=weights)
        expected = energy_distance(repeated, many, chosen)
        np.testing.assert_allclose(found.ged, expected.ged, atol=1e-12)
        np.testing.assert_allclose(found.diversity, expected.diversity, atol=1e-12)
        np.testing.assert_allclose(
            matched_iou(pairs, n, chosen, weights), matched_iou(repeated, many, chosen), atol=1e-9
        )


@given(sample_and_grader_masks(most_samples=5), st.integers(0, 2**20))
@settings(deadline=None, max_examples=40)
def test_matched_iou_is_the_best_transport_between_both_weights(masks, seed):
    samples, graders = masks
    (images, n), g = samples.shape[:2], graders.shape[1]
    weights = weights_for(images, n, seed)
    found = matched_iou(distances(pack(samples), pack(graders)), n, sample_weights=weights)
    leaves, arrives = np.kron(np.eye(n), np.ones(g)), np.kron(np.ones(n), np.eye(g))
    for image, (s, y) in enumerate(zip(samples, graders, strict=True)):
        cost = np.array([[1 - iou(a, b) for b in y] for a in s]).ravel()
        amounts = np.concatenate([weights[image] / weights[image].sum(), np.full(g, 1 / g)])
        best = linprog(cost, A_eq=np.concatenate([leaves, arrives])[:-1], b_eq=amounts[:-1])
        assert found[image] == pytest.approx(1 - best.fun, abs=1e-7)


@given(sample_and_grader_masks())
@settings(deadline=None, max_examples=40)
def test_equal_weights_are_none(masks):
    samples, graders = masks
    n, pairs = samples.shape[1], distances(pack(samples), pack(graders))
    weights = np.ones((len(samples), n), np.float32)
    weighted, plain = energy_distance(pairs, n, sample_weights=weights), energy_distance(pairs, n)
    for name in ("ged", "ged_unbiased", "diversity"):
        np.testing.assert_allclose(getattr(weighted, name), getattr(plain, name), atol=1e-12)
    found = matched_iou(pairs, n, sample_weights=weights)
    np.testing.assert_allclose(found, matched_iou(pairs, n), atol=1e-9)


def repeated(samples: NDArray[Any], times: NDArray[np.int64]) -> tuple[NDArray[Any], Weights]:
    """Samples (images, sum of times, ...), each so often, and the weights that are the same."""
    weights = np.broadcast_to(times / times.sum(), samples.shape[:2])
    return samples.repeat(times, axis=1), weights


def counts(data: st.DataObject, n: int) -> NDArray[np.int64]:
    return np.array(data.draw(st.lists(st.integers(1, 3), min_size=n, max_size=n)))


@given(sample_and_grader_masks(most_samples=6), st.data())
@settings(deadline=None, max_examples=60)
def test_every_score_of_masks_is_that_of_repeated_samples(masks, data):
    samples, graders = masks
    times = counts(data, samples.shape[1])
    many, weights = repeated(samples, times)
    pixels = samples.shape[-1] * samples.shape[-2]
    tables, bins = [], []
    for one, own in ((samples, weights), (many, None)):
        packed, truth = pack(one), pack(graders)
        counted = votes(packed, truth, pixels, own)
        seen = Seen(packed, truth, counted, own)
        of_pairs = dice(distances(packed, truth).between)
        tables.append(
            of_masks([seen], of_pairs, [str(g) for g in range(graders.shape[1])], "equal")
        )
        bins.append(reliability(counted))
        assert (np.diff(counted.share, axis=-1) >= 0).all()
    for name, expected in tables[1].items():
        if name != "match_dice":
            np.testing.assert_allclose(
                np.array(list(tables[0][name])), np.array(list(expected)), atol=1e-9, err_msg=name
            )
    for name, expected in vars(bins[1]).items():
        np.testing.assert_allclose(getattr(bins[0], name), expected, atol=1e-9, err_msg=name)


@given(sample_and_grader_masks(most_samples=5), st.integers(0, 2**20))
@settings(deadline=None, max_examples=60)
def test_ncc_is_the_correlation_of_the_weighted_maps(masks, seed):
    samples, graders = masks
    (images, n, height, width) = samples.shape
    weights = weights_for(images, n, seed)
    weights /= weights.sum(axis=1, keepdims=True)
    found = ncc(votes(pack(samples), pack(graders), height * width, weights))
    for image in range(images):
        expected, met = [], []
        for row, column in np.ndindex(height, width):
            share = weights[image] @ samples[image, :, row, column]
            p = min(max(share, 1 / (2 * n)), 1 - 1 / (2 * n))
            expected.append(-p * np.log(p) - (1 - p) * np.log(1 - p))
            met.append([-np.log(p if y else 1 - p) for y in graders[image, :, row, column]])
        if np.ptp(expected) < 1e-6:
            continue
        by_grader = [np.corrcoef(expected, one)[0, 1] for one in np.transpose(met)]
        assert found[image] == pytest.approx(np.mean(by_grader), abs=1e-6, nan_ok=True)


def test_samples_that_are_opposites_have_no_ncc():
    one = np.random.default_rng(0).random((1, 1, 6, 6)) < 0.5
    samples, graders = np.concatenate([one, ~one], axis=1), one
    assert np.isnan(ncc(votes(pack(samples), pack(graders), 36, np.array([[0.7, 0.3]]))))


@given(sample_and_label_maps(most_samples=6), st.data())
@settings(deadline=None, max_examples=40)
def test_every_score_of_modes_is_that_of_repeated_samples(maps, data):
    samples, labels = maps
    times = counts(data, samples.shape[1])
    many, weights = repeated(samples, times)
    found, expected = [], []
    for scores, one, own in ((found, samples, weights), (expected, many, None)):
        n, shared = one.shape[1], overlaps(one, labels)
        pairs, counted = distances_of(shared), mode_votes(one, labels, own)
        energy = energy_distance(pairs, n, MODE_PROBABILITIES, sample_weights=own)
        scores += [energy.ged, energy.diversity, mode_shares(pairs, n, own)]
        scores += [matched_iou(pairs, n, MODE_PROBABILITIES, own)]
        scores += [pixels / n for pixels in named_pixels(shared, n, own)]
        scores += [*vars(mode_reliability(counted)).values(), *of_votes(counted).values()]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
