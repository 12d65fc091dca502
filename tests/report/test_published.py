"""Published figures: each in its column, and shown only beside figures that compare with them."""

from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from probunet.datasets import BUILT_IN, find
from probunet.datasets.base import Published
from probunet.report.published import WEIGHTS, Beside, Study, published_beside
from probunet.report.tables import OTHERS

SETS = [
    pytest.param(published, id=protocol)
    for name in BUILT_IN
    for protocol, published in find(name).published.items()
]
LIDC = find("lidc").published
OF_V1 = Study("knegt", synthetic=False, size=(128, 128), split="series", weights="best")
OF_V2 = replace(OF_V1, protocol="hpunet", split="published")


def summary_of(*ns: int) -> pd.DataFrame:
    """The summary of two models and a predictor that is none, the best one first."""
    rows: list[dict[str, Any]] = [
        {"dataset": "lidc", "model": model, "beta": 1.0, "n": n, "ged": ged, "hm_iou": 0.5}
        for model, ged in (("probabilistic_unet", 0.25), ("m_heads", 0.3125), ("empty", 0.8))
        for n in ns
    ]
    return pd.DataFrame(rows).assign(ged_sd=0.03)


def beside(study: Study, *ns: int) -> Beside:
    found = published_beside(LIDC, study, summary_of(*ns))
    assert found is not None
    return found


@pytest.mark.parametrize("published", SETS)
def test_each_method_has_a_figure_or_a_dash_in_each_column(published: Published) -> None:
    names = [method.name for method in published.methods]
    assert len(names) == len(set(names))
    for method in published.methods:
        figures = method.figures.split()
        assert len(figures) == len(published.columns)
        assert {*figures} != {"-"}
        for figure in figures:
            assert figure == "-" or all(0 < float(part) < 1 for part in figure.split("±"))
        assert method.split in ("", *published.splits)
        assert method.weights in ("", *WEIGHTS)
    assert {name for name, _ in published.columns} <= {"ged", *OTHERS}


def test_figures_of_the_same_set_and_n_stand_below_the_study_s_own() -> None:
    table = beside(OF_V1, 1, 16, 100).table
    assert table is not None
    assert table.heads == ["GED, n = 16", "GED, n = 100", "HM-IoU, n = 16"]
    assert [row.note for row in table.rows[:2]] == ["this study"] * 2
    assert [cell.text for cell in table.rows[0].cells] == ["0.250", "0.250", "0.500"]
    assert table.rows[0].cells[0].spread == "± 0.030"
    assert [cell.text for cell in table.rows[1].cells] == ["0.312", "0.312", "0.500"]
    by_name = {row.label: row for row in table.rows[2:]}
    assert [cell.text for cell in by_name["CCDM"].cells] == ["0.212", "0.183", "0.623"]
    assert by_name["CCDM"].cells[0].spread == "± 0.002"
    assert by_name["MedFM"].cells[1].value is None
    # published at n = 32 only
    assert not {"cFlow", "PixelSeg"} & {*by_name}
    assert not any(row.label == "Always empty" for row in table.rows)


def test_what_differs_in_protocol_is_marked() -> None:
    table = beside(replace(OF_V1, split="patients", size=(96, 96)), 16).table
    assert table is not None
    notes = {row.label: row.note for row in table.rows}
    assert "scored on 128x128; split by CT series" in notes["PHiSeg"]
    assert "split by slice" in notes["ATFM"]
    assert "split not known" in notes["CIMD"]
    same = beside(OF_V1, 16).table
    assert same is not None
    notes = {row.label: row.note for row in same.rows}
    assert "Differs" not in notes["PHiSeg"]
    assert "Differs" not in notes["MoSE"]
    assert notes["CCDM"].endswith("Differs: weights averaged")
    assert "images of one patient are in training and test" in notes["ATFM"]
    last = beside(replace(OF_V1, weights="last"), 16).table
    assert last is not None
    assert "weights of the best validation" in {r.label: r.note for r in last.rows}["PHiSeg"]


def test_figures_of_v2_stand_beside_its_published_split_only_without_a_mark() -> None:
    for split, differs in (("published", False), ("patients", True)):
        table = beside(replace(OF_V2, split=split), 16).table
        assert table is not None
        assert all(("Differs" in row.note) == differs for row in table.rows[2:])


def test_other_n_of_the_same_set_are_named() -> None:
    found = beside(OF_V2, 1, 16)
    assert found.others == "Figures are published at n = 50, 100, too."
    assert beside(OF_V2, 16, 50, 100).others == ""


@pytest.mark.parametrize(
    ("study", "ns", "words"),
    [
        (replace(OF_V1, protocol="kohl2018", split=None), (16,), "protocol kohl2018; .* v1 or v2"),
        (replace(OF_V1, protocol="slices"), (16,), "none is of images of protocol slices"),
        (replace(OF_V1, synthetic=True), (16,), "the images are synthetic"),
        (replace(OF_V2), (1, 4), "n = 16, 50, 100, which evaluation.n lacks"),
        (replace(OF_V1, protocol=None), (16,), "no store was given"),
    ],
)
def test_it_is_said_when_nothing_compares(study: Study, ns: tuple[int, ...], words: str) -> None:
    found = beside(study, *ns)
    assert found.table is None
    assert pd.Series([found.caption]).str.contains(words).all()


def test_a_data_set_without_published_figures_says_nothing() -> None:
    assert published_beside(find("mine").published, OF_V1, summary_of(16)) is None
