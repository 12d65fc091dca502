"""The report: what was run, the tables, the curves and the samples, in one file."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from probunet.files import sha256, written_whole
from probunet.report import labels, scenes
from probunet.report.charts import Chart, ged_chart, training_chart
from probunet.report.command import again, as_yaml
from probunet.report.explorer import Explored, Source, explore
from probunet.report.figures import write_figures
from probunet.report.latent import LatentFigure, latent_figures
from probunet.report.made import Made, by_verb, cost
from probunet.report.modes import Calibration, calibration
from probunet.report.published import CAPTION, published
from probunet.report.runs import RunFolder, read_run
from probunet.report.tables import (
    Row,
    Table,
    against,
    by_ged,
    others,
    over_folds,
    overview,
    per_fold,
    read_comparison,
    read_table,
    undecided,
)
from probunet.report.training import Trainings, trainings
from probunet.run import format_beta
from probunet.store import Crops, Data, Images, Scenes, open_data

PACKAGES = (
    "probunet",
    "numpy",
    "pandas",
    "scipy",
    "scikit-image",
    "zarr",
    "altair",
    "vl-convert-python",
    "pillow",
)
LATENT = "probabilistic_unet"  # the model whose latent space is drawn
EXPLORER = 100_000  # bytes of the explorer without its images
HERE = Markup("<!-- the explorer, which takes what room the rest of the page leaves -->")


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
    pairs: list[tuple[str, float]]  # models and betas that were run, the best one first
    folds: int  # of the runs, those that failed too
    unscored: list[str]  # folders of runs that have no row in the tables
    overview: Table
    others: Table  # the scores that the overview leaves out
    undecided: list[str]  # the models and betas than which it is not clearly better
    published: Table | None
    published_caption: str
    ged: Table
    by_fold: Table
    paired: Table | None  # the best model against each other predictor
    ged_chart: Chart
    calibration: Calibration | None
    training_chart: Chart | None
    trainings: Trainings | None
    runs: list[RunFolder]
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
    megabytes: float = 15,
    made: Made | None = None,
    figures: Path | None = None,
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
        Test images in the explorer, per data set, at most.
    megabytes
        What the file may take; the explorer shows fewer images if it would take more.
    made
        How the runs were made, as their logs tell.
    figures
        A folder for the figures and tables of each data set as files for a paper.

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
            _steps(config, str(name)),
        )
        for name in sorted(over["dataset"].unique(), key=labels.place)
    ]
    said = {
        "title": title,
        "synthetic": {one.attributes.dataset for one in data if one.attributes.synthetic},
        "sections": sections,
        "config": as_yaml(config),
        "versions": {name: version(name) for name in PACKAGES},
        "made": by_verb(made) if made else [],
        "cost": cost(made) if made else None,
        "command": again(config) if config else None,
        "tables": {path.name: sha256(path) for path in (scores, summary, comparison)},
    }
    environment = _environment()
    page = environment.get_template("report.html.j2").render(said, explorer=HERE)
    sources = [Source(one.name, one.data, one.runs, one.pairs) for one in sections]
    budget = int(megabytes * 1e6) - len(page.encode()) - EXPLORER
    explored = explore(sources, examples=examples, budget=max(budget, 0))
    html = page.replace(HERE, _explorer(environment, explored), 1)
    with written_whole(output) as aside:
        aside.write_text(html, encoding="utf-8")
    if figures is not None:
        for one in sections:
            write_figures(figures / one.name, _charts(one), _tables(one))


def _section(
    name: str,
    scores: pd.DataFrame,
    summary: pd.DataFrame,
    comparison: pd.DataFrame,
    runs: list[RunFolder],
    data: Data | None,
    split: str | None,
    steps: int | None,
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
    folds = len({run.run.fold for run in runs} | set(scores["fold"]))
    ged = over_folds(summary, folds=folds)
    rows = {row.label: row for row in ged.rows}
    best_label = "" if best is None else labels.predictor(*best, name)
    beside = [("empty", math.nan)]
    if best is not None:
        beside.insert(0, (labels.deterministic(best[0]), best[1]))
    sampled = [run.samples for run in runs if run.samples is not None]
    unclear = undecided(comparison, most, pairs)
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
        pairs=pairs,
        folds=folds,
        unscored=_unscored(runs, scores),
        overview=overview(summary, most, folds=folds, clear=len(pairs) > 1 and not unclear),
        undecided=[labels.predictor(*pair, name) for pair in unclear],
        others=others(summary, most, folds=folds),
        published=published(name),
        published_caption=CAPTION.get(name, ""),
        ged=ged,
        by_fold=per_fold(scores, most),
        paired=None if best is None else against(comparison, most, *best, [*rows]),
        ged_chart=ged_chart(scores, summary),
        calibration=calibration(runs, pairs),
        training_chart=training_chart(runs),
        trainings=trainings(runs, steps),
        runs=runs,
        latent=[] if data is None else latent_figures(runs, latent_beta, data),
        latent_of="" if math.isnan(latent_beta) else labels.predictor(LATENT, latent_beta, name),
    )


def _unscored(runs: Sequence[RunFolder], scores: pd.DataFrame) -> list[str]:
    """Return the folders of the runs that have no row in `scores.csv`."""
    columns = ["model", "beta", "fold", "seed"]
    scored = set(scores[columns].itertuples(index=False, name=None))
    return [
        one.run.folder
        for one in runs
        if (one.run.model, one.run.beta, one.run.fold, one.run.seed) not in scored
    ]


def _charts(one: DatasetSection) -> list[Chart]:
    found = [one.ged_chart]
    found += [one.training_chart] if one.training_chart else []
    of = one.calibration
    return found + ([of.modes_chart, of.switches_chart] if of else [])


def _tables(one: DatasetSection) -> dict[str, Table]:
    found = {"overview": one.overview, "others": one.others, "ged": one.ged}
    found |= {"paired": one.paired} if one.paired else {}
    of = one.calibration
    return found | ({"modes": of.modes, "switches": of.switches} if of else {})


def _kind(name: str, data: Data | None) -> str:
    """Return how a data set is described: as its store tells or, without one, its name."""
    kinds = {Crops: "crops", Scenes: "scenes", Images: "images"}
    named = {"lidc": "crops", "cityscapes": "scenes"}
    return named.get(name, "images") if data is None else kinds[type(data)]


def _split(config: Mapping[str, Any], name: str) -> str | None:
    """Return how a data set was split, where its configuration has a choice."""
    own = (config.get("datasets") or {}).get(name) or {}
    return "file" if own.get("folds_file") and "split" in own else own.get("split")


def _steps(config: Mapping[str, Any], name: str) -> int | None:
    """Return the steps that the configuration asks of each training on a data set, if it tells."""
    of = (config.get("overrides") or {}).get(name) or {}
    asked = (of.get("training") or {}).get("steps", (config.get("training") or {}).get("steps"))
    return None if asked is None else int(asked)


def _explorer(environment: jinja2.Environment, explored: Sequence[Explored]) -> str:
    """Return the explorer as it stands in the page."""
    macros: Any = environment.get_template("explorer.html.j2").module
    return str(macros.explorer(explored))


def _environment() -> jinja2.Environment:
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
    environment.filters["json"] = _json
    environment.globals["inlined"] = _inlined
    environment.globals["vega"] = _vega
    return environment


def _json(value: object) -> Markup:
    """Return a value as JSON that can stand in a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))  # neither an end tag nor a comment begins in it


def _inlined(name: str) -> Markup:
    """Return a script or a style sheet of this package as it is."""
    return Markup(files("probunet.report").joinpath(name).read_text(encoding="utf-8"))


@cache
def _vega() -> Markup:
    """Return Vega, Vega-Lite and vega-embed as one script."""
    import vl_convert

    bundle: str = vl_convert.javascript_bundle()  # type: ignore[call-arg]
    return Markup(bundle)
