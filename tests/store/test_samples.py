"""Samples, whole and in parts, and the latent space beside them."""

from dataclasses import fields

import numpy as np
import pytest
import zarr

from probunet.errors import ProbunetError
from probunet.run import Run
from probunet.store import (
    Latent,
    open_samples,
    verify,
    write_sample_parts,
    write_samples,
)
from support.attributes import change_attributes
from support.samples import sample_attributes

RUN = Run("cityscapes", "unet", 1.0, 0, 0)
ATTRIBUTES = sample_attributes(RUN, size=(4, 6), samples=3, store="", classes=24)


@pytest.fixture
def arrays():
    random = np.random.default_rng(0)
    return {
        "rows": np.arange(5) * 2,
        "samples": random.integers(0, 24, (5, 3, 4, 6)).astype(np.uint8),
        "deterministic": random.integers(0, 24, (5, 4, 6)).astype(np.uint8),
        "prior_mean": random.normal(size=(5, 2)).astype(np.float32),
    }


def parts_of(arrays: dict[str, np.ndarray], size: int) -> list[dict[str, np.ndarray]]:
    return [
        {name: x[start : start + size] for name, x in arrays.items() if name != "rows"}
        for start in range(0, len(arrays["rows"]), size)
    ]


@pytest.mark.parametrize("size", [1, 2, 5])
def test_parts_are_read_as_a_whole(tmp_path, arrays, size):
    whole, path = tmp_path / "whole.zarr", tmp_path / "parts.zarr"
    write_samples(whole, ATTRIBUTES, arrays)
    write_sample_parts(path, ATTRIBUTES, arrays["rows"], iter(parts_of(arrays, size)))
    verify(path)
    for stored in (open_samples(whole), open_samples(path)):
        assert stored.attributes == ATTRIBUTES
        for name, expected in arrays.items():
            found = np.asarray(getattr(stored, name)[:])
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        assert stored.reconstruction is None
        assert stored.prior_log_sigma is None
        assert stored.latent is None
    assert open_samples(path).samples.chunks == (size, 3, 4, 6)


def test_missing_parts_are_noticed(tmp_path, arrays):
    with pytest.raises(ValueError, match="4 images were written, and there are 5 rows"):
        write_sample_parts(tmp_path / "s.zarr", ATTRIBUTES, arrays["rows"], parts_of(arrays, 2)[:2])


def test_the_latent_space_is_read_as_written(tmp_path, arrays):
    random = np.random.default_rng(1)
    latent = Latent(
        rows=np.array([0, 8]),
        directions=np.array([[1, 0], [0, 1]]),
        steps=np.linspace(-3, 3, 7, dtype=np.float32),
        grid=random.integers(0, 24, (2, 7, 7, 4, 6)).astype(np.uint8),
        posterior_mean=random.normal(size=(2, 1, 2)).astype(np.float32),
        posterior_log_sigma=random.normal(size=(2, 1, 2)).astype(np.float32),
    )
    write_samples(tmp_path / "s.zarr", ATTRIBUTES, arrays, latent)
    verify(tmp_path / "s.zarr")
    again = open_samples(tmp_path / "s.zarr").latent
    assert again is not None
    for field in fields(Latent):
        expected, found = getattr(latent, field.name), getattr(again, field.name)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"prior_mean": np.full((5, 2), np.nan, np.float32)},
            "10 values of prior_mean are not",
        ),
        ({"prior_mean": np.full((5, 2), np.inf, np.float32)}, "of prior_mean are not finite"),
        ({"ncc": np.full((5, 3, 4), np.inf)}, "60 values of ncc are not finite"),
        ({"sample_weights": np.full((5, 3), np.nan)}, "15 values of sample_weights are not finite"),
        (
            {"sample_weights": np.ones((5, 2))},
            r"the shape of sample_weights is \(5, 2\), not \(5, 3\)",
        ),
        ({"sample_weights": np.full((5, 3), -1.0)}, "sample_weights that cannot be"),
        ({"sample_weights": np.eye(5, 3)}, "sample_weights that cannot be"),
        ({"ncc": np.zeros((5, 2, 4))}, r"the shape of ncc is \(5, 2\), not \(5, 3\)"),
        (
            {"expected_entropy": np.full((5, 3), np.inf)},
            "15 values of expected_entropy",
        ),
        ({"softmax_entropy": np.zeros(5)}, r"the shape of softmax_entropy is \(5,\), not \(5, 3\)"),
        ({"samples": np.zeros((5, 2, 4, 6), np.uint8)}, r"the shape of samples is \(5, 2, 4, 6\)"),
        ({"samples": np.zeros((5, 3, 4, 6))}, "the type of samples is float64, not uint8"),
        ({"deterministic": np.zeros((5, 24), np.uint8)}, "the shape of deterministic"),
        ({"rows": np.array([0, 1, 2, 3, -1])}, "rows that cannot be"),
        ({"rows": np.array([0, 1, 2, 3, 3])}, "rows that cannot be"),
        ({"rows": np.zeros(5)}, "the type of rows is float64"),
    ],
)
def test_samples_that_cannot_be_are_refused(tmp_path, arrays, changed, message):
    write_samples(tmp_path / "s.zarr", ATTRIBUTES, arrays | changed)
    with pytest.raises(ProbunetError, match=message):
        open_samples(tmp_path / "s.zarr")


@pytest.mark.parametrize("changed", [{"samples": 0}, {"size": (-4, 6)}, {"classes": 10**30}])
def test_attributes_that_cannot_be_are_refused(tmp_path, arrays, changed):
    write_samples(tmp_path / "s.zarr", ATTRIBUTES, arrays)
    change_attributes(tmp_path / "s.zarr", **changed)
    with pytest.raises(ProbunetError, match="1 attributes do not match schema"):
        open_samples(tmp_path / "s.zarr")


def test_samples_of_an_older_version_are_opened(tmp_path, arrays):
    write_samples(tmp_path / "s.zarr", ATTRIBUTES, arrays)
    group = zarr.open_group(tmp_path / "s.zarr", mode="r+")
    for key in ("subjects", "seal"):
        del group.attrs[key]
    assert open_samples(tmp_path / "s.zarr").attributes.subjects is None
