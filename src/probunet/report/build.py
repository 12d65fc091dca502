"""The report: what was run, the tables, the curves and the samples, in one file."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from probunet.datasets import find, open_data
from probunet.errors import printable
from probunet.files import sha256, written_whole
from probunet.pictures import numbers
from probunet.report import labels, latent, tables
from probunet.report.charts import Chart, ged_chart, training_chart
from probunet.report.command import again, as_yaml
from probunet.report.diversity import diversity
from probunet.report.explorer import Source, explore
from probunet.report.figures import write_figures
from probunet.report.made import Made, by_verb, cost
from probunet.report.modes import calibration
from probunet.report.published import Study, published_beside
from probunet.report.reliability import reliability_chart
from probunet.report.runs import RunFolder, read_run
from probunet.report.scripts import policy, script, text, vega
from probunet.report.tables import Table
from probunet.report.training import trainings
from probunet.truth.base import Data

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
EXPLORER = 100_000  # bytes of the explorer without its images
# the explorer comes last: its images take the room that the rest of the page leaves
PLACEHOLDER = Markup("<!-- the explorer -->")


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
    """Write one HTML file that opens offline and loads nothing from elsewhere.

    The report says which files of a run are missing. It depends on its inputs alone: equal inputs
    give an equal file.

    Parameters
    ----------
    output
        The file, written whole or not at all.
    scores, summary, comparison
        The tables that `write_tables` wrote.
    runs
        The runs' folders.
    stores
        The data sets' stores.
    config
        The study's whole configuration.
    title
        The heading.
    examples
        Test images in the explorer, per data set, at most.
    megabytes
        The size of the file, at most; the explorer shows fewer images if it needs more.
    made
        How the runs were made, from their logs.
    figures
        A folder for the figures and tables of each data set as files for a paper.

    Raises
    ------
    ProbunetError
        If a table or a store cannot be read.
    """
    scored = tables.read_tables(scores, summary, comparison)
    folders = sorted((read_run(folder) for folder in runs), key=lambda folder: folder.run)
    data = {store.attributes.dataset: store for store in map(open_data, stores)}
    environment = _environment()
    sections = [
        _section(
            name,
            [table[table["dataset"] == name] for table in scored],
            [folder for folder in folders if folder.run.dataset == name],
            data.get(name),
            config,
            environment.get_template(find(name).template).module,
        )
        for name in sorted(map(str, scored[1]["dataset"].unique()), key=labels.place)
    ]
    context = {
        "title": title,
        "synthetic": {name for name, store in data.items() if store.attributes.synthetic},
        "sections": sections,
        "config": as_yaml(config),
        "versions": {name: version(name) for name in PACKAGES},
        "made": by_verb(made) if made else [],
        "cost": cost(made) if made else None,
        "command": again(config) if config else None,
        "tables": {path.name: sha256(path) for path in (scores, summary, comparison)},
        "explorer": PLACEHOLDER,
    }
    page = environment.get_template("report.html.j2").render(context)
    sources = [Source(*(one[key] for key in ("name", "data", "runs", "pairs"))) for one in sections]
    budget = int(megabytes * 1e6) - len(page.encode()) - EXPLORER
    explored = explore(sources, examples=examples, budget=max(budget, 0))
    macros: Any = environment.get_template("explorer.html.j2").module
    html = page.replace(PLACEHOLDER, str(macros.explorer(explored)), 1)
    with written_whole(output) as aside:
        aside.write_text(html, encoding="utf-8")
    if figures is not None:
        for one in sections:
            write_figures(figures / one["name"], *_for_paper(one))


def _section(
    name: str,
    scored: list[pd.DataFrame],
    runs: list[RunFolder],
    data: Data | None,
    config: Mapping[str, Any],
    words: object,
) -> dict[str, Any]:
    """Return what the templates say of a data set, from its rows of the tables and its runs."""
    scores, summary, comparison = scored
    most = int(summary["n"].max())
    scores, summary = tables.by_ged(scores, summary), tables.by_ged(summary, summary)
    at_most = summary[summary["n"] == most]
    pairs = [
        (str(model), float(beta))
        for model, beta in at_most[["model", "beta"]].itertuples(index=False, name=None)
        if labels.degenerate(model) is None
    ]
    best = pairs[0] if pairs else None
    beside = [("empty", math.nan)]
    if best is not None:
        beside.insert(0, (labels.deterministic(best[0]), best[1]))
    latent_beta = next((beta for model, beta in pairs if model == latent.MODEL), None)
    folds = len({run.run.fold for run in runs} | set(scores["fold"]))
    ged = tables.over_folds(summary, folds=folds)
    rows = {row.label: row for row in ged.rows}
    unclear = tables.undecided(comparison, most, pairs)
    clear = len(pairs) > 1 and not unclear
    data_set, section = find(name), (config.get("datasets") or {}).get(name) or {}
    size = next((run.samples.attributes.size for run in runs if run.samples), None)

    frequencies, reliable = calibration(runs, pairs), reliability_chart(runs, pairs)
    diverse = diversity(runs, pairs)

    def label(pair: tuple[str, float]) -> str:
        return labels.predictor(*pair, name)

    tested = _tested(runs, data)
    times = Counter(subject for images in tested.values() for subject in images)
    return {
        "name": name,
        "words": words,  # the data set's template: its texts, and a macro that describes it
        "data": data,
        "split": data_set.split_of(section),  # how it is divided, if there is a choice
        "tested": tested,  # test images by fold and subject
        # subjects in the test sets of several folds
        "repeated": sorted(subject for subject, count in times.items() if count > 1),
        "size": size,  # height and width that were scored, pixels
        "most": most,  # the greatest n
        "best": rows.get(label(best)) if best else None,  # of lowest GED at the greatest n
        "beside": [rows[label(pair)] for pair in beside if label(pair) in rows],
        "pairs": pairs,  # models and betas that were run, the best one first
        "folds": folds,  # of all runs, scored or not
        "unscored": _unscored(runs, scores),
        "weighted": _weighted(runs),
        "overview": tables.overview(summary, most, folds=folds, clear=clear),
        "others": tables.others(summary, most, folds=folds),  # the other scores
        "further": tables.further(summary, most, folds=folds),  # those of the registry
        "topics": tables.by_topic(summary, most, folds=folds),  # the same by topic
        "by_grader": tables.by_grader(summary, most, folds=folds),  # None: there is one grader
        "by_class": tables.by_class(summary, most, folds=folds),  # None: there is one class only
        "undecided": [*map(label, unclear)],  # those that the best one does not clearly beat
        "published": published_beside(
            data_set.published,
            Study(
                protocol=None if data is None else data.protocol,
                synthetic=data is not None and data.attributes.synthetic,
                size=size,
                split=data_set.split_of(section),
                weights=_setting(config, name, "evaluation", "weights"),
            ),
            summary,
        ),
        "ged": ged,
        "by_fold": tables.per_fold(scores, most),
        # the best model against each other predictor
        "paired": tables.against(comparison, most, *best, [*rows]) if best else None,
        "ged_chart": ged_chart(scores, summary),
        "calibration": frequencies,
        "reliability": reliable,
        "diversity": diverse,
        "calibrated": any((frequencies, reliable, diverse)),
        "training_chart": training_chart(runs),
        "trainings": trainings(
            runs,
            _setting(config, name, "training", "steps"),
            _model_steps(config, name),
        ),
        "runs": runs,
        "latent": latent.latent_figures(runs, latent_beta, data),
        # empty if the model with a latent space was not run
        "latent_of": "" if latent_beta is None else label((latent.MODEL, latent_beta)),
    }


def _tested(runs: Sequence[RunFolder], data: Data | None) -> dict[int, dict[str, int]]:
    """Return by fold how many images of each subject were sampled; of runs on this store."""
    folds = {}
    for run, samples in ((run.run, run.samples) for run in runs):
        if data is not None and samples is not None and samples.attributes.store == data.digest:
            folds[run.fold] = dict(sorted(Counter(data.subjects[samples.rows].tolist()).items()))
    return dict(sorted(folds.items()))


def _weighted(runs: Sequence[RunFolder]) -> list[str]:
    """Return the names of the models whose samples have weights."""
    models = {run.run.model for run in runs if run.samples and run.samples.weighted}
    return sorted(labels.MODELS.get(model, model) for model in models)


def _unscored(runs: Sequence[RunFolder], scores: pd.DataFrame) -> list[str]:
    """Return the folders of the runs that have no row in `scores.csv`."""
    columns = ["model", "beta", "fold", "seed"]
    scored = set(scores[columns].itertuples(index=False, name=None))
    return [
        run.folder
        for run in (one.run for one in runs)
        if (run.model, run.beta, run.fold, run.seed) not in scored
    ]


def _setting(config: Mapping[str, Any], name: str, section: str, key: str) -> Any:
    """Return a data set's value of a key, None if the configuration does not have it."""
    for part in ((config.get("overrides") or {}).get(name) or {}, config):
        value = (part.get(section) or {}).get(key)
        if value is not None:
            return value
    return None


