"""A study's provenance as a Workflow Run RO-Crate, which lies beside the report.

It conforms to RO-Crate 1.1 and to Provenance Run Crate 0.5: the workflow's run is an action, and so
is each try of each of its jobs, with what it read, what it made, by which code and where.

References
----------
https://www.researchobject.org/ro-crate/specification/1.1/
https://www.researchobject.org/workflow-run-crate/profiles/provenance_run_crate
"""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from rocrate.model import ComputationalWorkflow, ContextEntity, Entity
from rocrate.rocrate import ROCrate

from probunet import __version__
from probunet.errors import ProbunetError
from probunet.files import sha256, written_whole
from probunet.job import Job, code_commit
from probunet.report.made import Made, Step
from probunet.run import Run
from probunet.store import Data, open_data
from probunet.store.samples import KIND, SampleAttributes
from probunet.store.sealed import open_sealed

FILE = "ro-crate-metadata.json"  # the specification's name
COPIES = "provenance"  # what the crate holds besides the results themselves
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
# what Snakemake's benchmark files hold, and the units
_BENCHMARK = {
    "s": "SEC",
    "max_rss": "MebiBYTE",
    "io_in": "MebiBYTE",
    "io_out": "MebiBYTE",
    "mean_load": "PERCENT",
    "cpu_time": "SEC",
}
_RECORDED = {
    "seconds": "SEC",
    "max_rss_mb": "MebiBYTE",
    "children_max_rss_mb": "MebiBYTE",
    "threads": None,
    "gpu": None,
}


@dataclass(frozen=True)
class Study:
    """All that a crate describes; tables, report and runs lie below one folder, its root."""

    title: str
    tables: Sequence[Path]
    report: Path
    runs: Sequence[Path]
    stores: Sequence[Path]
    manifests: Sequence[Path]  # of the raw data; one that no store was made from is left out
    config: Mapping[str, Any]
    workflow: Path  # the folder of the Snakefile
    engine: str  # Snakemake's version


def write_crate(output: Path, study: Study, made: Made) -> None:
    """Write `ro-crate-metadata.json`, and beside it in `provenance/` what it refers to.

    Stores are not read again: the digest of their seal stands for their content. All other files
    are hashed. What a log does not tell is said to be unknown.

    Parameters
    ----------
    output
        `ro-crate-metadata.json` in the folder of the results.
    study
        What was made.
    made
        How it was made, as the logs tell.

    Raises
    ------
    ProbunetError
        If a result lies outside that folder, a store cannot be read, or the Snakefile is not
        within reach.
    """
    root = output.parent
    stores = [open_data(path) for path in study.stores]
    with written_whole(root / COPIES) as aside:
        _copy(study, made, stores, aside)
    crate = ROCrate(version="1.1")
    crate.metadata.extra_contexts.append(f"{_TERMS}/context")
    _describe(crate, root, study, made, stores)
    workflow = _add_workflow(crate, root, study.engine)
    for store in stores:
        _add_store(crate, store)
    _add_files(crate, root, study)
    links = _Links(study, _drawn_with(crate, study, root))
    actions = [_add_step(crate, step, made, links) for step in made.steps]
    _add_run(crate, study, workflow, actions)
    with written_whole(output) as aside:
        text = json.dumps(crate.metadata.generate(), indent=1, sort_keys=True, ensure_ascii=False)
        aside.write_text(text + "\n", encoding="utf-8")


@dataclass(frozen=True)
class _Links:
    """What each step reads and makes, as the ids of the crate's entities."""

    study: Study
    weights: dict[str, list[str]]  # of each run, those that its samples were drawn with

    def of(self, step: Step) -> tuple[list[str], list[str]]:
        name = step.name
        dataset = name.split("/")[0].split(".")[0]
        manifest, store = f"{COPIES}/{dataset}.manifest.json", f"#store-{dataset}"
        folds = f"{dataset}/folds.json"
        tables = [path.name for path in self.study.tables]
        if step.verb == "fetch":  # a part of a data set makes nothing that stays
            return [], [manifest] if name == dataset else []
        if step.verb == "prepare" and name.endswith(".folds"):
            return [store], [folds]
        if step.verb == "prepare":
            return [manifest], [store] if name == dataset else []
        if step.verb == "train":
            return [store, folds], [f"{name}/{file}" for file in TRAINED]
        if step.verb == "sample":
            return [store, folds, *self.weights.get(name, [])], [f"{name}/samples.zarr/"]
        if (step.verb, name) == ("score", "table"):
            runs = [f"{_run_of(folder)}/scores.parquet" for folder in self.study.runs]
            return runs, tables
        if step.verb == "score":
            return [f"{name}/samples.zarr/", store], [f"{name}/scores.parquet"]
        return tables, [self.study.report.name]


