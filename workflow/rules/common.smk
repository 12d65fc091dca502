"""Configuration, paths and helpers; the other files hold rules only."""

import json
import os
from pathlib import Path

from snakemake import __version__ as ENGINE
from snakemake.exceptions import WorkflowError
from snakemake.io import report as reported  # the name itself begins a keyword here
from snakemake.utils import validate

from probunet.config import DOWNLOADS, Config, check
from probunet.errors import ProbunetError
from probunet.images import recipe_files, source_digest
from probunet.run import MEMBER, TEMPLATE, Run, format_beta

try:
    plan = check(Config, config, " + ".join(map(str, workflow.configfiles)))
except ProbunetError as error:
    raise WorkflowError(str(error))
validate(config, "../schemas/config.schema.json", set_default=False)

STUDIES = {dataset: plan.of(dataset) for dataset in plan.datasets.names}
ENSEMBLES = ["unet_ensemble"]  # their members are trained, each in a job of its own
RUNS = [
    Run(dataset, model, beta, fold, seed)
    for dataset, study in STUDIES.items()
    for model in study.models
    for beta in study.betas_of(model)
    for fold in range(plan.folds_of(dataset))
    for seed in study.seeds
]


def one_of(names):
    """A wildcard's constraint to these names; to nothing if there are none."""
    return "|".join(sorted(set(names))).replace(".", r"\.") or "(?!)"


OWN = one_of(plan.datasets.own)  # images of one's own
TRAINED_WHOLE = one_of(run.model for run in RUNS if run.model not in ENSEMBLES)
TRAINED_BY_MEMBER = one_of(run.model for run in RUNS if run.model in ENSEMBLES)


wildcard_constraints:
    dataset=one_of(STUDIES),
    model=one_of(run.model for run in RUNS),
    beta=one_of(format_beta(run.beta) for run in RUNS),
    fold=r"\d+",
    seed=r"\d+",
    member=r"\d+",


def data(path):
    """A path below the folder of raw data and stores, which studies can share."""
    return f"{plan.paths.data}/{path}"


def results(path):
    """A path below the folder of this study's results."""
    return f"{plan.paths.results}/{path}"


def run(path):
    """A path below a run's folder, with wildcards."""
    return results(f"{TEMPLATE}/{path}")


def member(path):
    """A path below the folder of an ensemble's member, with wildcards."""
    return results(f"{MEMBER}/{path}")


def all_runs(path=""):
    """The same path below every run's folder."""
    return [results(f"{run.folder}/{path}").rstrip("/") for run in RUNS]


def members_of(run):
    """The runs of an ensemble's members; of another model, the run itself."""
    if run.model not in ENSEMBLES:
        return [run]
    count = getattr(STUDIES[run.dataset], run.model).members
    return [
        Run(run.dataset, run.model, run.beta, run.fold, run.seed, i)
        for i in range(count)
    ]


def all_trainings(path):
    """The same path below the folder of plan that is trained."""
    return [
        results(f"{part.folder}/{path}") for run in RUNS for part in members_of(run)
    ]


def image(kind):
    """The container image of a kind of step."""
    return plan.image_of(kind)


def image_records():
    """The folder of the images and of what was recorded when they were built."""
    return os.path.dirname(image("data"))


def image_recipe(wildcards):
    """An image's definition and locks."""
    root = Path(workflow.basedir)
    return [str(file) for file in recipe_files(wildcards.kind, root)]


def image_options():
    """The options of `probunet image` that tell how this site builds."""
    build = plan.container_build
    options = [
        ("--argument", f"{name}={value}") for name, value in build.arguments.items()
    ]
    options += [("--bind", item) for item in build.bind] + [("--cache", build.cache)]
    return [word for option in options for word in option]


def settings(*names):
    """Sections or `section.key`s of the data set's study as JSON.

    With `model`, the section of the run's model, if it has one. A change in any other does not
    repeat the step.
    """

    def of_run(wildcards):
        study, chosen = STUDIES[wildcards.dataset], {}
        for section, _, key in (name.partition(".") for name in names):
            if section == "model":
                section = wildcards.model
            if hasattr(study, section):
                values = getattr(study, section).model_dump(mode="json")
                chosen.setdefault(section, {}).update(
                    {key: values[key]} if key else values
                )
        return json.dumps(chosen)

    return of_run


def is_downloaded(dataset):
    """Whether a data set comes over the network."""
    section = getattr(plan.datasets, dataset)
    return section is not None and section.source in DOWNLOADS


def is_fetched_here(dataset):
    """Whether the machine that drives the workflow downloads it, as nodes may reach no network."""
    return is_downloaded(dataset) and plan.fetch.here


FETCH_GROUP = "prepare" if plan.prepare.jobs == 1 else "fetch"


def fetch_group(dataset):
    """The group of `fetch`: it shares a job with `prepare`, unless several jobs prepare.

    None where it is no job of the cluster: a rule in a group is never run by the driver itself.
    """
    return None if is_fetched_here(dataset) else FETCH_GROUP


def fetched_parts():
    """The manifests that LIDC-IDRI's is joined from; none if one job fetches all of it."""
    jobs = plan.fetch.jobs
    numbers = range(jobs) if jobs > 1 and is_downloaded("lidc") else []
    return [data(f"raw/lidc.parts/{part}-of-{jobs}.manifest.json") for part in numbers]


def lidc_options():
    """The options of `probunet fetch lidc` that say where the slices come from."""
    lidc = plan.datasets.lidc
    if lidc is None:
        return []
    folder = lidc.path if lidc.source == "local" else data("raw/lidc")
    options = ["--source", lidc.source, "--folder", folder]
    options += ["--patients", lidc.patients] if lidc.patients else []
    if is_downloaded("lidc"):
        options += ["--slices", lidc.slices]
        options += ["--endpoint-url", lidc.endpoint_url] if lidc.endpoint_url else []
    return options + (["--bucket", lidc.bucket] if lidc.source == "idc" else [])


