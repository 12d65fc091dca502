"""A study's provenance as a Workflow Run RO-Crate, beside the report.

It conforms to RO-Crate 1.1 and to Provenance Run Crate 0.5: the run of the workflow is an action,
and so is each try of each of its jobs, with what it read and wrote, by which code and where.

References
----------
https://www.researchobject.org/ro-crate/specification/1.1/
https://www.researchobject.org/workflow-run-crate/profiles/provenance_run_crate
"""

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import zip_longest
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model import ComputationalWorkflow, ContextEntity, Entity
from rocrate.rocrate import ROCrate

from probunet import __version__
from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.files import sha256, written_whole
from probunet.job import Job, code_commit
from probunet.report.made import Made, Step
from probunet.run import Run
from probunet.store.samples import KIND, SampleAttributes
from probunet.store.sealed import open_sealed
from probunet.truth.base import Data

FILE = "ro-crate-metadata.json"  # the specification's name
COPIES = "provenance"  # the folder of copies: what the crate holds besides the results
TRAINED = ("weights.pt", "last.pt", "training.jsonl")

_TERMS = "https://w3id.org/ro/terms/workflow-run"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/ro/wfrun/provenance/0.5": "Provenance Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
_FORMATS = {
    ".csv": "text/csv",
    ".html": "text/html",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".parquet": "application/vnd.apache.parquet",
    ".pt": "application/octet-stream",  # torch's, read with weights_only=True
    ".smk": "text/plain",
    "": "text/plain",
}
_MIB = "MebiBYTE"
# units of what a job records itself, and of what Snakemake's benchmark files hold
_RECORDED = {"seconds": "SEC", "max_rss_mb": _MIB, "children_max_rss_mb": _MIB}
_RECORDED |= {"threads": "", "gpu": "", "precision": "", "device": "", "capability": "", "data": ""}
_BENCHMARK = {"s": "SEC", "max_rss": _MIB, "io_in": _MIB, "io_out": _MIB}
_BENCHMARK |= {"mean_load": "PERCENT", "cpu_time": "SEC"}


@dataclass(frozen=True)
class Study:
    """All that a crate describes; tables, report and runs are below one folder, its root."""

    title: str
    tables: Sequence[Path]
    report: Path
    runs: Sequence[Path]
    stores: Sequence[Path]
    manifests: Sequence[Path]  # of the raw data; left out if no store was made from it
    config: Mapping[str, Any]
    workflow: Path  # the folder of the Snakefile
    engine: str  # Snakemake's version


def write_crate(output: Path, study: Study, made: Made) -> None:
    """Write `ro-crate-metadata.json`, and beside it in `provenance/` copies of what it refers to.

    Stores are not read again: the digest of their seal stands for their content. All other files
    are hashed. The crate says what is not in the logs and therefore unknown.

    Parameters
    ----------
    output
        `ro-crate-metadata.json` in the folder of the results.
    study
        What was made.
    made
        How it was made, from the logs.

    Raises
    ------
    ProbunetError
        If a result is outside that folder, or a store or the Snakefile cannot be read.
    """
    stores = [open_data(path) for path in study.stores]
    with written_whole(output.parent / COPIES) as aside:
        _copy(study, made, stores, aside)
    writer = _Writer(output.parent, study, made)
    writer.describe(stores)
    workflow = writer.add_workflow()
    for store in stores:
        writer.add_store(store)
    writer.add_files()
    for step in made.steps:
        writer.add_step(step)
    writer.add_run(workflow)
    with written_whole(output) as aside:
        metadata = writer.crate.metadata.generate()
        text = json.dumps(metadata, indent=1, sort_keys=True, ensure_ascii=False)
        aside.write_text(text + "\n", encoding="utf-8")


