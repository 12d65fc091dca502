"""Distances between samples and modes against modes drawn as images, pair by pair."""

import numpy as np
from hypothesis import given, settings

from probunet.cityscapes import FIRST, MODES, flip
from probunet.metrics.modes import mode_distances

from .label_maps import Maps, distance, sample_and_label_maps


@given(sample_and_label_maps(most_samples=4))
@settings(deadline=None, max_examples=60)
def test_distances_are_those_of_all_pairs_of_maps(maps: tuple[Maps, Maps]) -> None:
    samples, labels = maps
    found = mode_distances(samples, labels)
    for image, (drawn, label) in enumerate(zip(samples, labels, strict=True)):
        if not np.isin(label, FIRST).any():
            for pairs in (found.samples, found.between, found.graders):
                assert np.isnan(pairs[image]).all()
            continue
        modes = [flip(label, mode) for mode in MODES]
        for pairs, left, right in (
            (found.samples, drawn, drawn),
            (found.between, drawn, modes),
            (found.graders, modes, modes),
        ):
            expected = [[distance(a, b, label) for b in right] for a in left]
            np.testing.assert_allclose(pairs[image], expected, atol=1e-12)
