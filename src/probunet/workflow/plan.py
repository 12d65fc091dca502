"""The plan of a study: its runs, where their files lie, and what each step depends on.

The rules take every path, setting and option that follows from the configuration from here.
Nothing here imports Snakemake; it calls some of these functions with a job's wildcards.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from probunet.config import Source, Step
from probunet.datasets import find
from probunet.errors import ProbunetError
from probunet.run import MEMBER, TEMPLATE, Run, format_beta
from probunet.study import Config, Study

Wildcards = Mapping[str, str]
ENSEMBLES = frozenset({"unet_ensemble"})  # each of their members is a training of its own
CHARTS = (
    "ged",
    "training",
    "reliability",
    "diversity",
)  # of every data set's report, as files for a paper
TABLES = ("overview", "others", "further", "ged", "paired", "diversity")
# what Snakemake replaces in paths; the first is a wildcard, the second a "path variable"
_REPLACED = {
    r"\{": "a brace, which Snakemake reads as the beginning of a wildcard",
    r"<[a-z][a-z0-9_]*>": "a name in < and >, which Snakemake replaces",
}
_FOR_THE_SHELL = re.compile(r"[^\w./:@%+=-]")


class Figure(NamedTuple):
    """A chart or table of the report as a file for a paper."""

    dataset: str
    name: str
    file: str


class Plan:
    """What a configuration asks for, in the words of the rules.

    Parameters
    ----------
    config
        The merged configuration.
    where
        The names of its files, for errors.

    Raises
    ------
    ProbunetError
        If Snakemake or its shell would replace a part of a path.
    """

    def __init__(self, config: Config, where: str) -> None:
        self.config = config
        self.where = where
        self.sources: dict[str, Source] = config.datasets.sections
        self.studies: dict[str, Study] = {name: config.of(name) for name in self.sources}
        self.runs = [run for name in self.sources for run in self._runs_on(name)]
        self._sections: dict[tuple[str, str, str], dict[str, Any]] = {}
        self._settings: dict[tuple[object, ...], str] = {}
        self._check_paths()

    # ------------------------------------------------------------------ runs and their members

    def _runs_on(self, dataset: str) -> list[Run]:
        study = self.studies[dataset]
        return [
            Run(dataset, model, beta, fold, seed)
            for model in study.models
            for beta in study.betas_of(model)
            for fold in range(self.config.folds_of(dataset))
            for seed in study.seeds
        ]

    def trainings_of(self, run: Run) -> list[Run]:
        """Return the trainings behind a run: an ensemble's members, or the run itself."""
        if run.model not in ENSEMBLES:
            return [run]
        count: int = getattr(self.studies[run.dataset], run.model).members
        return [
            Run(run.dataset, run.model, run.beta, run.fold, run.seed, member)
            for member in range(count)
        ]

    # ------------------------------------------------------------------ paths

    def data(self, path: str) -> str:
        """Return a path below the folder of raw data and stores, which studies can share."""
        return f"{self.config.paths.data}/{path}"

    def results(self, path: str) -> str:
        """Return a path below the folder of this study's results."""
        return f"{self.config.paths.results}/{path}"

    def manifest(self, dataset: str) -> str:
        """Return the manifest of a raw data set."""
        return self.data(f"raw/{dataset}.manifest.json")

    def store(self, dataset: str) -> str:
        """Return the store of a data set."""
        return self.data(f"{dataset}.zarr")

    def run(self, path: str) -> str:
        """Return a path below a run's folder, with wildcards."""
        return self.results(f"{TEMPLATE}/{path}")

    def member(self, path: str) -> str:
        """Return a path below the folder of an ensemble's member, with wildcards."""
        return self.results(f"{MEMBER}/{path}")

    def all_stores(self) -> list[str]:
        """Return the stores of all data sets."""
        return [self.store(name) for name in self.sources]

    def all_runs(self, path: str = "") -> list[str]:
        """Return the same path below every run's folder."""
        return [self.results(f"{run.folder}/{path}").rstrip("/") for run in self.runs]

    def all_trainings(self, path: str) -> list[str]:
        """Return the same path below the folder of every training."""
        trainings = (training for run in self.runs for training in self.trainings_of(run))
        return [self.results(f"{training.folder}/{path}") for training in trainings]

    def figures(self, *suffixes: str) -> list[Figure]:
        """Return the files for a paper that end in svg, pdf (charts), csv or tex (tables)."""
        names = {"svg": CHARTS, "pdf": CHARTS, "csv": TABLES, "tex": TABLES}
        return [
            Figure(dataset, name, self.results(f"figures/{dataset}/{name}.{suffix}"))
            for dataset in self.sources
            for suffix in suffixes
            for name in (*names[suffix], *find(dataset).own_figures)
        ]

    def figure_files(self, *suffixes: str) -> list[str]:
        """Return the paths of those files."""
        return [figure.file for figure in self.figures(*suffixes)]

    def container(self, kind: str) -> str:
        """Return the container image of a kind of step, `data` or `torch`."""
        return self.config.container_of(kind)

    def named_paths(self) -> list[Path]:
        """Return the folders of data, results and the user's own images, and files of folds."""
        found = [self.config.paths.data, self.config.paths.results]
        for source in self.sources.values():
            found += [source.path] if source.path else []
            found += [source.folds_file] if source.folds_file else []
        return [Path(path) for path in found]

    def _check_paths(self) -> None:
        paths = {f"paths.{key}": value for key, value in self.config.paths}
        for name, source in self.sources.items():
            inputs = [*find(name).inputs(source), source.folds_file]
            paths |= {
                f"datasets.{name}": str(path) for path in inputs if path and replaced_in(path)
            }
        containers = self.container("data")
        for key, path in (paths | {"containers": containers}).items():
            if problem := replaced_in(path):
                raise ProbunetError(
                    f"{self.where}: {key}: {path} contains {problem}; rename the folder or file."
                )
        if found := _FOR_THE_SHELL.search(containers):
            raise ProbunetError(
                f"{self.where}: containers: {containers} contains {found[0]!r}, and Snakemake does "
                "not quote the names of container images; use letters, digits and . _ - / : @ % + ="
            )

    # ------------------------------------------------------------------ wildcards and groups

    @property
    def constraints(self) -> dict[str, str]:
        """The values that each wildcard can take, as regular expressions."""
        number = r"\d+"
        return {
            "dataset": one_of(self.sources),
            "model": one_of(run.model for run in self.runs),
            "beta": one_of(format_beta(run.beta) for run in self.runs),
            **dict.fromkeys(("fold", "seed", "member", "part", "parts"), number),
        }

    @property
    def single_models(self) -> str:
        """The models that are trained as a whole."""
        return one_of(run.model for run in self.runs if run.model not in ENSEMBLES)

    @property
    def ensembles(self) -> str:
        """The models that are trained member by member."""
        return one_of(run.model for run in self.runs if run.model in ENSEMBLES)

    @property
    def downloaded_here(self) -> str:
        """The data sets that this machine downloads, as a cluster's nodes may have no network."""
        return one_of(name for name in self.sources if self._is_downloaded_here(name))

    @property
    def fetched_by_jobs(self) -> str:
        """All other data sets."""
        return one_of(name for name in self.sources if not self._is_downloaded_here(name))

    def _is_downloaded_here(self, dataset: str) -> bool:
        return self.config.fetch.here and self.sources[dataset].is_downloaded

    @property
    def fetch_group(self) -> str:
        """The group of `fetch`: that of `prepare`, unless several jobs prepare."""
        return "prepare" if self.config.prepare.jobs == 1 else "fetch"

    # ------------------------------------------------------------------ inputs of single jobs

    def fetch_inputs(self, wildcards: Wildcards) -> list[str]:
        """Return the files of the user whose change repeats `fetch`."""
        dataset = wildcards["dataset"]
        return [path.as_posix() for path in find(dataset).inputs(self.sources[dataset])]

    def fetch_parts(self, wildcards: Wildcards) -> list[str]:
        """Return the manifests that a data set's is joined from; none if one job fetches all."""
        dataset, jobs = wildcards["dataset"], self.config.fetch.jobs
        number = find(dataset).fetch_parts(self.sources[dataset], jobs)
        return self._parts(f"raw/{dataset}.parts", number, "manifest.json")

    def prepare_parts(self, wildcards: Wildcards) -> list[str]:
        """Return the parts that a data set's store is joined from; none if one job makes it."""
        return self._parts(f"{wildcards['dataset']}.parts", self.config.prepare.jobs, "zarr")

    def _parts(self, folder: str, number: int, suffix: str) -> list[str]:
        numbers = range(number) if number > 1 else ()
        return [self.data(f"{folder}/{part}-of-{number}.{suffix}") for part in numbers]

    def folds_file(self, wildcards: Wildcards) -> list[str]:
        """Return the user's own folds of a data set, or nothing."""
        file = self.sources[wildcards["dataset"]].folds_file
        return [file] if file else []

    def chosen_weights(self, wildcards: Wildcards) -> list[str]:
        """Return the weights to evaluate: the best on validation, or those of the last step."""
        run = Run.parse(TEMPLATE.format(**wildcards))
        is_best = self.studies[run.dataset].evaluation.weights == "best"
        name = "weights.pt" if is_best else "last.pt"
        return [self.results(f"{part.folder}/{name}") for part in self.trainings_of(run)]

    def training_data(self, wildcards: Wildcards) -> str:
        """Return where the images of a training are, on which no result depends."""
        return self.studies[wildcards["dataset"]].training.data

    # ------------------------------------------------------------------ settings of single jobs

    def settings(
        self, *keys: str, source: Step | None = None, without: str | None = None
    ) -> Callable[[Wildcards], str]:
        """Return a function of the wildcards that gives a step's settings as JSON.

        A step is repeated when its settings change, so they are those that its result depends on.

        Parameters
        ----------
        keys
            Keys of config.yaml or `section.key`s; `model` is the section of the run's model.
        source
            Adds what this step depends on of the data set's section under `datasets`.
        without
            A key of that section to leave out.
        """

        def of_job(wildcards: Wildcards) -> str:
            dataset, model = wildcards["dataset"], wildcards.get("model", "")
            job = (dataset, model, keys, source, without)
            if job not in self._settings:
                found: dict[str, Any] = {}
                if source is not None:
                    section = self.sources[dataset].for_step(source)
                    found["datasets"] = {
                        dataset: {k: v for k, v in section.items() if k != without}
                    }
                for key in keys:
                    self._add(found, dataset, model, model if key == "model" else key)
                self._settings[job] = json.dumps(found)
            return self._settings[job]

        return of_job

    def _add(self, found: dict[str, Any], dataset: str, model: str, name: str) -> None:
        """Add a section or `section.key` of a data set's study, if it has that section."""
        section, _, key = name.partition(".")
        if section == "folds":
            found[section] = self.config.folds_of(dataset)
            return
        if section not in Study.model_fields:  # a model without a section
            return
        values = self._section(dataset, model, section)
        # a key that is left out has its default
        found.setdefault(section, {}).update(
            {k: value for k, value in values.items() if key in ("", k)}
        )

    def _section(self, dataset: str, model: str, name: str) -> dict[str, Any]:
        job = (dataset, model, name)
        if job not in self._sections:
            section = getattr(self.studies[dataset].of_model(model), name)
            without = {"data"} if name == "training" else None  # see `training_data`
            self._sections[job] = section.model_dump(mode="json", exclude=without)
        return self._sections[job]

    def whole(self, wildcards: Wildcards) -> str:
        """Return the whole configuration as JSON, defaults included."""
        return json.dumps(self.config.whole())

    def multiple_of(self, wildcards: Wildcards) -> int:
        """Return what sides of images must be multiples of, so that the networks can halve them."""
        return int(2 ** (self.studies[wildcards["dataset"]].scales - 1))

    def manifests(self, wildcards: Wildcards) -> list[str]:
        """Return the option of `probunet report` for each raw data set's manifest."""
        return options("--manifest", map(self.manifest, self.sources))


