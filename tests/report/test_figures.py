"""Figures and tables as files for a paper."""

import csv
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from probunet.report.charts import Chart, ged_chart, training_chart
from probunet.report.figures import as_csv, as_latex, for_paper, write_figures
from probunet.report.tables import Cell, Row, Table
from support.report.charts import OWN, folder, tables

TABLE = Table(
    ["GED, n = 16", "a_b & 100 %"],
    [
        Row(
            "Mine, β\xa0=\xa01",
            [Cell("0.1", "± 0.2", "\N{MINUS SIGN}0.1 to 0.3", bold=True), Cell("\N{MINUS SIGN}1")],
            False,
        ),
        Row("Always empty", [Cell("1.0", "", "0.9 to 1.1"), Cell("\N{EN DASH}")], True),
    ],
)


def charts() -> list[Chart]:
    training = training_chart([folder()])
    assert training is not None
    return [ged_chart(*tables([(OWN, 1.0), (OWN, 10.0)])), training]


def test_files_are_whole_equal_and_all_that_was_asked_for(tmp_path: Path) -> None:
    for name in ("one", "other"):
        write_figures(tmp_path / name / "lidc", charts(), {"overview": TABLE})
    names = {"ged.svg", "ged.pdf", "training.svg", "training.pdf", "overview.csv", "overview.tex"}
    assert {path.name for path in (tmp_path / "one/lidc").iterdir()} == names
    for name in names:
        one, other = ((tmp_path / of / "lidc" / name).read_bytes() for of in ("one", "other"))
        assert one == other, name


def test_a_chart_is_as_wide_as_a_column_and_panels_as_a_page() -> None:
    for chart, most in zip(charts(), (252, 516), strict=True):
        pdf = for_paper(chart).pdf()
        assert pdf.startswith(b"%PDF")
        box = re.search(rb"/MediaBox \[0 0 ([\d.]+) ", pdf)
        assert box is not None
        assert 180 < float(box[1]) <= most
        assert b"/FontFile" in pdf  # embedded


def test_the_page_s_chart_stays_as_it_is() -> None:
    chart = charts()[0]
    before = chart.svg()
    for_paper(chart)
    assert chart.svg() == before


def test_csv_has_scores_deviations_and_intervals_as_numbers() -> None:
    heads, mine, empty = csv.reader(io.StringIO(as_csv(TABLE)))
    ged = "GED, n = 16"
    assert heads == ["predictor", ged, f"{ged} sd", f"{ged} low", f"{ged} high", "a_b & 100 %"]
    assert mine == ["Mine, β = 1", "0.1", "0.2", "-0.1", "0.3", "-1"]
    assert empty == ["Always empty", "1.0", "", "0.9", "1.1", ""]


def test_latex_is_escaped_bold_and_aligned() -> None:
    text = as_latex(TABLE)
    assert r"a\_b \& 100 \%" in text
    assert r"Mine, $\beta$~=~1 & \textbf{0.1} {\scriptsize $\pm$ 0.2} & $-$1 \\" in text
    assert r"{\scriptsize $-$0.1 to 0.3}" in text
    assert text.count("\\midrule") == 2  # above all, and above what is degenerate
    rows = [line for line in text.splitlines() if line.endswith("\\\\")]
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {2}
    assert text.isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="there is no pdflatex")
def test_latex_compiles(tmp_path: Path) -> None:
    body = as_latex(TABLE)
    document = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}%s\\end{document}"
    (tmp_path / "t.tex").write_text(document % f"\n{body}")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