def _copy(study: Study, made: Made, stores: Sequence[Data], folder: Path) -> None:
    """Copy into `folder` what the crate refers to and what lies outside of it."""
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
    (folder / "config.json").write_text(json.dumps(study.config, indent=1) + "\n")
    for kind, record in made.images.items():
        if any(record == made.image_of(job) for step in made.steps for job in step.tries):
            (folder / f"image-{kind}.json").write_text(record.model_dump_json(indent=1) + "\n")


def _describe(crate: ROCrate, root: Path, study: Study, made: Made, stores: Sequence[Data]) -> None:
    """Say what the crate is as a whole."""
    profiles = [
        _add(crate, url, "CreativeWork", name=name, version=url.rsplit("/", 1)[1])
        for url, name in _PROFILES.items()
    ]
    jobs = [job for step in made.steps for job in step.tries]
    inside = [Path(job.container).name for job in jobs if job.container is not None]
    absent = [step.log.as_posix() for step in made.steps if not step.tries]
    told = [
        "Weights, samples, scores and report of models that segment ambiguous images.",
        f"The report was made by probunet {__version__}, commit {code_commit() or 'unknown'}.",
        f"{len(inside)} of {len(jobs)} recorded tries of jobs ran in a container: "
        f"{', '.join(sorted(set(inside)))}."
        if inside
        else "No container was used, as far as logs tell.",
    ]
    told += [
        f"{path.as_posix()} is left out: it is not there, or not what the store was made from."
        for path in study.manifests
        if not (root / COPIES / path.name).exists()
    ]
    if any(store.attributes.synthetic for store in stores):
        told.append("Synthetic data: the figures say nothing about the real ones.")
    if absent:
        told.append(f"Without a record, for want of a log: {', '.join(absent)}.")
    whole = crate.root_dataset
    whole["name"] = study.title
    whole["description"] = " ".join(told)
    whole["license"] = "Images: " + "; ".join(
        f"{store.attributes.dataset}: {store.attributes.licence}" for store in stores
    )
    whole["datePublished"] = _now()
    whole["conformsTo"] = profiles


def _add_workflow(crate: ROCrate, root: Path, engine: str) -> ComputationalWorkflow:
    """Add the Snakefile as the main entity, and the rules as its parts."""
    path = root / COPIES / "Snakefile"
    workflow = crate.add_workflow(
        path,
        f"{COPIES}/Snakefile",
        main=True,
        lang="snakemake",
        lang_version=engine,
        properties={
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "probunet: fetch, prepare, train, sample, score, report",
            "version": f"{__version__}, commit {code_commit() or 'unknown'}",
            "license": "https://spdx.org/licenses/MIT",
            **_content(path),
        },
    )
    for rules in sorted((root / COPIES / "workflow/rules").glob("*.smk")):
        _add_file(crate, root, rules, f"Rules: {rules.stem}")
    return workflow


def _add_store(crate: ROCrate, store: Data) -> None:
    """Add the store of a data set: it can be shared by studies, and lies outside the crate."""
    about = store.attributes
    made_with = ", ".join(f"{name} {number}" for name, number in about.versions.items())
    _add(
        crate,
        f"#store-{about.dataset}",
        "CreativeWork",
        name=f"{store.path.name}: the prepared images of {about.dataset}",
        description=f"Source: {about.source}{', synthetic' if about.synthetic else ''}; made with "
        f"{made_with}, from a manifest with sha256 {about.manifest_sha256}.",
        identifier=_add(
            crate,
            f"#store-{about.dataset}-digest",
            "PropertyValue",
            name="digest of the store's seal: of the size and the sha256 of each file inside",
            propertyID="sha256",
            value=store.digest,
        ),
        license=about.licence,
    )


