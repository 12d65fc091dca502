"""Charts hold the tables' values exactly, and can be drawn."""

import math
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest

from probunet.report.charts import FEW, Chart, ged_chart, training_chart
from probunet.report.runs import RunFolder, read_run
from probunet.run import Run
from support.report.charts import OWN, N, folder, tables
from support.report.vega import layers


def drawn(chart: Chart) -> ElementTree.Element:
    """Return the chart as SVG, which has to be well-formed."""
    return ElementTree.fromstring(chart.svg())


def test_the_means_are_those_of_the_summary() -> None:
    scores, summary = tables([(OWN, 1.0)])
    of = layers(ged_chart(scores, summary))
    own = summary[summary["model"] == OWN]
    names = ["n", "ged", "ged_low", "ged_high"]
    assert pd.DataFrame(of["markers"])[names].to_numpy().tolist() == own[names].to_numpy().tolist()
    runs = scores[scores["model"] == OWN][["fold", "n", "ged"]]
    assert pd.DataFrame(of["runs"])[["fold", "n", "ged"]].to_numpy().tolist() == (
        runs.to_numpy().tolist()
    )
    [guess] = of["guesses"]
    single = summary[summary["model"] == "deterministic"]["ged"].iloc[-1]
    assert (guess["ged"], guess["n"]) == (single, 2 * max(N))
    assert {row["predictor"] for row in of["shared-names"]} == {
        "Always empty",
        "The graders themselves",
    }


@pytest.mark.parametrize(("count", "always"), [(FEW, True), (FEW + 1, False)])
def test_of_many_models_single_runs_are_shown_of_those_chosen(count: int, always: bool) -> None:
    chart = ged_chart(*tables([(f"model_{k}", 1.0) for k in range(count)]))
    of = layers(chart)
    begin = "" if always else "hover-"
    assert len(of[f"{begin}intervals"]) == count * len(N)
    assert len(of[f"{begin}runs"]) == count * len(N) * 2
    assert ("A click on a name" in chart.caption) == (not always)
    bands = drawn(chart).findall(".//*[@class]")
    assert any("intervals" in str(one.get("class")) for one in bands) == always


def test_betas_have_a_legend_of_their_own() -> None:
    chart = ged_chart(*tables([(OWN, 10.0), (OWN, 1.0), ("unet", 1.0)]))
    assert {row["model"] for row in layers(chart)["means"]} == {"Probabilistic U-Net", "U-Net"}
    assert {row["beta"] for row in layers(chart)["means"]} == {
        "β\xa0=\xa01",
        "β\xa0=\xa010",
        "",
    }
    assert [param["bind"] for param in chart.spec["params"]] == ["legend", "legend"]
    text = "".join(drawn(chart).itertext())
    assert "β\xa0=\xa010" in text


def test_no_model_at_all_is_no_crash() -> None:
    scores, summary = tables([(OWN, 1.0)])
    rest = summary[summary["model"].isin(["empty", "graders"])]
    chart = ged_chart(scores.iloc[:0], rest)
    assert "means" not in layers(chart)
    drawn(chart)


def test_a_value_that_is_missing_is_null() -> None:
    scores, summary = tables([(OWN, 1.0)])
    summary["ged_low"] = math.nan
    chart = ged_chart(scores, summary)
    assert {row["ged_low"] for row in layers(chart)["markers"]} == {None}
    drawn(chart)


def test_the_best_weights_and_an_early_stop_are_marked() -> None:
    chart = training_chart([folder(stopped=40)])
    assert chart is not None
    of = layers(chart)
    [best] = of["validation_ged-best"]
    assert (best["step"], best["value"]) == (20, 0.4)
    assert [row["what"] for row in of["loss-stopped"]] == ["stopped early, at step 40"]
    assert "kl-lines" not in of  # zeros are none
    drawn(chart)
    finished = training_chart([folder()])
    assert finished is not None
    assert "loss-stopped" not in layers(finished)


def test_long_logs_are_averaged_and_members_told_apart() -> None:
    chart = training_chart([folder(10_000, members=3)])
    assert chart is not None
    rows = layers(chart)["loss-lines"]
    assert len(rows) == 300
    assert {row["run"] for row in rows} == {f"fold 0, seed 0, member {k}" for k in range(3)}


def test_one_curve_alone_is_drawn() -> None:
    run = folder()
    loss = [{"loss": log["loss"]} for log in run.training]
    chart = training_chart([replace(run, training=loss)])
    assert chart is not None
    drawn(chart)


def test_nothing_logged_is_no_chart() -> None:
    assert training_chart([]) is None
    assert training_chart([RunFolder(Run("lidc", OWN, 1.0, 0, 0), [], None, None, ())]) is None


def test_an_unfinished_training_is_read_from_its_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / Run("lidc", OWN, 1.0, 0, 0).folder
    (run / "checkpoint").mkdir(parents=True)
    log = '{"step": 5, "loss": 2.0, "kl": 1.0}\n{"step": 7, "validation_ged": 1.0}\n'
    (run / "checkpoint" / "training.jsonl").write_text(log)
    found = read_run(run)
    assert found.stopped == (7,)
    assert "training.jsonl: the training stopped at step 7 and is not finished" in found.missing
    (run / "training.jsonl").write_text(log)
    assert read_run(run).stopped == (None,)


def test_charts_of_one_page_have_ids_of_their_own_and_equal_bytes() -> None:
    one, other = (ged_chart(*tables([(OWN, 1.0)])) for _ in range(2))
    assert one.svg("a-") == other.svg("a-")
    assert one.pdf() == other.pdf()
    chart = training_chart([folder()])
    assert chart is not None
    ids = [
        {part.get("id") for part in ElementTree.fromstring(chart.svg(prefix)).iter()} - {None}
        for prefix in ("a-", "b-")
    ]
    assert not ids[0] & ids[1]
    assert "hover" not in chart.svg()
