"""Configuration, paths and helpers; the other files hold rules only."""

import json

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from probunet.config import Config, check
from probunet.errors import ProbunetError
from probunet.run import TEMPLATE, Run, format_beta

try:
    study = check(Config, config, " + ".join(map(str, workflow.configfiles)))
except ProbunetError as error:
    raise WorkflowError(str(error))
validate(config, "../schemas/config.schema.json")


wildcard_constraints:
    dataset="|".join(study.datasets.names),
    model="|".join(study.models),
    beta="|".join(map(format_beta, study.beta)).replace(".", r"\."),
    fold=r"\d+",
    seed=r"\d+",


RUNS = [
    Run(dataset, model, beta, fold, seed)
    for dataset in study.datasets.names
    for model in study.models
    for beta in study.betas_of(model)
    for fold in range(study.folds)
    for seed in study.seeds
]


def data(path):
    """A path below the folder of raw data and stores, which studies can share."""
    return f"{study.paths.data}/{path}"


def results(path):
    """A path below the folder of this study's results."""
    return f"{study.paths.results}/{path}"


def run(path):
    """A path below a run's folder, with wildcards."""
    return results(f"{TEMPLATE}/{path}")


def all_runs(path=""):
    """The same path below every run's folder."""
    return [results(f"{run.folder}/{path}").rstrip("/") for run in RUNS]


def image(kind):
    """The container image of a kind of step."""
    return f"{study.paths.containers}/{kind}.sif"


def settings(*names):
    """Sections or `section.key`s as JSON, and the section of the run's model if it has one.

    A change in any other does not repeat the step.
    """

    def of_run(wildcards):
        own = [wildcards.model] if hasattr(study, wildcards.model) else []
        chosen = {}
        for section, _, key in (name.partition(".") for name in [*names, *own]):
            values = getattr(study, section).model_dump(mode="json")
            chosen.setdefault(section, {}).update({key: values[key]} if key else values)
        return json.dumps(chosen)

    return of_run


def lidc_options():
    """The options of `probunet fetch lidc` that say where the slices come from."""
    lidc = study.datasets.lidc
    if lidc is None:
        return []
    folder = lidc.path if lidc.source == "local" else data("raw/lidc")
    options = ["--source", lidc.source, "--folder", folder]
    return options + (["--patients", lidc.patients] if lidc.patients else [])


def origin_options(wildcards):
    """The options of `probunet prepare folds` that a store made for another study fails."""
    section = getattr(study.datasets, wildcards.dataset)
    options = ["--source", section.source]
    return options + (["--patients", section.patients] if section.patients else [])


def on_error(dataset):
    """What to do about a subject without one usable image."""
    section = getattr(study.datasets, dataset)
    return section.on_error if section else "stop"


def given_folds(wildcards):
    """The user's own folds of a data set, or nothing."""
    file = getattr(study.datasets, wildcards.dataset).folds_file
    return [file] if file else []


def given_folds_option(wildcards, input):
    """The option of `probunet prepare folds` that names the user's own folds."""
    return ["--given", *input.given] if input.given else []


def chosen_weights():
    """The weights that are evaluated: the best on validation, or those of the last step."""
    return run("weights.pt" if study.evaluation.weights == "best" else "last.pt")