def _add_files(crate: ROCrate, root: Path, study: Study) -> None:
    """Add all results, and the copies of inputs; what is not there is left out."""
    known = {
        f"{COPIES}/config.json": "The configuration, defaults included",
        study.report.name: "The report",
    }
    for path in (*study.tables, study.report):
        _add_file(crate, root, path, known.get(path.name, f"Table: {path.stem}"))
    for path in sorted((root / COPIES).glob("*.json")):
        name = "Raw data, each file with its sha256" if "manifest" in path.name else path.stem
        _add_file(crate, root, path, known.get(f"{COPIES}/{path.name}", name))
    for dataset in sorted({_parse(folder).dataset for folder in study.runs}):
        _add_file(crate, root, root / dataset / "folds.json", f"Folds of {dataset}")
    for folder in study.runs:
        for part in (folder, *sorted(folder.glob("member-*"))):
            for name in TRAINED:
                _add_file(crate, root, part / name, f"{name} of {_run_of(part)}")
        _add_file(crate, root, folder / "scores.parquet", f"Scores of {_run_of(folder)}")
        _add_samples(crate, root, folder / "samples.zarr")


def _add_file(crate: ROCrate, root: Path, path: Path, name: str) -> None:
    if path.is_file():
        crate.add_file(path, _inside(root, path), properties={"name": name, **_content(path)})


def _content(path: Path) -> dict[str, str]:
    return {
        "sha256": sha256(path),
        "contentSize": str(path.stat().st_size),
        "encodingFormat": _FORMATS[path.suffix],
    }


def _add_samples(crate: ROCrate, root: Path, path: Path) -> None:
    if not path.is_dir():
        return
    place = _inside(root, path)
    try:
        group, _, digest = open_sealed(path, KIND, SampleAttributes)
    except ProbunetError:  # the report tells it
        return
    files: Any = group.attrs["files"]
    seal = _add(
        crate,
        f"#digest-{place}",
        "PropertyValue",
        name="digest of the store's seal: of the size and the sha256 of each file inside",
        propertyID="sha256",
        value=digest,
    )
    crate.add_dataset(
        path,
        place,
        properties={
            "name": f"Samples of {_run_of(path.parent)}",
            "identifier": {"@id": seal.id},
            "contentSize": str(sum(size for size, _ in files.values())),
        },
    )


def _drawn_with(crate: ROCrate, study: Study, root: Path) -> dict[str, list[str]]:
    """Return by run the files of weights whose hash its samples name, one of each training.

    The best weights and the last ones are the same file twice if the last are the best.
    """
    weights = {}
    for folder in study.runs:
        try:
            _, samples, _ = open_sealed(folder / "samples.zarr", KIND, SampleAttributes)
        except ProbunetError:
            continue
        used = []
        for part in (folder, *sorted(folder.glob("member-*"))):
            ids = [_inside(root, part / name) for name in TRAINED]
            found = [entity for name in ids if (entity := crate.get(name)) is not None]
            used += [item.id for item in found if item["sha256"] in samples.weights_sha256][:1]
        weights[_run_of(folder)] = used
    return weights


@dataclass(frozen=True)
class _StepActions:
    """A step of the workflow, and the actions of its tries."""

    step: Step
    command: str
    tools: list[Entity]
    actions: list[Entity]


def _add_step(crate: ROCrate, step: Step, made: Made, links: _Links) -> _StepActions:
    """Add an action for each try of a step; or one, without times, if no log tells of any."""
    objects, results = ([crate.get(name) for name in names] for names in links.of(step))
    objects = [entity for entity in objects if entity is not None]
    results = [entity for entity in results if entity is not None]
    command = step.tries[-1].command if step.tries else _command(step)
    if not step.tries:
        tool = _add_tool(crate, command, None)
        action = _add(
            crate,
            f"#{step.verb}-{step.name}",
            "CreateAction",
            name=f"probunet {command}: {step.name}",
            description=f"No record of it: {step.log.as_posix()} is not there or tells of no job.",
            instrument=tool,
            object=objects,
            result=results,
        )
        return _StepActions(step, command, [tool], [action])
    tools, actions = [], []
    for job in step.tries:
        tools.append(_add_tool(crate, job.command, job))
        actions.append(_add_try(crate, step, job, tools[-1], made))
        _set(actions[-1], "object", objects)
        if job is step.made_by or _is_running(step, job):
            _set(actions[-1], "result", results)
    return _StepActions(step, command, tools, actions)