def _model_steps(config: Mapping[str, Any], name: str) -> dict[str, int]:
    """Return the steps of single models on a data set: its overrides, then those of all."""
    parts = (config, (config.get("overrides") or {}).get(name) or {})
    steps = [(part.get("training") or {}).get("model_steps") or {} for part in parts]
    return steps[0] | steps[1]


def _for_paper(one: Mapping[str, Any]) -> tuple[list[Chart], dict[str, Table]]:
    """Return a section's charts, and its tables by the names of their files."""
    charts = [one["ged_chart"], one["training_chart"], one["reliability"]]
    names = ("overview", "others", "further", "by_grader", "by_class", "ged", "paired")
    found = {name: one[name] for name in names}
    if one["diversity"]:
        charts.append(one["diversity"].chart)
        found["diversity"] = one["diversity"].table
    if of := one["calibration"]:
        charts += [of.modes_chart, of.switches_chart]
        found |= {"modes": of.modes, "switches": of.switches}
    return [c for c in charts if c], {name: table for name, table in found.items() if table}


def _environment() -> jinja2.Environment:
    """Return where templates are loaded from, and the filters and functions that they use."""
    loaders = [jinja2.PackageLoader("probunet", folder) for folder in ("report", "datasets")]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finished,
    )
    environment.filters["dataset"] = lambda name: find(name).title
    environment.filters["count"] = numbers.count
    environment.filters["json"] = _json
    environment.globals |= {"policy": policy, "script": script, "text": text, "vega": vega}
    return environment


def _finished(value: object) -> object:
    """Return a value of a template with control characters escaped; Markup stays as it is."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    return "\n".join(printable(line, most=None) for line in value.split("\n"))


def _json(value: object) -> Markup:
    """Return a value as JSON that can stand in a script element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # so it begins neither an end tag nor a comment
