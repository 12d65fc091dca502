"""The command: a user's mistake is one line, and what it prints without making anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import probunet, settings_of

SAMPLE = Path(__file__).parents[2] / "shared/lidc-sample"
FETCH = ["fetch", "--dataset", "lidc", "--settings", settings_of("lidc", source="phantom")]
INTO = ["--manifest", "m", "--folder", "f"]
PREPARE = ["prepare", *FETCH[1:]]
IDC = [*FETCH[:4], settings_of("lidc", source="idc"), *INTO]
STREETS = ["fetch", "--dataset", "cityscapes", "--settings"]
OFFICIAL = [*STREETS, settings_of("cityscapes", source="official")]
DRAWN = [*STREETS, settings_of("cityscapes", source="phantom"), *INTO]
MINE = ["fetch", "--dataset", "mine", "--settings"]
MINE += [settings_of("mine", source="folder", path="here"), *INTO]
REPORT = ["report", "lidc/unet/beta-1/fold-0/seed-0", "--scores", "s", "--summary", "s"]
REPORT += ["--comparison", "c", "--store", "absent", "--output", "o"]
FOLDS = ["folds", *FETCH[1:], "--store", "absent", "--output", "f"]


def test_verbs_are_listed_in_their_order():
    shown = probunet("--help").stdout
    verbs = ["fetch", "prepare", "folds", "train", "sample", "score", "report"]
    places = [shown.index(f" {verb} ") for verb in verbs]
    assert places == sorted(places)


def test_help_is_quick_to_import():
    code = "import sys; heavy = {'torch', 'dask', 'pydicom', 'zarr'}; import probunet.cli"
    command = [sys.executable, "-c", f"{code}; print(heavy & set(sys.modules))"]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.parametrize(("chosen", "used"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "x"}, "x")])
def test_threads_wait_passively_unless_the_user_says_otherwise(chosen, used):
    code = """
import os, sys
from probunet import cli

def app():
    print(os.environ["OMP_WAIT_POLICY"], "torch" in sys.modules)