def _add_try(crate: ROCrate, step: Step, job: Job, tool: Entity, made: Made) -> Entity:
    """Add one try of a step: when, where, how it ended and what it took."""
    at = f"#{job.id}"
    usage = [
        _add_usage(crate, at, name, getattr(job, name), unit, "probunet job")
        for name, unit in _RECORDED.items()
        if getattr(job, name) is not None
    ]
    if job is step.made_by:
        usage += [
            _add_usage(crate, at, name, step.benchmark[name], unit, "snakemake benchmark")
            for name, unit in _BENCHMARK.items()
            if step.benchmark.get(name, "-") not in ("-", "NA", "")
        ]
    slurm = [
        _add(crate, f"{at}-{name}", "PropertyValue", name=name, value=value)
        for name, value in job.slurm.items()
    ]
    properties: dict[str, Any] = {
        "name": f"probunet {job.command}: {step.name}",
        "description": f"On {job.host}; its log is {step.log.as_posix()}.",
        "instrument": tool,
        "startTime": job.started,
        "location": job.host,
        "resourceUsage": usage,
        "environment": slurm,
    }
    if job.container is not None:
        properties["containerImage"] = _add_image(crate, job, made)
    if job.ended is not None:
        properties["endTime"] = job.ended
    if job.succeeded:
        properties["actionStatus"] = "http://schema.org/CompletedActionStatus"
    elif _is_running(step, job):
        properties["description"] += " It wrote this crate, and had not ended then."
    else:
        properties["actionStatus"] = "http://schema.org/FailedActionStatus"
        properties["error"] = (
            "It was killed: its log has no last line."
            if job.exit_code is None
            else "Exit code 75: stopped early and saved itself."
            if job.exit_code == 75
            else f"Exit code {job.exit_code}."
        )
    return _add(crate, at, "CreateAction", **properties)


def _add_tool(crate: ROCrate, command: str, job: Job | None) -> Entity:
    """Add a command of this package, of one commit and with certain packages."""
    slug = f"#probunet-{command.replace(' ', '-')}"
    if job is None:
        return _add(
            crate,
            slug,
            "SoftwareApplication",
            name=f"probunet {command}",
            description="Of which version is not known.",
        )
    packages = [_add_package(crate, *package) for package in job.versions.items()]
    variant = json.dumps([job.version, job.commit, job.versions], sort_keys=True)
    return _add(
        crate,
        f"{slug}-{hashlib.sha256(variant.encode()).hexdigest()[:8]}",
        "SoftwareApplication",
        name=f"probunet {command}",
        softwareVersion=f"{job.version}, commit {job.commit or 'unknown'}",
        softwareRequirements=packages,
    )


def _add_package(crate: ROCrate, name: str, number: str) -> Entity:
    # a package URL: https://github.com/package-url/purl-spec
    kind = "generic" if name == "python" else "pypi"
    identifier = f"pkg:{kind}/{name}@{quote(number)}"
    return _add(crate, identifier, "SoftwareApplication", name=name, softwareVersion=number)


def _add_image(crate: ROCrate, job: Job, made: Made) -> Entity:
    """Add the image that a job ran in, with its hash if a record of that very image is there."""
    name, record = Path(job.container or "").name, made.image_of(job)
    properties = {
        "name": name,
        "additionalType": {"@id": f"{_TERMS}#SIFImage"},
        "registry": "none: a file",
    }
    if record is None:
        properties["description"] = f"Has no record; holds commit {job.commit or 'unknown'}."
        return _add(crate, f"#image-{name}-{job.commit}", "ContainerImage", **properties)
    properties["sha256"] = record.sha256
    properties["dateCreated"] = record.built
    properties["subjectOf"] = crate.get(f"{COPIES}/image-{record.kind}.json")
    return _add(crate, f"#image-{name}-{record.sha256[:12]}", "ContainerImage", **properties)


def _add_usage(
    crate: ROCrate, at: str, name: str, value: object, unit: str | None, by: str
) -> Entity:
    properties = {"name": f"{name} ({by})", "propertyID": f"{by}: {name}", "value": str(value)}
    if unit is not None:
        properties["unitCode"] = f"https://qudt.org/vocab/unit/{unit}"
    return _add(crate, f"{at}-{by.split()[0]}-{name}", "PropertyValue", **properties)


