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
from probunet.report import crops, labels, plots, scenes
from probunet.report.choice import choose
from probunet.report.latent import LatentFigure, latent_figures
from probunet.report.made import Made, by_verb
from probunet.report.modes import Calibration, calibration
from probunet.report.runs import RunFolder, read_run
from probunet.report.tables import (
    Row,
    Table,
    against,
    by_ged,
    other_scores,
    over_folds,
    per_fold,
    read_comparison,
    read_table,
)
from probunet.run import format_beta
from probunet.store import Crops, Data, Images, Scenes, open_data

PACKAGES = ("probunet", "numpy", "pandas", "scipy", "scikit-image", "zarr", "matplotlib", "pillow")
LATENT = "probabilistic_unet"  # the model whose latent space is drawn


@dataclass(frozen=True)
class DatasetSection:
    """All that the report says of one data set."""

    name: str
    kind: str  # "crops", "scenes" or "images"
    data: Data | None
    split: str | None  # of scenes, as the configuration has it
    tested: dict[int, dict[str, int]]  # of scenes: test images by fold and city
    size: tuple[int, int] | None  # of what was scored, pixels
    most: int  # the greatest n
    best: Row | None  # of the models, the one of lowest GED at the greatest n
    beside: list[Row]  # the degenerate predictors to name beside it
    settings: int  # models and betas that were run
    folds: int
    ged: Table
    by_fold: Table
    others: Table
    paired: Table | None  # the best model against each other predictor
    ged_plot: str
    spread: bool  # whether that plot shows single runs and intervals
    calibration: Calibration | None
    training_plot: str | None
    runs: list[RunFolder]
    examples: list[crops.CropExample] | list[scenes.SceneExample]
    examples_of: str
    latent: list[LatentFigure]
    latent_of: str


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
    made: Made | None = None,
) -> None:
    """Write one HTML file that opens offline and asks for nothing from elsewhere.

    What is missing in a run's folder is said in the report. The file depends on its inputs alone:
    equal inputs give an equal file, whenever and wherever they were made.

    Parameters
    ----------
    output
        The file, written whole or not at all.
    scores, summary, comparison
        The tables that `write_tables` wrote.
    runs
        The runs' folders.
    stores
        The stores of crops or scenes, one per data set.
    config
        The study's whole configuration.
    title
        The heading.
    examples
        Test images to show, per data set.
    made
        How the runs were made, as their logs tell.

    Raises
    ------
    ProbunetError
        If a table or a store cannot be read.
    """
    per_run, over, pairs = read_table(scores), read_table(summary), read_comparison(comparison)
    folders = sorted((read_run(folder) for folder in runs), key=lambda folder: folder.run)
    data = [open_data(path) for path in stores]
    by_dataset = {store.attributes.dataset: store for store in data}
    sections = [
        _section(
            str(name),
            per_run[per_run["dataset"] == name],
            over[over["dataset"] == name],
            pairs[pairs["dataset"] == name],
            [folder for folder in folders if folder.run.dataset == name],
            by_dataset.get(str(name)),
            _split(config, str(name)),
            examples,
        )
        for name in sorted(over["dataset"].unique(), key=labels.place)
    ]
    html = _template().render(
        title=title,
        synthetic={store.attributes.dataset for store in data if store.attributes.synthetic},
        sections=sections,
        config=yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True),
        versions={name: version(name) for name in PACKAGES},
        made=by_verb(made) if made else [],
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
    data: Data | None,
    split: str | None,
    examples: int,
) -> DatasetSection:
    most = int(summary["n"].max())
    scores, summary = by_ged(scores, summary), by_ged(summary, summary)
    at_most = summary[summary["n"] == most]
    pairs = [
        (str(model), float(beta))
        for model, beta in at_most[["model", "beta"]].itertuples(index=False, name=None)
        if labels.degenerate(model) is None
    ]
    best = next(iter(pairs), None)
    latent_beta = next((beta for model, beta in pairs if model == LATENT), math.nan)
    ged = over_folds(summary)
    rows = {row.label: row for row in ged.rows}
    best_label = "" if best is None else labels.predictor(*best, name)
    beside = [("empty", math.nan)]
    if best is not None:
        beside.insert(0, (labels.deterministic(best[0]), best[1]))
    sampled = [run.samples for run in runs if run.samples is not None]
    return DatasetSection(
        name=name,
        kind=_kind(name, data),
        data=data,
        split=split,
        tested=scenes.tested(runs, data) if isinstance(data, Scenes) else {},
        size=next((one.attributes.size for one in sampled), None),
        most=most,
        best=rows.get(best_label),
        beside=[rows[row] for pair in beside if (row := labels.predictor(*pair, name)) in rows],
        settings=len(pairs),
        folds=scores["fold"].nunique(),
        ged=ged,
        by_fold=per_fold(scores, most),
        others=other_scores(summary, most),
        paired=None if best is None else against(comparison, most, *best, [*rows]),
        ged_plot=plots.ged_against_n(scores, summary),
        spread=len(pairs) <= plots.FEW,
        calibration=calibration(runs, pairs),
        training_plot=plots.training_curves(runs),
        runs=runs,
        examples=[] if best is None else _examples(runs, best, data, examples),
        examples_of=best_label,
        latent=[] if data is None else latent_figures(runs, latent_beta, data),
        latent_of=labels.predictor(LATENT, latent_beta, name),
    )


def _kind(name: str, data: Data | None) -> str:
    """Return how a data set is described: as its store tells or, without one, its name."""
    kinds = {Crops: "crops", Scenes: "scenes", Images: "images"}
    named = {"lidc": "crops", "cityscapes": "scenes"}
    return named.get(name, "images") if data is None else kinds[type(data)]


def _examples(
    runs: list[RunFolder], best: tuple[str, float], data: Data | None, count: int
) -> list[crops.CropExample] | list[scenes.SceneExample]:
    """Return drawings of test images of this model and beta, from runs on this very store."""
    if isinstance(data, Scenes):
        return [
            scenes.draw(run.run, row, run.samples, data)
            for run, row in choose(runs, *best, count, scenes.APART)
            if run.samples is not None and run.samples.attributes.store == data.digest
        ]
    if isinstance(data, Crops):
        return [
            crops.draw(run.run, row, run.samples, data)
            for run, row in choose(runs, *best, count, crops.APART)
            if run.samples is not None and run.samples.attributes.store == data.digest
        ]
    return []


def _split(config: Mapping[str, Any], name: str) -> str | None:
    """Return how a data set was split, where its configuration has a choice."""
    own = (config.get("datasets") or {}).get(name) or {}
    return "file" if own.get("folds_file") and "split" in own else own.get("split")


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
    environment.globals["legend"] = scenes.legend
    return environment.get_template("report.html.j2")