cli._command, cli.app = lambda _: None, app
cli.main()
"""
    clean = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=clean | chosen)
    assert done.stdout.split() == [used, "False"], done.stderr


def test_count_prints_the_acceptance_figures():
    done = probunet("prepare", "--dataset", "lidc", "--count")
    assert done.returncode == 0
    for figure in ("15,798", "4,883", "2,849", "2,820", "5,168", "78", "875", "883"):
        assert figure in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (PREPARE, "--output is missing; add it to the command"),
        ([*PREPARE, "--output", "o"], "--manifest is missing"),
        ([*PREPARE, "--manifest", "absent", "--output", "o"], "no such manifest"),
        ([*FETCH, "--folder", "f"], "--manifest is missing"),
        ([*FETCH[:3], *INTO], "--settings: has no section datasets.lidc; add it, or"),
        (["fetch", "--dataset", "lidc", "--verify", "absent"], "absent: no such folder"),
        ([*IDC, "--part", "1"], "--part and --parts must be set together"),
        ([*IDC, "--part", "2", "--parts", "2"], "with --part below --parts"),
        ([*IDC, "--connections", "0"], "fetch: connections: Input should be greater than"),
        ([*IDC, "--join", "absent"], "absent: no such manifest"),
        # what is fetched whole has no parts
        (
            [*FETCH, *INTO, "--part", "0", "--parts", "2"],
            "lidc, source: phantom: is not fetched in",
        ),
        ([*DRAWN, "--part", "0", "--parts", "2"], "cityscapes: is not fetched in parts"),
        ([*MINE, "--part", "0", "--parts", "2"], "mine: is not fetched in parts; leave out --part"),
        ([*DRAWN, "--join", "m"], "cityscapes: is not fetched in parts; leave out --join"),
        ([*MINE, "--verify", "here"], "mine: a copy of it cannot be checked"),
        (["prepare", "--dataset", "mine", "--count"], "mine: the number of images is known only"),
        ([*OFFICIAL, *INTO, "--check-access"], "set CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD"),
        ([*FETCH[:2], "mine", *FETCH[3:]], "datasets` has no mine, which --dataset asks for; it n"),
        ([*FETCH[:4], settings_of("lidc", endpoint_url="s3.example.org")], "is not an address of"),
        ([*FETCH, *INTO, "--details"], "--details: belongs to --verify; add that option or"),
        (FOLDS, "absent: no such store"),
        (REPORT, "s: no such table; run `probunet score table` first"),
        ([*REPORT, "--settings", "{folds: 4"], "--settings: not JSON"),
        ([*REPORT, "--settings", "absent.yaml"], "absent.yaml: no such file"),
        (
            ["image", "data", "--output", "o", "--argument", "base"],
            "base: must have the form name=value.",
        ),
    ],
)
def test_a_users_mistake_is_one_line_and_no_traceback(arguments, message, tmp_path, monkeypatch):
    monkeypatch.delenv("CITYSCAPES_USERNAME", raising=False)
    done = probunet(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    first, told, last = done.stderr.splitlines()
    assert told.startswith("probunet: ")
    assert message in told
    assert first.startswith("job {")
    assert last.startswith("job {")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dataset", ["lidc", "cityscapes"])
def test_a_secret_in_an_address_is_refused_and_not_repeated(dataset):
    section = settings_of(dataset, endpoint_url="https://me:s3cret@example.org")
    done = probunet("fetch", "--dataset", dataset, "--settings", section, *INTO)
    assert done.returncode == 1
    assert f"datasets.{dataset}.endpoint_url: contains a user name or password" in done.stderr
    assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("section", "lines"),
    [
        (
            {"source": "idc"},
            [
                "LIDC-IDRI from https://s3.amazonaws.com/idc-open-data: 883 series of 875 patients",
                "  headers to read: 215,912 of 4096 bytes each, 0.88 GB",
                "  slices to get: 14,627 of 14,627, 7.70 GB",
            ],
        ),
        (
            {"patients": 2, "slices": "all", "bucket": "b", "endpoint_url": "http://h:9"},
            ["LIDC-IDRI from http://h:9/b: 2 series of 2 patients", "  headers to read: 0 of"],
        ),
        ({"source": "phantom"}, ["LIDC-IDRI, source: phantom: nothing is downloaded"]),
    ],
)
def test_the_plan_says_what_would_be_downloaded_and_writes_nothing(tmp_path, section, lines):
    words = [*FETCH[:4], settings_of("lidc", **section), "--plan", "--folder", tmp_path / "raw"]
    done = probunet(*words)
    assert done.returncode == 0, done.stderr
    for line in lines:
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_settings_can_be_a_whole_configuration(tmp_path):
    """Of which a command takes the data set's section, and what is different for the data set."""
    (tmp_path / "mine.yaml").write_text(
        "datasets: {lidc: {source: idc, patients: 2}, cityscapes: {source: phantom}}\nfolds: 2\n"
    )
    words = [*FETCH[:4], "mine.yaml", "--plan", "--folder", "raw"]
    assert ": 2 series of 2 patients" in probunet(*words, cwd=tmp_path).stdout
    words[2] = "mine"
    assert "`datasets` has no mine" in probunet(*words, cwd=tmp_path).stderr


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no real sample at {SAMPLE}")
def test_verify_says_what_is_missing_and_fails():
    done = probunet("fetch", "--dataset", "lidc", "--verify", SAMPLE / "LIDC-IDRI-0001")
    assert done.returncode == 1
    _, *lines, last, _ = done.stderr.splitlines()
    assert len(lines) < 50
    assert last.endswith("14,618 of 14,627 slices with outlines are missing or not usable.")
    for words in ("14,618 of 14,627 slices with outlines are missing or not usable.",
                  "9 of 14,627; complete are 1 of 883 series, 1 of 875 patients"):  # fmt: skip
        assert words in done.stdout + done.stderr


def test_a_fetch_starts_no_more_processes_than_it_may(tmp_path, monkeypatch):
    """As the rule's threads say, whatever the machine has."""
    from probunet import cli, workers
    from probunet.datasets import DataSet

    found = []
    monkeypatch.setattr(DataSet, "verify", lambda *_: found.append(workers.usable_processors()))
    monkeypatch.setattr(workers, "_most", None)
    cli.fetch("mine", workers=2, verify=tmp_path)
    assert found == [2]


def test_a_score_uses_no_more_threads_than_it_may(tmp_path, monkeypatch):
    from probunet import cli, workers
    from probunet.score import run

    found = []
    monkeypatch.setattr(run, "score_run", lambda *_: found.append(workers.usable_processors()))
    monkeypatch.setattr(workers, "_most", None)
    cli.score_run("lidc", tmp_path, tmp_path, tmp_path, threads=3)
    assert found == [3]
