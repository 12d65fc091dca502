"""A whole study writes how it was made, and deleted logs repeat nothing."""

import json
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from probunet.files import sha256
from support.studies import ROOT, snakemake

from .conftest import SECRET

COMMANDS = {
    **dict.fromkeys(("fetch", "prepare", "folds"), 2),
    "train": 2 * (2 + 1 + 2) + (2 + 2),
    **dict.fromkeys(("sample", "score run"), 2 * (2 + 1 + 2) + (1 + 2)),
    **dict.fromkeys(("score table", "report"), 1),
}


@pytest.mark.slow
def test_each_job_is_an_action_with_its_results_and_cost(whole: Path) -> None:
    results = whole / "results"
    crate = ROCrate(results)
    actions = [one for one in crate.get_by_type("CreateAction") if one.id != "#run"]
    found = Counter(one["name"].split(":")[0].removeprefix("probunet ") for one in actions)
    assert found == COMMANDS
    for one in actions:
        assert one.get("result"), one["name"]
        assert one["instrument"]["softwareVersion"].startswith("0.")
        if one["name"].startswith("probunet report"):
            continue
        begun, ended = (datetime.fromisoformat(one[name]) for name in ("startTime", "endTime"))
        assert begun <= ended
        assert one["actionStatus"].endswith("/CompletedActionStatus")
        measured = {
            usage["name"]: float(usage["value"])
            for usage in one["resourceUsage"]
            if usage["name"].split(" ")[0]
            not in ("gpu", "precision", "device", "capability", "data")
        }
        assert measured["max_rss_mb (probunet job)"] > 10
        assert measured["seconds (probunet job)"] <= measured["s (snakemake benchmark)"] + 1
    sampled = [one for one in actions if one["name"].startswith("probunet sample")]
    weights = Counter(
        sum(item.id.endswith(".pt") for item in one["object"]) for one in sampled
    )  # an ensemble is sampled from both of its members
    assert weights == {1: len(sampled) - 1, 2: 1}
    for entity in crate.data_entities:
        if entity.get("sha256"):
            assert sha256(results / entity.id) == entity["sha256"], entity.id
    assert (results / "provenance/Snakefile").read_bytes() == (ROOT / "Snakefile").read_bytes()
    assert json.loads((results / "provenance/config.json").read_text())["folds"] == 2
    assert "How this was made" in (results / "report.html").read_text()


@pytest.mark.slow
def test_no_file_of_a_study_contains_a_password(whole: Path) -> None:
    for path in whole.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.slow
def test_logs_and_benchmarks_are_no_inputs(copied: Path) -> None:
    for log in [*(copied / "logs").rglob("*.log"), *(copied / "benchmarks").rglob("*.tsv")]:
        log.unlink()
    done = snakemake("-n", "--directory", copied, "--configfile", copied / "mine.yaml")
    assert "Nothing to be done" in done.stdout + done.stderr
