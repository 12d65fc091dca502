"""The report: what was run, the tables, the curves and the samples, in one file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from probunet.files import sha256, written_whole
from probunet.report import examples as example_images
from probunet.report import labels, plots
from probunet.report.runs import RunFolder, read_run
from probunet.report.tables import (
    Row,
    Table,
    against,
    other_scores,
    over_folds,
    per_fold,
    read_comparison,
    read_table,
)
from probunet.run import format_beta
from probunet.store import Crops, open_crops

PACKAGES = ("probunet", "numpy", "pandas", "scipy", "scikit-image", "zarr", "matplotlib")


@dataclass(frozen=True)
class DatasetSection:
    """All that the report says of one data set."""

    name: str
    crops: Crops | None
    patients: int
    series: int
    most: int  # the greatest n
    crop: int | None  # side of the scored crop, pixels
    best: Row | None  # of the models, the one of lowest GED at the greatest n
    beside: list[Row]  # the degenerate predictors to name beside it
    settings: int  # models and betas that were run
    folds: int
    ged: Table
    by_fold: Table
    others: Table
    paired: Table | None  # the best model against each other predictor
    ged_plot: str
    training_plot: str | None
    runs: list[RunFolder]
    examples: list[example_images.Example]
    examples_of: str


def build_report(
    output: Path,
    *,
    scores: Path,
    summary: Path,
    comparison: Path,
    runs: Sequence[Path],
    stores: Sequence[Path],
    config: Mapping[str, Any],
    title: str,
    examples: int,
) -> None:
    """Write one HTML file that opens offline and asks for nothing from elsewhere.

    What is missing in a run's folder is said in the report. The file depends on its inputs alone:
    equal inputs give an equal file.

    Parameters
    ----------
    output
        The file, written whole or not at all.
    scores, summary, comparison
        The tables that `write_tables` wrote.
    runs
        The runs' folders.
    stores
        The stores of crops, one per data set.
    config
        The study's whole configuration.
    title
        The heading.
    examples
        Test images to show, per data set.

    Raises
    ------
    ProbunetError
        If a table or a store cannot be read.
    """
    per_run, over, pairs = read_table(scores), read_table(summary), read_comparison(comparison)
    folders = sorted((read_run(folder) for folder in runs), key=lambda folder: folder.run)
    crops = [open_crops(path) for path in stores]
    by_dataset = {store.attributes.dataset: store for store in crops}
    sections = [
        _section(
            str(name),
            per_run[per_run["dataset"] == name],
            over[over["dataset"] == name],
            pairs[pairs["dataset"] == name],
            [folder for folder in folders if folder.run.dataset == name],
            by_dataset.get(str(name)),
            examples,
        )
        for name in sorted(over["dataset"].unique())
    ]
    html = _template().render(
        title=title,
        synthetic=[store for store in crops if store.attributes.synthetic],
        sections=sections,
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions={name: version(name) for name in PACKAGES},
        tables={path.name: sha256(path) for path in (scores, summary, comparison)},
    )
    with written_whole(output) as aside:
        aside.write_text(html, encoding="utf-8")


def _section(
    name: str,
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    comparison: pd.DataFrame,
    runs: list[RunFolder],
    crops: Crops | None,
    examples: int,
) -> DatasetSection:
    most = int(summary["n"].max())
    at_most = summary[summary["n"] == most]
    models = at_most[at_most["model"].map(labels.degenerate).isna()]
    models = models.sort_values("ged", kind="stable")
    best = next(iter(models.to_dict("records")), None)
    shown: list[example_images.Example] = []
    if best is not None and crops is not None:
        for run, row in example_images.choose(runs, best["model"], best["beta"], examples):
            if run.samples is not None and run.samples.attributes.store == crops.digest:
                shown.append(example_images.draw(run.run, row, run.samples, crops))
    ged = over_folds(summary)
    rows = {row.label: row for row in ged.rows}
    best_label = "" if best is None else labels.predictor(best["model"], best["beta"])
    beside = [("empty", math.nan)]
    if best is not None:
        beside.insert(0, (labels.deterministic(best["model"]), best["beta"]))
    return DatasetSection(
        name=name,
        crops=crops,
        patients=0 if crops is None else len(set(crops.columns.patient)),
        series=0 if crops is None else len(set(crops.columns.series)),
        most=most,
        crop=next(
            (run.samples.attributes.size[0] for run in runs if run.samples is not None), None
        ),
        best=rows.get(best_label),
        beside=[rows[name] for pair in beside if (name := labels.predictor(*pair)) in rows],
        settings=len(models),
        folds=scores["fold"].nunique(),
        ged=ged,
        by_fold=per_fold(scores, most),
        others=other_scores(summary, most),
        paired=None if best is None else against(comparison, most, best["model"], best["beta"]),
        ged_plot=plots.ged_against_n(scores, summary),
        training_plot=plots.training_curves(runs),
        runs=runs,
        examples=shown,
        examples_of=best_label,
    )


def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("probunet", "report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["dataset"] = lambda name: labels.DATASETS.get(name, name)
    environment.filters["number"] = labels.number
    environment.filters["count"] = labels.count
    environment.filters["beta"] = format_beta
    return environment.get_template("report.html.j2")
