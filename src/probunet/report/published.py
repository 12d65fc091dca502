"""Published figures to show beside those of a study."""

from probunet.datasets import DataSet
from probunet.pictures.numbers import DASH
from probunet.report.tables import Cell, Row, Table


def published_table(data_set: DataSet) -> Table | None:
    """Return the published figures of a data set, or None if there are none."""
    if data_set.published is None:
        return None
    rows = []
    for method in data_set.published.methods:
        cells = []
        for figure in method.figures.split():
            mean, _, deviation = figure.partition("±")
            spread = f"± {deviation}" if deviation else ""
            cells.append(Cell(DASH) if mean == "-" else Cell(mean, spread, value=float(mean)))
        rows.append(Row(method.name, cells, False, note=method.source))
    return Table(list(data_set.published.heads), rows)