def _add_run(
    crate: ROCrate,
    study: Study,
    workflow: ComputationalWorkflow,
    done: Sequence[_StepActions],
) -> None:
    """Add the workflow's steps, and its run as the sum of their actions."""
    how = {command: position for position, command in enumerate(_in_order(done), start=1)}
    steps = {
        command: _add(
            crate,
            f"#step-{command.replace(' ', '-')}",
            "HowToStep",
            name=command,
            position=str(position),
            workExample=_unique(
                tool for one in done if one.command == command for tool in one.tools
            ),
        )
        for command, position in how.items()
    }
    workflow["hasPart"] = _unique(tool for one in done for tool in one.tools)
    workflow["step"] = list(steps.values())
    controls = [
        _add(
            crate,
            f"#control-{one.step.verb}-{one.step.name}",
            "ControlAction",
            name=f"{one.step.verb} {one.step.name}",
            instrument=steps[one.command],
            object=one.actions,
        )
        for one in done
    ]
    begun = [job.started for one in done for job in one.step.tries]
    times = {"startTime": min(begun)} if begun else {}
    inputs = [f"{COPIES}/config.json", *(f"{COPIES}/{path.name}" for path in study.manifests)]
    outputs = [*(path.name for path in study.tables), study.report.name]
    run = _add(
        crate,
        "#run",
        "CreateAction",
        name=f"Run of the workflow: {study.title}",
        description="snakemake; the steps are actions of their own, failed tries among them.",
        instrument=workflow,
        object=[entity for name in inputs if (entity := crate.get(name)) is not None],
        result=[entity for name in outputs if (entity := crate.get(name)) is not None],
        endTime=_now(),
        **times,
    )
    engine = _add(
        crate,
        "https://snakemake.github.io/",
        "SoftwareApplication",
        name="Snakemake",
        softwareVersion=study.engine,
        url="https://snakemake.github.io/",
    )
    organised = _add(
        crate,
        "#organize",
        "OrganizeAction",
        name="Run of Snakemake",
        instrument=engine,
        object=controls,
        result=run,
        endTime=_now(),
        **times,
    )
    every = [run, organised, *(action for one in done for action in one.actions)]
    crate.root_dataset["mentions"] = every


def _add(crate: ROCrate, at: str, kind: str, **properties: Any) -> Entity:
    """Add an entity, without its empty properties; or return the one of that id."""
    if (found := crate.get(at)) is not None:
        return found
    entity = crate.add(ContextEntity(crate, at, properties={"@type": kind}))
    for name, value in properties.items():
        _set(entity, name, value)
    return entity


def _set(entity: Entity, name: str, value: Any) -> None:
    """Set a property unless it is empty; a list of one is written as that one."""
    if value not in (None, [], ""):
        entity[name] = value[0] if isinstance(value, list) and len(value) == 1 else value


def _in_order(done: Sequence[_StepActions]) -> list[str]:
    """Return the commands so that each stands behind those whose results it needs."""
    verbs = ["fetch", "prepare", "train", "sample", "score", "report"]
    late = {"join": 1, "table": 1, "folds": 2}
    commands = {one.command: one.step.verb for one in done}
    return sorted(
        commands,
        key=lambda command: (verbs.index(commands[command]), late.get(command.split()[-1], 0)),
    )


def _command(step: Step) -> str:
    """Return the command of a step by the name of its log."""
    if step.verb == "fetch":
        return f"fetch {step.name.split('.')[0]}"
    if step.verb == "prepare":
        return f"prepare {'folds' if step.name.endswith('.folds') else step.name.split('.')[0]}"
    if step.verb == "score":
        return f"score {'table' if step.name == 'table' else 'run'}"
    return step.verb


def _is_running(step: Step, job: Job) -> bool:
    """Return whether this is the job that writes the crate: the log of others has an end."""
    return step.verb == "report" and job is step.tries[-1] and job.ended is None


def _inside(root: Path, path: Path) -> str:
    """Return a file's place in the crate."""
    try:
        return path.resolve().relative_to(root.resolve()).as_posix()
    except ValueError:
        raise ProbunetError(
            f"{path}: lies outside {root}, the folder that the crate describes; "
            f"write {FILE} into the folder of all results."
        ) from None


def _parse(folder: Path) -> Run:
    return Run.parse(folder.resolve().as_posix())


def _run_of(folder: Path) -> str:
    return _parse(folder).folder


def _unique(entities: Any) -> list[Entity]:
    return list({entity.id: entity for entity in entities}.values())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
