"""A whole study writes how it was made, and nothing is made again for it."""

import json
from datetime import datetime
from pathlib import Path

import pytest
from rocrate.rocrate import ROCrate

from probunet.files import sha256

from .test_dry_run import ROOT, snakemake
from .test_end_to_end import study


@pytest.mark.slow
def test_a_study_tells_of_each_job_and_its_logs_are_no_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYSCAPES_PASSWORD", "s3cret-p4ss/w%rd")
    phantom = {"lidc": {"source": "phantom", "patients": 4}}
    models = {"models": ["unet_ensemble"], "unet_ensemble": {"members": 2}}
    results = study(tmp_path, phantom, **models)

    crate = ROCrate(results)
    actions = [one for one in crate.get_by_type("CreateAction") if one.id != "#run"]
    commands = sorted(one["name"].split(":")[0] for one in actions)
    expected = {"fetch lidc": 1, "prepare lidc": 1, "prepare folds": 1, "train": 2 * 2}
    expected |= {"sample": 2, "score run": 2, "score table": 1, "report": 1}
    assert commands == sorted(
        f"probunet {name}" for name in expected for _ in range(expected[name])
    )
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
            if usage["name"] != "gpu"
        }
        assert measured["max_rss_mb (probunet job)"] > 10
        assert measured["seconds (probunet job)"] <= measured["s (snakemake benchmark)"] + 1
    for one in actions:  # what was trained is what was sampled
        if one["name"].startswith("probunet sample"):
            weights = [item for item in one["object"] if item.id.endswith(".pt")]
            assert len(weights) == 2
    for entity in crate.data_entities:
        if entity.get("sha256"):
            assert sha256(results / entity.id) == entity["sha256"], entity.id
    assert (results / "provenance/Snakefile").read_bytes() == (ROOT / "Snakefile").read_bytes()
    assert json.loads((results / "provenance/config.json").read_text())["folds"] == 2
    assert "How this was made" in (results / "report.html").read_text()

    for path in tmp_path.rglob("*"):
        assert not path.is_file() or b"s3cret-p4ss" not in path.read_bytes(), path

    for log in [*(tmp_path / "logs").rglob("*.log"), *(tmp_path / "benchmarks").rglob("*.tsv")]:
        log.unlink()
    planned = snakemake(
        "-n", "--cores", "2", "--directory", tmp_path, "--configfile", tmp_path / "mine.yaml"
    )
    assert "Nothing to be done" in planned.stdout + planned.stderr
