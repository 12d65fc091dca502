"""Tables of scores: read as they were written, or refused in one sentence."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from probunet.errors import ProbunetError
from probunet.run import Run
from probunet.scores import read_scores, write_scores
from support.damage import flipped

RUN = Run("lidc", "unet", 1.0, 0, 3)


def table(run=RUN):
    count = 200
    random = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "dataset": run.dataset,
            "model": run.model,
            "beta": run.beta,
            "fold": run.fold,
            "seed": run.seed,
            "row": np.arange(count),
            "subject": [f"P{i // 2}" for i in range(count)],
            "predictor": "model",
            "n": 4,
            "ged": random.random(count),
            "ncc": np.nan,
            "bins": list(random.random((count, 10))),
        }
    )


@pytest.fixture
def path(tmp_path):
    folder = tmp_path / RUN.folder
    folder.mkdir(parents=True)
    write_scores(folder / "scores.parquet", table())
    return folder / "scores.parquet"


def test_what_is_written_is_read_as_pandas_reads_it(path):
    pd.testing.assert_frame_equal(read_scores(path), pd.read_parquet(path))
    some = read_scores(path, ["ged", "ncc"])
    assert {"ged", "ncc", "row"} <= {*some} < {*table()}


def test_a_flipped_bit_in_a_page_is_refused_wherever_it_is(path):
    content = path.read_bytes()
    good = read_scores(path)
    refused = 0
    for at in range(4, len(content), 97):
        path.write_bytes(flipped(content, at))
        try:
            pd.testing.assert_frame_equal(read_scores(path), good)
        except ProbunetError:
            refused += 1
    assert refused > 50


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"ged": np.inf}, "ged is infinite"),
        ({"ged": "low"}, "ged is no number"),
        ({"n": 0}, "n or row is wrong"),
        ({"row": -1}, "n or row is wrong"),
        ({"fold": 0.5}, "fold is no integer"),
        ({"predictor": "oracle"}, "an unknown predictor"),
        ({"seed": np.arange(200)}, "it is of several runs"),
        ({"subject": "x" * 2_000}, "a text of subject is longer than 1000 characters"),
        ({"model": "a/../../b"}, "it is of no run"),
        ({"bins": [[1.0] * (i % 3) for i in range(200)]}, "its lists differ in length"),
    ],
)
def test_wrong_values_are_refused(path, changed, message):
    table().assign(**changed).to_parquet(path)
    with pytest.raises(ProbunetError, match=rf"scores\.parquet: not a table of scores \({message}"):
        read_scores(path)


def test_scores_in_another_run_s_folder_are_refused(path, tmp_path):
    other = tmp_path / Run("lidc", "unet", 10.0, 0, 3).folder
    other.mkdir(parents=True)
    path.rename(other / path.name)
    with pytest.raises(ProbunetError, match=r"belongs to the run lidc/unet/beta-1/.*beta-10/"):
        read_scores(other / path.name)


def test_a_small_file_that_declares_much_is_not_read(path, monkeypatch):
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(40_000_000, np.int8)), ["x"])
    pq.write_table(pa.table({"dataset": column}), path)
    assert path.stat().st_size < 100_000
    monkeypatch.setattr(pq, "read_table", None)
    with pytest.raises(ProbunetError, match=r"not a table of scores .*bytes declare 320000000"):
        read_scores(path)
