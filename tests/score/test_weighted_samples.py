"""Samples with weights, of every kind of data, score as if each stood as often as it counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probunet.datasets import open_data
from probunet.metrics.bits import pack
from probunet.run import Run
from probunet.score.run import score_run
from probunet.store import write_samples
from support.label_images import write_labelled
from support.samples import sample_attributes

TIMES = np.array([2, 1, 3])  # how often each of three samples stands
# `ged_limit` is not defined, and these are no means over samples, or of n of them
OTHERS = ("n", "ged_limit", "ged_unbiased", "ncc", "match_dice", "match_dice_of_samples")


def scored(folder: Path, store: Path, repeat: bool) -> pd.DataFrame:
    """Scores of the same random samples, with weights or repeated."""
    data, random = open_data(store), np.random.default_rng(0)
    rows, size = np.arange(min(6, len(data))), data.size
    maps = random.integers(data.classes, size=(len(rows), 1 + len(TIMES), *size)).astype(np.uint8)
    maps[:, :, : size[0] // 2] = 0
    stored = pack(maps.astype(bool)) if data.classes == 2 else maps
    samples, single = stored[:, 1:], stored[:, 0]
    arrays = {"rows": rows, "deterministic": single}
    if repeat:
        arrays["samples"] = samples.repeat(TIMES, axis=1)
    else:
        arrays["samples"] = samples
        weights = TIMES / TIMES.mean()
        arrays["sample_weights"] = np.tile(weights, (len(rows), 1)).astype(np.float32)
    run = Run(data.attributes.dataset, "mose", 1.0, 0, 0)
    path = folder / run.folder / "samples.zarr"
    path.parent.mkdir(parents=True)
    n = arrays["samples"].shape[1]
    attributes = sample_attributes(
        run, size=size, samples=n, store=data.digest, classes=data.classes
    )
    write_samples(path, attributes, arrays)
    table = path.with_name("scores.parquet")
    score_run(path, store, table, (n,))
    return pd.read_parquet(table)


@pytest.mark.parametrize("kind", ["masks", "labels", "modes"])
def test_weights_count_as_repeated_samples_do(tmp_path: Path, store: Path, scenes: Path, kind: str):
    labels = write_labelled(tmp_path / "eyes.zarr", [0b011, 0b111, 0b101], (16, 24))
    path = {"masks": store, "labels": labels, "modes": scenes}[kind]
    found, expected = (scored(tmp_path / str(r), path, r) for r in (False, True))
    assert list(found) == list(expected)
    for name in found.columns:
        one, other = found[name], expected[name]
        model = found["predictor"] == "model"
        if name in OTHERS:
            one, other = one[~model], other[~model]
        if name in ("first_pixels", "second_pixels"):  # in n samples
            one, other = one[model] / len(TIMES), other[model] / TIMES.sum()
        if name == "n" or pd.api.types.is_string_dtype(one):
            continue
        values = [np.array([np.array(v, float) for v in of.dropna()]) for of in (one, other)]
        np.testing.assert_allclose(*values, atol=1e-6, err_msg=name)
    assert found.loc[found["predictor"] == "model", "ged_limit"].isna().all()
    assert found.loc[found["predictor"] == "model", "ged"].notna().any()