def replaced_in(path: str | Path) -> str | None:
    """Return what Snakemake would replace in a path, in words; None if it takes it as it is.

    >>> replaced_in("a}b <c"), replaced_in("a/<results>/b")
    (None, 'a name in < and >, which Snakemake replaces')
    """
    return next((text for part, text in _REPLACED.items() if re.search(part, str(path))), None)


def one_of(names: Iterable[str]) -> str:
    """Return a regular expression of these names alone; of no text if there are none.

    >>> one_of(["unet", "m_heads"]), one_of([])
    ('m_heads|unet', '(?!)')
    """
    return "|".join(map(re.escape, sorted(set(names)))) or "(?!)"


def options(option: str, values: Iterable[str]) -> list[str]:
    """Return the words of an option that is repeated for each value.

    >>> options("--join", ["a", "b"])
    ['--join', 'a', '--join', 'b']
    """
    return [word for value in values for word in (option, value)]


def each(option: str, name: str) -> Callable[[Wildcards, Any], list[str]]:
    """Return a function for `params` that repeats an option for each of a job's inputs `name`."""

    def of_job(wildcards: Wildcards, input: Any) -> list[str]:
        return options(option, getattr(input, name))

    return of_job


def exactly(value: object) -> Callable[[Wildcards], object]:
    """Return a function for `params` that gives a value as it is.

    Snakemake takes braces in plain strings for wildcards.
    """

    def of_job(wildcards: Wildcards) -> object:
        return value

    return of_job