def _copy(study: Study, made: Made, stores: Sequence[Data], folder: Path) -> None:
    """Copy into `folder` what the crate refers to and what is outside of it."""
    folder.mkdir()
    snakefile = study.workflow / "Snakefile"
    if not snakefile.exists():
        raise ProbunetError(
            f"{snakefile}: cannot be read from here, and provenance names the workflow; in a "
            "container, bind its folder: apptainer-args: --bind FOLDER in the profile."
        )
    for file in (snakefile, *sorted((study.workflow / "workflow/rules").glob("*.smk"))):
        target = folder / file.relative_to(study.workflow)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    made_from = {store.attributes.manifest_sha256 for store in stores}
    for manifest in study.manifests:
        if manifest.exists() and sha256(manifest) in made_from:
            shutil.copyfile(manifest, folder / manifest.name)
    (folder / "config.json").write_text(json.dumps(study.config, indent=1) + "\n", encoding="utf-8")
    used = [made.image_of(job) for job in made.tries]
    for kind, record in made.images.items():
        if record in used:
            (folder / f"image-{kind}.json").write_text(
                record.model_dump_json(indent=1) + "\n", encoding="utf-8"
            )


class _Writer:
    """The crate, to which entities are added."""

    def __init__(self, root: Path, study: Study, made: Made) -> None:
        self.root, self.study, self.made = root, study, made
        self.crate = ROCrate(version="1.1")
        self.crate.metadata.extra_contexts.append(f"{_TERMS}/context")
        self.actions: list[tuple[Step, list[Entity]]] = []  # the tries of each step
        self.tools: dict[str, list[Entity]] = {}  # by command, in the order of the workflow
        self.weights: dict[str, list[str]] = {}  # by run, those that its samples were drawn with

    def add(self, at: str, kind: str, **properties: Any) -> Entity:
        """Add an entity, without its empty properties; or return the one that has this id."""
        if (found := self.get(at)) is not None:
            return found
        entity = self.crate.add(ContextEntity(self.crate, at, properties={"@type": kind}))
        for name, value in properties.items():
            _set(entity, name, value)
        return entity

    def get(self, at: str) -> Entity | None:
        """Return the entity of this id; None if there is none."""
        # the crate's own `get` looks through all entities for an id that it does not know
        return self.crate.get(at) if at in self.crate else None

    def known(self, ids: Iterable[str]) -> list[Entity]:
        """Return the entities of these ids, those that exist."""
        return [entity for at in ids if (entity := self.get(at)) is not None]

    def describe(self, stores: Sequence[Data]) -> None:
        """Say what the crate is as a whole."""
        jobs = self.made.tries
        inside = [Path(job.container).name for job in jobs if job.container is not None]
        sentences = [
            "Weights, samples, scores and report of models that segment ambiguous images.",
            f"The report was made by probunet {_version(code_commit())}.",
            f"{len(inside)} of {len(jobs)} recorded tries of jobs ran in a container: "
            f"{', '.join(sorted(set(inside)))}."
            if inside
            else "The logs name no container.",
        ]
        sentences += [
            f"{path.as_posix()} is left out: it does not exist, or is not what the store was made "
            "from."
            for path in self.study.manifests
            if not (self.root / COPIES / path.name).exists()
        ]
        if any(store.attributes.synthetic for store in stores):
            sentences.append("Synthetic data: the figures say nothing about the real ones.")
        if absent := [step.log.as_posix() for step in self.made.steps if not step.tries]:
            sentences.append(
                f"Steps without a record, because their log is missing: {', '.join(absent)}."
            )
        licences = [f"{one.attributes.dataset}: {one.attributes.licence}" for one in stores]
        whole = self.crate.root_dataset
        whole["name"] = self.study.title
        whole["description"] = " ".join(sentences)
        whole["license"] = "Images: " + "; ".join(licences)
        whole["datePublished"] = _now()
        whole["conformsTo"] = [
            self.add(url, "CreativeWork", name=name, version=url.rsplit("/", 1)[1])
            for url, name in _PROFILES.items()
        ]

    def add_workflow(self) -> ComputationalWorkflow:
        """Add the Snakefile as the main entity, and the rules as its parts."""
        path = self.root / COPIES / "Snakefile"
        workflow = self.crate.add_workflow(
            path,
            f"{COPIES}/Snakefile",
            main=True,
            lang="snakemake",
            lang_version=self.study.engine,
            properties={
                "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
                "name": "probunet: fetch, prepare, train, sample, score, report",
                "version": _version(code_commit()),
                "license": "https://spdx.org/licenses/MIT",
                **_content(path),
            },
        )
        for rules in sorted((self.root / COPIES / "workflow/rules").glob("*.smk")):
            self.add_file(rules, f"Rules: {rules.stem}")
        return workflow

    def add_store(self, store: Data) -> None:
        """Add the store of a data set: studies can share it, and it is outside the crate."""
        about = store.attributes
        versions = ", ".join(f"{name} {number}" for name, number in about.versions.items())
        self.add(
            f"#store-{about.dataset}",
            "CreativeWork",
            name=f"{store.path.name}: the prepared images of {about.dataset}",
            description=f"Source: {about.source}{', synthetic' if about.synthetic else ''}; made "
            f"with {versions}, from a manifest with sha256 {about.manifest_sha256}.",
            identifier=self.add_digest(f"#store-{about.dataset}-digest", store.digest),
            license=about.licence,
        )

    def add_digest(self, at: str, digest: str) -> Entity:
        """Add the digest of a store's seal."""
        name = "digest of the store's seal: of the size and the sha256 of each file inside"
        return self.add(at, "PropertyValue", name=name, propertyID="sha256", value=digest)

    def add_files(self) -> None:
        """Add all results and the copies of inputs, those that exist."""
        for path in self.study.tables:
            self.add_file(path, f"Table: {path.stem}")
        self.add_file(self.study.report, "The report")
        for path in sorted((self.root / COPIES).glob("*.json")):
            manifest = "manifest" in path.name
            known = {"config": "The configuration, defaults included"}
            name = known.get(path.stem, path.stem)
            self.add_file(path, "Raw data, each file with its sha256" if manifest else name)
        for dataset in sorted({_parse(folder).dataset for folder in self.study.runs}):
            self.add_file(self.root / dataset / "folds.json", f"Folds of {dataset}")
        for folder in self.study.runs:
            for part in _trainings(folder):
                for name in TRAINED:
                    self.add_file(part / name, f"{name} of {_parse(part).folder}")
            self.add_file(folder / "scores.parquet", f"Scores of {_parse(folder).folder}")
            self.add_samples(folder)

    def add_file(self, path: Path, name: str) -> None:
        """Add a file if it exists."""
        if path.is_file():
            properties = {"name": name, **_content(path)}
            self.crate.add_file(path, self.inside(path), properties=properties)

    def add_samples(self, folder: Path) -> None:
        """Add a run's samples unless they are missing or damaged, which the report says.

        Of each training, note the file of weights whose hash the samples name: the best weights and
        the last ones are equal files if the last are the best.
        """
        path, run = folder / "samples.zarr", _parse(folder).folder
        try:
            group, attributes, digest = open_sealed(path, KIND, SampleAttributes)
        except ProbunetError:
            return
        files: Any = group.attrs["files"]
        place = self.inside(path)
        properties = {
            "name": f"Samples of {run}",
            "identifier": {"@id": self.add_digest(f"#digest-{place}", digest).id},
            "contentSize": str(sum(size for size, _ in files.values())),
        }
        self.crate.add_dataset(path, place, properties=properties)
        self.weights[run] = []
        for part in _trainings(folder):
            files = self.known(self.inside(part / name) for name in TRAINED)
            used = [one.id for one in files if one["sha256"] in attributes.weights_sha256]
            self.weights[run] += used[:1]

    def add_step(self, step: Step) -> None:
        """Add an action for each try of a step; or one, without times, if no log has any."""
        read, written = _links(step, self.study, self.weights)
        objects, results = self.known(read), self.known(written)
        actions = [self.add_try(step, job) for job in step.tries]
        if not step.tries:
            action = self.add(
                f"#{step.verb}-{step.name}",
                "CreateAction",
                name=f"probunet {step.command}: {step.name}",
                description=f"No record: {step.log.as_posix()} is missing or names no job.",
                instrument=self.add_tool(step.command, None),
            )
            actions = [action]
        for action, job in zip_longest(actions, step.tries):
            _set(action, "object", objects)
            if job is None or job is step.made_by or _is_running(step, job):
                _set(action, "result", results)
        self.actions.append((step, actions))
        tools = self.tools.setdefault(step.command, [])
        tools += [action["instrument"] for action in actions]

    def add_try(self, step: Step, job: Job) -> Entity:
        """Add one try of a step: when, where, how it ended and what it took."""
        at = f"#{job.id}"
        measured = [("probunet job", _RECORDED, vars(job))]
        if job is step.made_by:
            measured.append(("snakemake benchmark", _BENCHMARK, step.benchmark))
        usage = [
            self.add_usage(at, by, name, str(values[name]), unit)
            for by, units, values in measured
            for name, unit in units.items()
            if values.get(name) not in (None, "", "-", "NA")
        ]
        properties: dict[str, Any] = {
            "name": f"probunet {job.command}: {step.name}",
            "description": f"On {job.host}; its log is {step.log.as_posix()}.",
            "instrument": self.add_tool(job.command, job),
            "startTime": job.started,
            "endTime": job.ended,
            "location": job.host,
            "resourceUsage": usage,
            "environment": [
                self.add(f"{at}-{name}", "PropertyValue", name=name, value=value)
                for name, value in job.slurm.items()
            ],
        }
        if job.container is not None:
            properties["containerImage"] = self.add_image(job)
        if _is_running(step, job):
            properties["description"] += " It wrote this crate, and had not ended then."
        else:
            status = "CompletedActionStatus" if job.succeeded else "FailedActionStatus"
            properties["actionStatus"] = f"http://schema.org/{status}"
            properties["error"] = "" if job.succeeded else _error(job)
        return self.add(at, "CreateAction", **properties)

    def add_tool(self, command: str, job: Job | None) -> Entity:
        """Add a command of this package, of one commit and with certain packages."""
        name, at = f"probunet {command}", f"#probunet-{command.replace(' ', '-')}"
        if job is None:
            return self.add(at, "SoftwareApplication", name=name, description="Unknown version.")
        variant = json.dumps([job.version, job.commit, job.versions], sort_keys=True)
        return self.add(
            f"{at}-{hashlib.sha256(variant.encode()).hexdigest()[:8]}",
            "SoftwareApplication",
            name=name,
            softwareVersion=_version(job.commit, job.version),
            softwareRequirements=[self.add_package(*one) for one in job.versions.items()],
        )

    def add_package(self, name: str, number: str) -> Entity:
        """Add a package, under its URL: https://github.com/package-url/purl-spec ."""
        at = f"pkg:{'generic' if name == 'python' else 'pypi'}/{name}@{quote(number)}"
        return self.add(at, "SoftwareApplication", name=name, softwareVersion=number)

    def add_image(self, job: Job) -> Entity:
        """Add the container image of a job, with its hash if its record still exists."""
        name, record = Path(job.container or "").name, self.made.image_of(job)
        properties: dict[str, Any] = {
            "name": name,
            "additionalType": {"@id": f"{_TERMS}#SIFImage"},
            "registry": "none: a file",
        }
        at = f"#image-{name}-{job.commit}"
        if record is None:
            properties["description"] = f"Has no record; holds commit {job.commit or 'unknown'}."
        else:
            at = f"#image-{name}-{record.sha256[:12]}"
            properties["sha256"] = record.sha256
            properties["dateCreated"] = record.built
            properties["subjectOf"] = self.get(f"{COPIES}/image-{record.kind}.json")
        return self.add(at, "ContainerImage", **properties)

    def add_usage(self, at: str, by: str, name: str, value: str, unit: str) -> Entity:
        """Add what a try took, as measured `by` the job itself or by Snakemake."""
        return self.add(
            f"{at}-{by.split()[0]}-{name}",
            "PropertyValue",
            name=f"{name} ({by})",
            propertyID=f"{by}: {name}",
            value=value,
            unitCode=unit and f"https://qudt.org/vocab/unit/{unit}",
        )

    def add_run(self, workflow: ComputationalWorkflow) -> None:
        """Add the workflow's steps, and its run as the sum of their actions."""
        steps = {
            command: self.add(
                f"#step-{command.replace(' ', '-')}",
                "HowToStep",
                name=command,
                position=str(position),
                workExample=_unique(tools),
            )
            for position, (command, tools) in enumerate(self.tools.items(), start=1)
        }
        workflow["hasPart"] = _unique(tool for tools in self.tools.values() for tool in tools)
        workflow["step"] = list(steps.values())
        controls = [
            self.add(
                f"#control-{step.verb}-{step.name}",
                "ControlAction",
                name=f"{step.verb} {step.name}",
                instrument=steps[step.command],
                object=actions,
            )
            for step, actions in self.actions
        ]
        began = min((job.started for job in self.made.tries), default=None)
        times = {"startTime": began, "endTime": _now()}
        copies = ["config.json", *(path.name for path in self.study.manifests)]
        run = self.add(
            "#run",
            "CreateAction",
            name=f"Run of the workflow: {self.study.title}",
            description="snakemake; the steps are actions of their own, failed tries among them.",
            instrument=workflow,
            object=self.known(f"{COPIES}/{name}" for name in copies),
            result=self.known(path.name for path in (*self.study.tables, self.study.report)),
            **times,
        )
        url, version = "https://snakemake.github.io/", self.study.engine
        kind = "SoftwareApplication"
        engine = self.add(url, kind, name="Snakemake", softwareVersion=version, url=url)
        name = "Run of Snakemake"
        own = {"name": name, "instrument": engine, "object": controls, "result": run}
        organised = self.add("#organize", "OrganizeAction", **own, **times)
        tries = [action for _, actions in self.actions for action in actions]
        self.crate.root_dataset["mentions"] = [run, organised, *tries]

    def inside(self, path: Path) -> str:
        """Return a file's path in the crate."""
        try:
            return path.resolve().relative_to(self.root.resolve()).as_posix()
        except ValueError:
            raise ProbunetError(
                f"{path}: is outside {self.root}, the folder that the crate describes; "
                f"write {FILE} into the folder of all results."
            ) from None


