"""Published figures beside those of a study, where the two compare."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from probunet.config import Size
from probunet.datasets.base import Method, Published
from probunet.pictures.numbers import DASH
from probunet.report.tables import OTHERS, Cell, Row, Table, models_at

WEIGHTS = {"best": "of the best validation", "last": "of the last step", "average": "averaged"}


@dataclass(frozen=True)
class Study:
    """What decides whether figures compare with those of a study on one data set."""

    protocol: str | None  # of its store; None if there is no store
    synthetic: bool
    size: Size | None  # height and width that were scored, pixels; None if no run can be read
    split: str | None  # see `DataSet.split_of`
    weights: str | None  # `evaluation.weights`


@dataclass(frozen=True)
class Beside:
    """Published figures of the same images and n as a study's own, or why there are none."""

    table: Table | None
    caption: str
    others: str = ""  # at which other n figures are published


def published_beside(
    sets: Mapping[str, Published], study: Study, summary: pd.DataFrame
) -> Beside | None:
    """Return a study's own figures with the published ones; None if nothing at all is published.

    Parameters
    ----------
    sets
        Published figures by the protocol of the store.
    summary
        Rows of `summary.csv` of the data set, best first.
    """
    if not sets:
        return None
    if study.protocol is None:
        return Beside(None, "No published figure is shown: no store was given for this data set.")
    if study.synthetic:
        return Beside(None, "No published figure compares with these: the images are synthetic.")
    published = sets.get(study.protocol)
    if published is None:
        names = " or ".join(one.name for one in sets.values())
        return Beside(
            None,
            f"No published figure compares with these: none is of images of protocol "
            f"{study.protocol}; those that are published are of {names}.",
        )
    scored = set(summary["n"])
    columns = [place for place, (_, n) in enumerate(published.columns) if n in scored]
    missing = sorted({n for _, n in published.columns} - scored)
    others = f"Figures are published at n = {', '.join(map(str, missing))}, too." if missing else ""
    if not columns:
        return Beside(
            None,
            "No published figure compares with these: those of the same images are of n = "
            f"{', '.join(map(str, missing))}, which evaluation.n lacks.",
        )
    chosen = [published.columns[place] for place in columns]
    rows = [*models_at(summary, chosen), *_rows(published, columns, study)]
    caption = (
        f"Published figures {published.about}; mean ± standard deviation if one is published. "
        "This study's models come first. A row says what is known to differ from this study, or is "
        "not known; nothing is said of weights that are not published."
    )
    heads = [f"{'GED' if name == 'ged' else OTHERS[name]}, n = {n}" for name, n in chosen]
    return Beside(Table(heads, rows), caption, others)


def _rows(published: Published, columns: list[int], study: Study) -> Iterator[Row]:
    """Yield the methods that have a figure in one of the columns, by their places."""
    for method in published.methods:
        cells = [_cell(method.figures.split()[place]) for place in columns]
        if any(cell.value is not None for cell in cells):
            differs = "; ".join(_differences(method, published, study))
            note = f"{method.source}. Differs: {differs}" if differs else method.source
            yield Row(method.name, cells, degenerate=False, note=note)


def _cell(figure: str) -> Cell:
    mean, _, deviation = figure.partition("±")
    if mean == "-":
        return Cell(DASH)
    return Cell(mean, f"± {deviation}" if deviation else "", value=float(mean))


def _differences(method: Method, published: Published, study: Study) -> Iterator[str]:
    """Yield what of the protocol behind a figure is not that of the study, or is not known."""
    if study.size is not None and tuple(study.size) != published.size:
        yield "scored on {}x{}".format(*published.size)
    if not method.split:
        yield "split not known"
    elif method.split != study.split:
        yield f"split {published.splits[method.split]}"
    if method.weights and study.weights and method.weights != study.weights:
        yield f"weights {WEIGHTS[method.weights]}"
