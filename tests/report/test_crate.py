import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.report import crate
from probunet.report.crate import Study, write_crate
from probunet.report.made import Made, read_made
from support.attributes import change_attributes
from support.report.logs import RUNS, all_logs, record, tries

Entities = dict[str, dict[str, Any]]


@pytest.fixture
def made_study(study: Any) -> Study:
    """A study with all files that a workflow leaves, and a log of each job."""
    folder = study.folder.parent
    (study.folder / "report.html").write_text("<html>")
    for run in study.runs:
        for name in ("weights.pt", "last.pt"):
            (run / name).write_text(f"{name} of {run}")
    (study.folder / "lidc/folds.json").write_text("[]")
    manifest = folder / "data/raw/lidc.manifest.json"
    manifest.parent.mkdir()
    manifest.write_text("{}")
    change_attributes(study.store, manifest_sha256=sha256(manifest))
    rules = folder / "workflow/rules"
    rules.mkdir(parents=True)
    (folder / "Snakefile").write_text("rule all:\n")
    (rules / "train.smk").write_text("rule train:\n")
    all_logs(folder / "logs", RUNS)
    return Study(
        title="A study",
        tables=[study.scores, study.summary, study.comparison],
        report=study.folder / "report.html",
        runs=study.runs,
        stores=[study.store],
        manifests=[manifest],
        config={"folds": 2},
        workflow=folder,
        engine="9.27.1",
    )


def read(study: Study) -> Made:
    folder = study.workflow
    return read_made(
        study.runs, study.config, folder / "logs", folder / "benchmarks", folder / "containers"
    )


