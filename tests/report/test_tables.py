from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from probunet.errors import ProbunetError
from probunet.metrics.reported import COLUMNS
from probunet.report.tables import (
    OTHERS,
    PAIR,
    by_ged,
    by_grader,
    by_topic,
    further,
    others,
    over_folds,
    overview,
    read_tables,
    undecided,
)
from probunet.scores import LATER


def table(rows: list[tuple[str, float, int, float]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["model", "beta", "n", "ged"])
    spread = {name: np.nan for name in ("ged_sd", "ged_low", "ged_high")}
    return frame.assign(dataset="cityscapes", folds=2, **spread)


def test_models_stand_in_the_order_of_their_ged_at_the_greatest_n() -> None:
    summary = table(
        [
            ("m_heads", 1.0, 1, 0.1),
            ("m_heads", 1.0, 16, 0.5),
            ("probabilistic_unet", 1.0, 1, 0.9),
            ("probabilistic_unet", 1.0, 16, 0.4),
            ("probabilistic_unet", 10.0, 1, 0.8),
            ("probabilistic_unet", 10.0, 16, 0.3),
            ("deterministic (m_heads)", 1.0, 16, 0.0),
            ("deterministic", 1.0, 16, 0.7),
            ("deterministic", 10.0, 16, 0.9),
            ("empty", np.nan, 16, 0.0),
            ("graders", np.nan, 16, 0.0),
        ]
    )
    ordered = by_ged(summary, summary)
    assert [(row.model, row.beta) for row in ordered[ordered["n"] == 16].itertuples()][:-2] == [
        ("probabilistic_unet", 10),
        ("probabilistic_unet", 1),
        ("m_heads", 1),
        ("deterministic", 10),
        ("deterministic", 1),
        ("deterministic (m_heads)", 1),
    ]
    assert [row.label for row in over_folds(ordered, folds=2).rows][-2:] == [
        "None of the ten classes",
        "The 32 modes themselves",
    ]
    assert (ordered["n"].to_numpy()[:2] == [1, 16]).all()  # rows of one model keep their order


def test_a_data_set_with_the_name_of_nothing_keeps_its_name(tmp_path: Path) -> None:
    """Pandas reads `null` and `nan` as missing by default."""
    row: dict[str, object] = {name: 0.5 for name in (*PAIR, "ged", *OTHERS)}
    row |= dict.fromkeys(["n", "fold", "seed", "folds"], 1)
    row |= dict.fromkeys(["ged_sd", "ged_low", "ged_high"], 0.5)
    row |= {"model": "unet", "other_model": "empty", "beta": np.nan}
    frame = pd.DataFrame([row | {"dataset": name} for name in ("null", "nan")])
    frame.to_csv(tmp_path / "scores.csv", index=False)
    for read in read_tables(*[tmp_path / "scores.csv"] * 3):
        assert read["dataset"].tolist() == ["null", "nan"]
        assert read["beta"].isna().all()
        assert read["ged"].dtype == float


def test_tables_of_older_versions_have_dashes_in_later_columns(tmp_path: Path) -> None:
    row: dict[str, object] = {name: 0.5 for name in (*PAIR, "ged", *OTHERS) if name not in LATER}
    row |= dict.fromkeys(["n", "fold", "seed", "folds"], 1)
    row |= dict.fromkeys(["ged_sd", "ged_low", "ged_high", "beta"], 0.5)
    row |= {"model": "unet", "other_model": "empty", "dataset": "lidc"}
    pd.DataFrame([row]).to_csv(tmp_path / "scores.csv", index=False)
    _, summary, _ = read_tables(*[tmp_path / "scores.csv"] * 3)
    assert summary[LATER].isna().all(axis=None)
    shown = others(summary, 1, folds=1)
    at = shown.heads.index(OTHERS["ged_limit"])
    assert shown.rows[0].cells[at].text == "\N{EN DASH}"


def pair(model: str, low: float, high: float) -> dict[str, object]:
    """A row of comparison.csv: m_heads against another model."""
    own = {"dataset": "lidc", "n": 16, "model": "m_heads", "beta": 1.0, "difference": 0.0}
    return own | {"other_model": model, "other_beta": 1.0, "low": low, "high": high, "better": 0.5}


def test_undecided_are_models_whose_interval_includes_zero() -> None:
    comparison = pd.DataFrame(
        [
            pair("unet", -0.1, 0.1),
            pair("dropout_unet", -0.2, -0.1),
            pair("probabilistic_unet", 0.1, 0.2),
            pair("empty", -0.1, 0.1),
        ]
    )
    ours, unet, dropout = (("m_heads", 1.0), ("unet", 1.0), ("dropout_unet", 1.0))
    assert undecided(comparison, 16, [ours, unet, dropout]) == [unet]
    assert undecided(comparison, 16, [unet, ours]) == [ours]
    assert undecided(comparison, 16, [ours, dropout]) == []
    assert undecided(comparison, 16, [dropout, ours]) == [ours]  # clearly worse is not better
    assert undecided(comparison, 16, [ours]) == undecided(comparison, 16, []) == []


def test_what_was_not_compared_is_undecided() -> None:
    comparison = pd.DataFrame([pair("unet", -0.2, -0.1)])
    ours, unet = ("m_heads", 1.0), ("unet", 1.0)
    assert undecided(comparison, 8, [ours, unet]) == [unet]
    assert undecided(comparison, 16, [ours, unet, ("unet", 10.0)]) == [("unet", 10.0)]
    unknown = comparison.assign(low=np.nan, high=np.nan)
    assert undecided(unknown, 16, [ours, unet]) == [unet]


def test_each_score_stands_once() -> None:
    summary = table([("m_heads", 1.0, 16, 0.1)]).assign(**dict.fromkeys(OTHERS, 0.5))
    heads = overview(summary, 16, folds=2, clear=False).heads + others(summary, 16, folds=2).heads
    assert heads[0] == "GED, n = 16"
    assert sorted(heads[1:]) == sorted(OTHERS.values())


def test_each_score_of_the_registry_stands_once_and_by_topic_if_a_row_has_it() -> None:
    summary = table([("m_heads", 1.0, 16, 0.1), ("empty", np.nan, 16, 0.8)])
    summary = summary.assign(**{column.name: 0.5 for column in COLUMNS})
    heads = [column.head for column in COLUMNS]
    assert further(summary, 16, folds=2).heads == heads
    topics = by_topic(summary, 16, folds=2)
    assert sorted(head for topic in topics for head in topic.table.heads) == sorted(heads)
    assert [len(topic.table.rows) for topic in topics] == [2] * len(topics)
    blank = summary.assign(**{column.name: np.nan for column in COLUMNS if column.name != "nll"})
    [topic] = by_topic(blank, 16, folds=2)
    assert (topic.title, topic.table.heads) == ("Calibration", ["NLL"])


def test_a_table_of_graders_needs_several() -> None:
    summary = table([("m_heads", 1.0, 16, 0.1)])
    one = summary.assign(**{"grader_dice:left": 0.25})
    assert by_grader(one, 16, folds=2) is None
    found = by_grader(one.assign(**{"grader_dice:right": 0.5}), 16, folds=2)
    assert found is not None
    assert found.heads == ["left", "right"]
    assert [cell.text for cell in found.rows[0].cells] == ["0.250", "0.500"]


def test_only_the_first_model_s_ged_can_be_bold() -> None:
    rows = [(name, 1.0, 16, 0.1) for name in ("m_heads", "unet", "empty")]
    summary = table(rows).assign(**dict.fromkeys(OTHERS, 0.5))
    for clear in (True, False):
        found = overview(summary, 16, folds=2, clear=clear)
        bold = [[cell.bold for cell in row.cells] for row in found.rows]
        assert bold[0][0] == clear
        assert not any(any(row[1:]) for row in bold)
        assert not any(row[0] for row in bold[1:])


def test_a_row_of_fewer_folds_says_so() -> None:
    summary = table([("m_heads", 1.0, 16, 0.1), ("unet", 1.0, 16, 0.2)])
    summary = summary.assign(**dict.fromkeys(OTHERS, 0.5), folds=[1, 2])
    for found in (
        overview(summary, 16, folds=2, clear=True),
        others(summary, 16, folds=2),
        over_folds(summary, folds=2),
    ):
        assert [row.note for row in found.rows] == ["1 of 2 folds", ""]


@pytest.mark.parametrize(
    "name", ["/tmp/elsewhere", "../elsewhere", "a/b", "..", ".", "", "Lidc", "a\n", 'a"b']
)
def test_dataset_of_a_foreign_table_is_no_path(tmp_path: Path, name: str) -> None:
    files = [tmp_path / f"{kind}.csv" for kind in ("scores", "summary", "comparison")]
    for file in files:
        frame = table([("unet", 1.0, 1, 0.5)]).assign(fold=0, seed=0, dataset=name)
        other = dict.fromkeys(["other_beta", "difference", "low", "high"], 0.5)
        other |= dict.fromkeys(OTHERS, 0.5) | {"other_model": "empty", "better": 0.5}
        frame.assign(**other).to_csv(file, index=False)
    with pytest.raises(ProbunetError, match=r"\.csv: the column dataset has wrong values"):
        read_tables(*files)