def _links(
    step: Step, study: Study, weights: Mapping[str, list[str]]
) -> tuple[list[str], list[str]]:
    """Return the ids of what a step reads and of what it writes."""
    name = step.name
    dataset = name.split("/")[0].split(".")[0]
    manifest, store = f"{COPIES}/{dataset}.manifest.json", f"#store-{dataset}"
    folds = f"{dataset}/folds.json"
    samples, scores = f"{name}/samples.zarr/", f"{name}/scores.parquet"
    tables = [path.name for path in study.tables]
    whole = name == dataset  # a part of a data set writes nothing that stays
    match step.verb:
        case "fetch":
            return [], [manifest] if whole else []
        case "prepare" if name.endswith(".folds"):
            return [store], [folds]
        case "prepare":
            return [manifest], [store] if whole else []
        case "train":
            return [store, folds], [f"{name}/{file}" for file in TRAINED]
        case "sample":
            return [store, folds, *weights.get(name, [])], [samples]
        case "score" if name == "table":
            return [f"{_parse(folder).folder}/scores.parquet" for folder in study.runs], tables
        case "score":
            return [samples, store], [scores]
        case _:
            return tables, [study.report.name]


def _error(job: Job) -> str:
    """Return how a try failed."""
    if job.exit_code is None:
        return "It was killed: its log has no last line."
    saved = ": stopped early and saved itself" if job.exit_code == 75 else ""
    return f"Exit code {job.exit_code}{saved}."


def _is_running(step: Step, job: Job) -> bool:
    """Return whether this is the job that writes the crate: the logs of others have an end."""
    return step.verb == "report" and job is step.tries[-1] and job.ended is None


def _set(entity: Entity, name: str, value: Any) -> None:
    """Set a property unless it is empty; a list of one is written as that one."""
    if value not in (None, [], ""):
        entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value


def _content(path: Path) -> dict[str, str]:
    return {
        "sha256": sha256(path),
        "contentSize": str(path.stat().st_size),
        "encodingFormat": _FORMATS[path.suffix],
    }


def _version(commit: str | None, number: str = __version__) -> str:
    return f"{number}, commit {commit or 'unknown'}"


def _trainings(folder: Path) -> list[Path]:
    """Return a run's folder, and those of an ensemble's members."""
    return [folder, *sorted(folder.glob("member-*"))]


def _parse(folder: Path) -> Run:
    return Run.parse(folder.resolve().as_posix())


def _unique(entities: Iterable[Entity]) -> list[Entity]:
    return list({entity.id: entity for entity in entities}.values())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
