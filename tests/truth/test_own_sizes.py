"""Images of their own sizes have the scores that each has as a data set of its own."""

from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from probunet.run import Run
from probunet.store import Samples, open_samples, write_samples
from support.label_images import random_maps
from support.own_sizes import Own, alone, open_own, stored
from support.samples import sample_attributes

RUN = Run("mine", "unet", 1.0, 0, 0)
sizes = st.tuples(st.integers(1, 24), st.integers(1, 24))
Maps = dict[str, np.ndarray]  # class ids by name, (images, ..., H, W)


def draw_maps(images: Own, n: int, seed: int) -> Maps:
    """Return random segmentations of all images, 0 beyond their edges."""
    random, (height, width) = np.random.default_rng(seed), images.size
    leads = {"samples": (n,), "deterministic": (), "reconstruction": (len(images.graders),)}
    maps = {
        name: random_maps(random, (len(images), *lead), (height, width), images.classes)
        for name, lead in leads.items()
    }
    for row, (height, width) in enumerate(images.extents.tolist()):
        for one in maps.values():
            one[row, ..., height:, :] = 0
            one[row, ..., width:] = 0
    return maps


def write(path: Path, images: Own, maps: Maps) -> Samples:
    arrays = {name: stored(images, one) for name, one in maps.items()}
    n = maps["samples"].shape[1]
    about = sample_attributes(
        RUN, classes=images.classes, size=images.size, samples=n, store=images.digest
    )
    write_samples(path, about, arrays | {"rows": np.arange(len(images))})
    return open_samples(path)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(sizes, min_size=2, max_size=4), st.booleans(), st.integers(1, 4), st.integers(0, 9))
def test_scores_are_those_of_the_images_alone(tmp_path_factory, own, labelled, n, seed):
    folder = tmp_path_factory.mktemp("own")
    images = open_own(folder / "mine.zarr", own, labelled, seed)
    maps = draw_maps(images, n, seed)
    mixed = images.score(write(folder / "samples.zarr", images, maps), 0, sorted({1, n}))
    together = pd.concat(list(mixed), ignore_index=True)
    assert together["height"].tolist() == images.extents[together["row"], 0].tolist()
    for row, (height, width) in enumerate(own):
        single = alone(folder / f"{row}.zarr", images, row)
        assert single.size == (height, width)
        cut = {name: one[row : row + 1, ..., :height, :width] for name, one in maps.items()}
        drawn = write(folder / f"{row}-samples.zarr", single, cut)
        expected = pd.concat(list(single.score(drawn, 0, sorted({1, n}))), ignore_index=True)
        found = together[together["row"] == row].reset_index(drop=True)
        found = found.drop(columns=["row", "height", "width"])
        assert set(expected) - {"row"} <= set(found)  # others, of graders of other images, are NaN
        assert_frame_equal(found, expected.reindex(columns=found.columns), check_exact=True)
