import json

import pytest

from probunet.errors import ProbunetError
from probunet.folds import Fold, Folds

GOOD = {"train": ["a"], "validation": ["b"], "test": ["c"]}


def read(tmp_path, fold: dict, **more) -> Folds:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"dataset": "lidc", "folds": [GOOD, fold], **more}))
    return Folds.read(path)


def test_a_users_own_file_reads(tmp_path):
    folds = read(tmp_path, GOOD)
    assert folds.seed is None
    assert folds.subjects(1, "validation") == ["b"]


@pytest.mark.parametrize(
    ("fold", "message"),
    [
        (GOOD | {"test": ["a"]}, r"folds\.1: a occurs twice"),
        (GOOD | {"train": ["a", "a"]}, r"folds\.1: a occurs twice"),
        (GOOD | {"test": []}, r"folds\.1\.test"),
        (GOOD | {"tests": ["d"]}, r"folds\.1\.tests"),
        ({"train": ["a"], "test": ["c"]}, r"folds\.1\.validation"),
    ],
)
def test_faults_are_named_with_their_place(tmp_path, fold, message):
    with pytest.raises(ProbunetError, match=rf"mine\.json: {message}"):
        read(tmp_path, fold)


def test_a_file_that_is_not_json_or_missing_is_an_error(tmp_path):
    (tmp_path / "mine.json").write_text("folds: 3")
    with pytest.raises(ProbunetError, match=r"mine\.json"):
        Folds.read(tmp_path / "mine.json")
    with pytest.raises(ProbunetError, match="no such file"):
        Folds.read(tmp_path / "other.json")


def test_a_missing_fold_is_an_error():
    with pytest.raises(ProbunetError, match="there are 1 folds"):
        Folds(dataset="lidc", folds=(Fold(**GOOD),)).subjects(1, "test")