def cityscapes_options():
    """The options of `probunet fetch cityscapes` that say where the scenes come from."""
    cityscapes = plan.datasets.cityscapes
    if cityscapes is None:
        return []
    if cityscapes.source == "local":
        return ["--source", "local", "--folder", cityscapes.path]
    options = ["--source", cityscapes.source, "--folder", data("raw/cityscapes")]
    if cityscapes.source == "official":
        url = cityscapes.endpoint_url
        return [*options, "--endpoint-url", url] if url else options
    return [*options, "--images", cityscapes.images, "--size", *cityscapes.phantom_size]


def scene_size():
    """Height and width of the prepared scenes, pixels."""
    cityscapes = plan.datasets.cityscapes
    return cityscapes.size if cityscapes else []


def own_table(wildcards):
    """The table of a data set of one's own."""
    own = plan.datasets.own[wildcards.dataset]
    return (Path(own.path) / own.table).as_posix()


def own_options(wildcards):
    """The options of `probunet fetch folder` that say where the images lie."""
    own = plan.datasets.own[wildcards.dataset]
    return [
        "--dataset",
        wildcards.dataset,
        "--folder",
        own.path,
        "--table",
        own.table,
    ]


def own_form(wildcards):
    """The options of `probunet prepare` that say what is made of images of one's own."""
    return form_of(plan.datasets.own[wildcards.dataset])


def form_of(own):
    """The same of a section of the configuration."""
    options = ["--size", *own.size] if own.size else []
    return options + (["--window", *own.window] if own.window else [])


def own_stride(wildcards):
    """What the sides of images must be multiples of, so that the network can halve them."""
    return 2 ** (STUDIES[wildcards.dataset].scales - 1)


def own_on_error(wildcards):
    """What to do about a subject of one's own without one usable image."""
    return on_error(wildcards.dataset)


def own_parts(wildcards):
    """The parts that the store of a data set of one's own is joined from."""
    return parts_of(wildcards.dataset)


def on_error(dataset):
    """What to do about a subject without one usable image."""
    section = getattr(plan.datasets, dataset)
    return section.on_error if section else "stop"


def parts_of(dataset):
    """The parts that a data set's store is joined from; none if one job makes it whole."""
    jobs = plan.prepare.jobs
    numbers = range(jobs) if jobs > 1 else []
    return [data(f"{dataset}.parts/{part}-of-{jobs}.zarr") for part in numbers]


def join_options(wildcards, input):
    """The option of `probunet fetch` or `prepare` that names each part."""
    return [option for part in input.parts for option in ("--join", part)]


def given_folds(wildcards):
    """The user's own folds of a data set, or nothing."""
    file = getattr(plan.datasets, wildcards.dataset).folds_file
    return [file] if file else []


def folds_options(wildcards, input):
    """The options of `probunet prepare folds`.

    Among them are those that a store fails which was made for another study.
    """
    section = getattr(plan.datasets, wildcards.dataset)
    options = ["--source", section.source]
    if wildcards.dataset in plan.datasets.own:
        options += form_of(section)
    elif wildcards.dataset == "lidc":
        options += ["--count", section.patients] if section.patients else []
    else:
        options += ["--size", *section.size]
        options += ["--count", section.images] if section.source == "phantom" else []
    if input.given:
        options += ["--given", *input.given]
    elif getattr(section, "split", None) == "official":
        options += ["--split", "official"]
    return [*options, "--folds", plan.folds_of(wildcards.dataset)]


def chosen_weights(wildcards):
    """The weights that are evaluated: the best on validation, or those of the last step."""
    study = STUDIES[wildcards.dataset]
    name = "weights.pt" if study.evaluation.weights == "best" else "last.pt"
    of_run = Run.parse(run("").rstrip("/").format(**wildcards))
    return [results(f"{part.folder}/{name}") for part in members_of(of_run)]


def weights_options(wildcards, input):
    """The option of `probunet sample` that names them."""
    return [option for file in input.weights for option in ("--weights", file)]


def n_options(wildcards):
    """The option of `probunet score run` for each number of samples."""
    study = STUDIES[wildcards.dataset]
    return [option for n in study.evaluation.n for option in ("--n", n)]


def store_options():
    """The option of `probunet report` that names each store."""
    return [option for name in STUDIES for option in ("--store", data(f"{name}.zarr"))]


def manifest_options():
    """The option of `probunet report` that names each raw data set's manifest."""
    files = [data(f"raw/{name}.manifest.json") for name in STUDIES]
    return [option for file in files for option in ("--manifest", file)]


def figures(*suffixes):
    """The figures and tables of all data sets as files for a paper; calibration where it is."""
    names = {"svg": ["ged", "training"], "csv": ["overview", "others", "ged", "paired"]}
    names |= {"pdf": names["svg"], "tex": names["csv"]}
    calibration = {"cityscapes": ["modes", "switches"]}
    return [
        (dataset, results(f"figures/{dataset}/{name}.{suffix}"), name)
        for dataset in STUDIES
        for suffix in suffixes
        for name in names[suffix] + calibration.get(dataset, [])
    ]


def figures_folder(wildcards):
    """The folder of all of them."""
    return results("figures")


def explained_figures(kind, suffix):
    """Figures or tables that Snakemake's report shows, each with its statistic explained."""
    return [
        reported(
            file,
            caption=f"../report/figures/{name}.rst",
            category="Figures and tables",
            subcategory=dataset,
            labels={kind: name},
        )
        for dataset, file, name in figures(suffix)
    ]
