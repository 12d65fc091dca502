"""The report's figures and tables as files for a paper: SVG and PDF, CSV and LaTeX."""

import copy
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from probunet.files import written_whole
from probunet.pictures.numbers import DASH
from probunet.report.charts import Chart
from probunet.report.tables import Row, Table

# a chart of one panel is as wide as one column, several panels as wide as a page
COLUMN = {"width": 265, "height": 200}  # pixels; letters are 8 points high
PANEL = {"width": 125, "height": 125}
ACROSS = 3  # panels side by side
_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "β": r"$\beta$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    "\N{EN DASH}": "--",
    "\N{NO-BREAK SPACE}": "~",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "²": r"\textsuperscript{2}",
}


def write_figures(folder: Path, charts: Iterable[Chart], tables: Mapping[str, Table]) -> None:
    """Write each chart as SVG and PDF and each table as CSV and LaTeX, each file whole or not.

    Equal charts and tables give equal files.

    Parameters
    ----------
    folder
        One data set's, such as `results/figures/<dataset>`.
    tables
        By the name of their files.
    """
    files: dict[str, bytes] = {}
    for chart in charts:
        small = for_paper(chart)
        files[f"{chart.name}.svg"] = small.svg().encode()
        files[f"{chart.name}.pdf"] = small.pdf()
    for name, table in tables.items():
        files[f"{name}.csv"] = as_csv(table).encode()
        files[f"{name}.tex"] = as_latex(table).encode()
    for name, content in files.items():
        with written_whole(folder / name) as aside:
            aside.write_bytes(content)


def for_paper(chart: Chart) -> Chart:
    """Return a chart of the size of a column, or of a page if it has several panels."""
    spec: dict[str, Any] = copy.deepcopy(dict(chart.spec))
    if "concat" not in spec:
        return replace(chart, spec=_one_column(spec | COLUMN))
    for panel in spec["concat"]:
        panel.update(PANEL)
    spec["columns"] = min(spec["columns"], ACROSS)
    return replace(chart, spec=spec)


def as_csv(table: Table) -> str:
    """Return a table as CSV: after each score its deviation and interval, if it has any.

    Minus signs are plain ones, and what is missing is empty.
    """
    columns = [
        ["predictor", *(_label(row).replace("\N{NO-BREAK SPACE}", " ") for row in table.rows)]
    ]
    for place, head in enumerate(table.heads):
        cells = [row.cells[place] for row in table.rows]
        columns.append([head, *(_plain(cell.text) for cell in cells)])
        if any(cell.spread for cell in cells):
            columns.append([f"{head} sd", *(_plain(cell.spread.lstrip("± ")) for cell in cells)])
        if any(cell.interval for cell in cells):
            ends = [_plain(cell.interval).partition(" to ") for cell in cells]
            columns.append([f"{head} low", *(low for low, _, _ in ends)])
            columns.append([f"{head} high", *(high for _, _, high in ends)])
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(zip(*columns, strict=True))
    return text.getvalue()


def as_latex(table: Table) -> str:
    """Return a table for LaTeX with the package booktabs; bold where the report is."""
    heads = " & ".join(["", *map(_escaped, table.heads)]).strip()
    lines = [
        "% \\usepackage{booktabs}; intervals: 95 %, bootstrap",
        f"\\begin{{tabular}}{{l{'r' * len(table.heads)}}}",
        "\\toprule",
        f"{heads} \\\\",
        "\\midrule",
    ]
    for before, row in zip([None, *table.rows], table.rows, strict=False):
        if before and row.degenerate and not before.degenerate:
            lines.append("\\midrule")
        lines += _latex_row(row)
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_row(row: Row) -> list[str]:
    """Return a row, and below it a line of its intervals, if it has any."""
    scores = [_escaped(_label(row))]
    for cell in row.cells:
        text = _escaped(cell.text)
        text = f"\\textbf{{{text}}}" if cell.bold else text
        scores.append(f"{text} {_small(cell.spread)}".rstrip())
    lines = [" & ".join(scores) + " \\\\"]
    if any(cell.interval for cell in row.cells):
        lines.append(" & ".join(["", *(_small(cell.interval) for cell in row.cells)]) + " \\\\")
    return lines


def _small(text: str) -> str:
    return f"{{\\scriptsize {_escaped(text)}}}" if text else ""


def _label(row: Row) -> str:
    """Return a row's label, and its note."""
    return f"{row.label} ({row.note})" if row.note else row.label


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _plain(text: str) -> str:
    return "" if text == DASH else text.replace("\N{MINUS SIGN}", "-")


def _one_column(part: Any) -> Any:
    """Return a chart with the entries of its legends below each other."""
    if isinstance(part, dict):
        changed = {key: _one_column(value) for key, value in part.items()}
        return changed | {"columns": 1} if "symbolStrokeWidth" in part else changed
    return [_one_column(one) for one in part] if isinstance(part, list) else part