def write(study: Study, made: Made | None = None) -> Entities:
    """Write a crate, and return its entities by their ids."""
    output = study.workflow / "results/ro-crate-metadata.json"
    write_crate(output, study, made or read(study))
    graph = json.loads(output.read_text())["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph)
    return {entity["@id"]: entity for entity in graph}


def of_type(entities: Entities, kind: str) -> list[dict[str, Any]]:
    return [entity for entity in entities.values() if kind in listed(entity["@type"])]


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def ids(value: Any) -> list[str]:
    return [item["@id"] for item in listed(value or [])]


def action(entities: Entities, name: str) -> dict[str, Any]:
    (found,) = [entity for entity in of_type(entities, "CreateAction") if entity["name"] == name]
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_crate_reads_back_and_its_files_are_there_with_their_hashes(made_study: Study) -> None:
    write(made_study)
    root = made_study.workflow / "results"
    found = ROCrate(root)
    assert found.mainEntity.id == "provenance/Snakefile"
    assert found.mainEntity["programmingLanguage"]["version"] == "9.27.1"
    assert found.version == "1.1"
    files = [entity for entity in found.data_entities if "File" in listed(entity.type)]
    for entity in files:
        path = root / entity.id
        assert entity["sha256"] == sha256(path)
        assert entity["contentSize"] == str(path.stat().st_size)
    names = {entity.id for entity in found.data_entities}
    own = {"report.html", "scores.csv", "summary.csv", "comparison.csv", "lidc/folds.json"}
    copies = ["Snakefile", "workflow/rules/train.smk", "config.json", "lidc.manifest.json"]
    of_runs = ["weights.pt", "last.pt", "training.jsonl", "scores.parquet", "samples.zarr/"]
    assert names == {
        *own,
        *(f"provenance/{name}" for name in copies),
        *(f"{run}/{name}" for run in RUNS for name in of_runs),
    }
    assert json.loads((root / "provenance/config.json").read_text()) == {"folds": 2}


def test_all_that_is_referred_to_is_described(made_study: Study) -> None:
    entities = write(made_study)
    for reference in references(list(entities.values())):
        assert reference in entities or reference.startswith("https://"), reference
    external = {name for name in references(list(entities.values())) if name not in entities}
    assert external == {
        "https://w3id.org/ro/crate/1.1",
        # terms, addresses
        "https://doi.org/10.1093/bioinformatics/bts480",
        "https://snakemake.readthedocs.io",
    }


def test_crate_conforms_to_provenance_run_crate(made_study: Study) -> None:
    """The requirements (MUST) of the profile's page, version 0.5."""
    entities = write(made_study)
    root, workflow = entities["./"], entities["provenance/Snakefile"]
    for profile in ("process", "workflow", "provenance"):
        assert f"https://w3id.org/ro/wfrun/{profile}/0.5" in ids(root["conformsTo"])
    assert {"name", "description", "datePublished", "license"} <= root.keys()
    assert set(workflow["@type"]) == {
        "File",
        "SoftwareSourceCode",
        "ComputationalWorkflow",
        "HowTo",
    }
    steps, tools = ids(workflow["step"]), ids(workflow["hasPart"])
    for control in of_type(entities, "ControlAction"):
        assert ids(control["instrument"])[0] in steps
        assert {entities[name]["@type"] for name in ids(control["object"])} == {"CreateAction"}
    for step in steps:
        assert set(ids(entities[step]["workExample"])) <= set(tools)
    (organised,) = of_type(entities, "OrganizeAction")
    assert ids(organised["result"]) == ["#run"]
    assert set(ids(organised["object"])) == {
        control["@id"] for control in of_type(entities, "ControlAction")
    }
    actions = of_type(entities, "CreateAction")
    assert set(ids(root["mentions"])) == {"#organize", *(one["@id"] for one in actions)}
    for one in actions:
        expected = ["provenance/Snakefile"] if one["@id"] == "#run" else tools
        assert ids(one["instrument"])[0] in expected


def test_each_step_names_what_it_read_and_made(made_study: Study) -> None:
    entities = write(made_study)
    run = RUNS[0]
    train = action(entities, f"probunet train: {run}")
    assert ids(train["object"]) == ["#store-lidc", "lidc/folds.json"]
    assert ids(train["result"]) == [
        f"{run}/{name}" for name in ("weights.pt", "last.pt", "training.jsonl")
    ]
    table = action(entities, "probunet score table: table")
    assert ids(table["object"]) == [f"{name}/scores.parquet" for name in RUNS]
    assert ids(table["result"]) == ["scores.csv", "summary.csv", "comparison.csv"]
    prepare = action(entities, "probunet prepare: lidc")
    assert ids(prepare["object"]) == ["provenance/lidc.manifest.json"]
    assert ids(prepare["result"]) == ["#store-lidc"]
    assert ids(action(entities, "probunet folds: lidc.folds")["result"]) == ["lidc/folds.json"]
    assert ids(entities["#run"]["result"]) == [
        "scores.csv",
        "summary.csv",
        "comparison.csv",
        "report.html",
    ]


def test_samples_are_linked_to_the_weights_whose_hash_they_name(made_study: Study) -> None:
    run = made_study.runs[0]
    change_attributes(run / "samples.zarr", weights_sha256=[sha256(run / "last.pt")])
    entities = write(made_study)
    used = ids(action(entities, f"probunet sample: {RUNS[0]}")["object"])
    assert used == ["#store-lidc", "lidc/folds.json", f"{RUNS[0]}/last.pt"]
    # the other runs' samples were drawn with weights that are not there any more
    used = ids(action(entities, f"probunet sample: {RUNS[1]}")["object"])
    assert used == ["#store-lidc", "lidc/folds.json"]


def test_every_try_is_an_action_and_the_good_one_made_the_results(made_study: Study) -> None:
    log = made_study.workflow / f"logs/train/{RUNS[0]}.log"
    tries(
        log,
        {"command": "train", "exit_code": 75, "slurm": {"SLURM_JOB_ID": "41"}},
        {"command": "train", "exit_code": None},
        {"command": "train", "exit_code": 1},
        {
            "command": "train",
            "slurm": {"SLURM_JOB_ID": "44"},
            "gpu": "A GPU",
            "threads": 4,
            "precision": "bfloat16",
            "device": "A GPU",
            "capability": "9.0",
        },
    )
    benchmark = made_study.workflow / f"benchmarks/train/{RUNS[0]}.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.write_text("s\tmax_rss\tio_in\n31.0\t600.5\t-\n")
    entities = write(made_study)
    actions = [
        one
        for one in of_type(entities, "CreateAction")
        if one["name"] == f"probunet train: {RUNS[0]}"
    ]
    assert [one.get("error", "") for one in actions] == [
        "Exit code 75: stopped early and saved itself.",
        "It was killed: its log has no last line.",
        "Exit code 1.",
        "",
    ]
    assert [one["actionStatus"].rsplit("/")[-1] for one in actions] == [
        "FailedActionStatus",
        "FailedActionStatus",
        "FailedActionStatus",
        "CompletedActionStatus",
    ]
    assert ["result" in one for one in actions] == [False, False, False, True]
    assert ["endTime" in one for one in actions] == [True, False, True, True]
    assert [entities[name]["value"] for one in actions for name in ids(one.get("environment"))] == [
        "41",
        "44",
    ]
    assert actions[-1]["location"] == "node1"
    usage = {
        entities[name]["name"]: (entities[name]["value"], entities[name].get("unitCode"))
        for name in ids(actions[-1]["resourceUsage"])
    }
    unit = "https://qudt.org/vocab/unit/"
    assert usage == {
        "seconds (probunet job)": ("30.5", f"{unit}SEC"),
        "max_rss_mb (probunet job)": ("512.0", f"{unit}MebiBYTE"),
        "children_max_rss_mb (probunet job)": ("12.0", f"{unit}MebiBYTE"),
        "threads (probunet job)": ("4", None),
        "gpu (probunet job)": ("A GPU", None),
        "precision (probunet job)": ("bfloat16", None),
        "device (probunet job)": ("A GPU", None),
        "capability (probunet job)": ("9.0", None),
        "s (snakemake benchmark)": ("31.0", f"{unit}SEC"),
        "max_rss (snakemake benchmark)": ("600.5", f"{unit}MebiBYTE"),
    }
    control = entities[f"#control-train-{RUNS[0]}"]
    assert ids(control["object"]) == [one["@id"] for one in actions]


def test_tools_differ_by_commit_and_packages(made_study: Study) -> None:
    logs = made_study.workflow / "logs/sample"
    tries(logs / f"{RUNS[0]}.log", {"command": "sample", "commit": "older-dirty"})
    tries(
        logs / f"{RUNS[1]}.log",
        {"command": "sample", "versions": {"python": "3.12.1", "torch": "2.13.0+cpu"}},
    )
    entities = write(made_study)
    tools = [
        entities[ids(action(entities, f"probunet sample: {run}")["instrument"])[0]] for run in RUNS
    ]
    assert [tool["softwareVersion"] for tool in tools] == [
        "0.1.0, commit older-dirty",
        *["0.1.0, commit c0ffee"] * 3,
    ]
    assert tools[2]["@id"] == tools[3]["@id"] != tools[1]["@id"]
    assert ids(entities["#step-sample"]["workExample"]) == [tool["@id"] for tool in tools[:3]]
    packages = [entities[name] for name in ids(tools[1]["softwareRequirements"])]
    assert [(one["name"], one["softwareVersion"]) for one in packages] == [
        ("python", "3.12.1"),
        ("torch", "2.13.0+cpu"),
    ]


def test_report_is_made_by_the_job_that_has_not_ended(made_study: Study) -> None:
    entities = write(made_study)
    own = action(entities, "probunet report: report")
    assert ids(own["result"]) == ["report.html"]
    assert "actionStatus" not in own
    assert "endTime" not in own
    assert "had not ended then" in own["description"]


def test_steps_stand_in_the_order_of_what_they_need(made_study: Study) -> None:
    entities = write(made_study)
    positions = {step["name"]: int(step["position"]) for step in of_type(entities, "HowToStep")}
    assert sorted(positions, key=positions.__getitem__) == [
        "fetch",
        "prepare",
        "folds",
        "train",
        "sample",
        "score run",
        "score table",
        "report",
    ]


def test_absent_logs_and_manifests_are_told_and_not_fatal(made_study: Study) -> None:
    logs = made_study.workflow / "logs"
    complete = write(made_study)
    assert "Steps without a record" not in complete["./"]["description"]
    (logs / "fetch/lidc.log").unlink()
    (logs / f"train/{RUNS[0]}.log").write_text("a log of an older version\n")
    made_study.manifests[0].unlink()
    entities = write(made_study)
    told = entities["./"]["description"]
    assert "Steps without a record, because their log is missing: " in told
    assert "logs/fetch/lidc.log" in told
    unknown = action(entities, f"probunet train: {RUNS[0]}")
    assert "startTime" not in unknown
    assert "No record: " in unknown["description"]
    assert f"{RUNS[0]}/weights.pt" in ids(unknown["result"])
    assert "provenance/lidc.manifest.json" not in entities
    assert "object" not in action(entities, "probunet fetch: lidc")


def test_manifest_of_other_data_is_left_out_and_told(made_study: Study) -> None:
    made_study.manifests[0].write_text("fetched again since")
    entities = write(made_study)
    assert "provenance/lidc.manifest.json" not in entities
    assert "not what the store was made from" in entities["./"]["description"]
    assert "object" not in action(entities, "probunet prepare: lidc")


def test_containers_are_named_with_their_hash_if_recorded(made_study: Study) -> None:
    entities = write(made_study)
    assert "The logs name no container." in entities["./"]["description"]
    all_logs(made_study.workflow / "logs", RUNS, container="/elsewhere/torch.sif")
    images = {"torch": record("torch"), "data": record("data")}
    entities = write(made_study, replace(read(made_study), images=images))
    told = "16 of 17 recorded tries of jobs ran in a container: torch.sif."
    assert told in entities["./"]["description"]
    (image,) = of_type(entities, "ContainerImage")
    assert image["sha256"] == record("torch").sha256
    used = action(entities, f"probunet train: {RUNS[0]}")["containerImage"]
    assert ids(used) == [image["@id"]]
    # the whole record is in the crate, and none of an image that was not used
    copied = made_study.workflow / "results" / ids(image["subjectOf"])[0]
    assert json.loads(copied.read_text())["lock_sha256"] == record("torch").lock_sha256
    assert not (copied.parent / "image-data.json").exists()
    assert "/elsewhere" not in json.dumps(entities)


def test_image_that_was_built_again_since_has_no_hash(made_study: Study) -> None:
    all_logs(made_study.workflow / "logs", RUNS, container="/images/torch.sif", commit="older")
    entities = write(made_study, replace(read(made_study), images={"torch": record("torch")}))
    (image,) = of_type(entities, "ContainerImage")
    assert "sha256" not in image
    assert image["description"] == "Has no record; holds commit older."


def test_stores_stand_by_their_seal_and_are_not_read(
    made_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []

    def noted(path: Path) -> str:
        hashed.append(path)
        return sha256(path)

    monkeypatch.setattr(crate, "sha256", noted)
    entities = write(made_study)
    assert hashed
    assert not any(part.suffix == ".zarr" for path in hashed for part in path.parents)
    digest = open_data(made_study.stores[0]).digest
    assert entities[ids(entities["#store-lidc"]["identifier"])[0]]["value"] == digest
    samples = entities[f"{RUNS[0]}/samples.zarr/"]
    assert len(entities[ids(samples["identifier"])[0]]["value"]) == 64
    assert sha256(made_study.manifests[0]) in entities["#store-lidc"]["description"]


def test_truncated_samples_are_left_out_as_the_report_tells(made_study: Study) -> None:
    run = made_study.runs[0]
    next(path for path in (run / "samples.zarr/samples/c").rglob("*") if path.is_file()).unlink()
    entities = write(made_study)
    assert f"{RUNS[0]}/samples.zarr/" not in entities
    assert f"{RUNS[1]}/samples.zarr/" in entities


def test_synthetic_data_are_told(made_study: Study) -> None:
    assert "Synthetic data" in write(made_study)["./"]["description"]


def test_workflow_out_of_reach_is_told_with_what_to_do(made_study: Study) -> None:
    study = replace(made_study, workflow=made_study.workflow / "absent")
    output = made_study.workflow / "results/ro-crate-metadata.json"
    with pytest.raises(ProbunetError, match=r"absent/Snakefile: cannot be read.*--bind"):
        write_crate(output, study, read(made_study))
    assert not output.exists()
    assert not (output.parent / "provenance").exists()


def test_result_outside_the_crate_is_refused(made_study: Study, tmp_path: Path) -> None:
    outside = tmp_path / "report.html"
    outside.touch()
    with pytest.raises(ProbunetError, match=r"report\.html: is outside .*results"):
        write(replace(made_study, report=outside))


def test_entities_are_not_looked_for_among_all_others(
    made_study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    searches: list[ROCrate] = []
    monkeypatch.setattr(
        ROCrate, "subcrate_entities", property(lambda crate: searches.append(crate) or [])
    )
    entities = write(made_study)
    assert len(searches) < 10 < 50 < len(entities)  # a few by rocrate itself, none for each entity
