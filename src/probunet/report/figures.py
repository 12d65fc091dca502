"""The report's figures and tables as files for a paper: SVG and PDF, CSV and LaTeX."""

import copy
import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from probunet.files import written_whole
from probunet.report.charts import Chart
from probunet.report.tables import Cell, Row, Table

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
        One data set's, such as `results/figures/lidc`.
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
    parts = [_parts([row.cells[place] for row in table.rows]) for place in range(len(table.heads))]
    heads = [
        " ".join([head, name]).strip()
        for head, names in zip(table.heads, parts, strict=True)
        for name in names
    ]
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["predictor", *heads])
    for row in table.rows:
        values = [
            _part(cell, name)
            for cell, names in zip(row.cells, parts, strict=True)
            for name in names
        ]
        out.writerow([_named(row).replace("\N{NO-BREAK SPACE}", " "), *values])
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
    before = False
    for row in table.rows:
        if row.degenerate and not before and len(lines) > 5:
            lines.append("\\midrule")
        before = row.degenerate
        lines += _latex_row(row)
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _latex_row(row: Row) -> list[str]:
    """Return a row, and below it a line of its intervals, if it has any."""
    scores = [_escaped(_named(row))]
    for cell in row.cells:
        text = _escaped(cell.text)
        bold = f"\\textbf{{{text}}}" if cell.bold else text
        scores.append(f"{bold} {{\\scriptsize {_escaped(cell.spread)}}}" if cell.spread else bold)
    lines = [" & ".join(scores) + " \\\\"]
    if any(cell.interval for cell in row.cells):
        small = [
            f"{{\\scriptsize {_escaped(cell.interval)}}}" if cell.interval else ""
            for cell in row.cells
        ]
        lines.append(" & ".join(["", *small]) + " \\\\")
    return lines


def _named(row: Row) -> str:
    """Return a row's label, and with it what stands below it on the page."""
    return f"{row.label} ({row.note})" if row.note else row.label


def _escaped(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)


def _parts(cells: list[Cell]) -> list[str]:
    """Return which columns a column of cells takes in CSV: the score itself, named by nothing."""
    spread = ["sd"] if any(cell.spread for cell in cells) else []
    interval = ["low", "high"] if any(cell.interval for cell in cells) else []
    return ["", *spread, *interval]


def _part(cell: Cell, name: str) -> str:
    low, _, high = cell.interval.partition(" to ")
    text = {"": cell.text, "sd": cell.spread.lstrip("± "), "low": low, "high": high}[name]
    return "" if text == "\N{EN DASH}" else text.replace("\N{MINUS SIGN}", "-")


def _one_column(part: Any) -> Any:
    """Return a chart with the entries of its legends below each other."""
    if isinstance(part, dict):
        changed = {key: _one_column(value) for key, value in part.items()}
        return changed | {"columns": 1} if "symbolStrokeWidth" in part else changed
    return [_one_column(one) for one in part] if isinstance(part, list) else part
