"""Downloads as the workflow plans and makes them, from servers on this machine."""

import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from probunet.fetch.lidc_series import read_series
from probunet.manifest import Manifest
from probunet.outlines import read_lesions, read_scans

from ..fetch.servers.cityscapes import Site, cityscapes_site
from ..fetch.servers.s3 import lay_series, s3_server
from ..fetch.test_cityscapes import write_scene
from .test_dry_run import dry_run, snakemake

NOWHERE = "http://127.0.0.1:9"  # the port of discard: nothing listens
IDC = {"lidc": {"source": "idc", "endpoint_url": NOWHERE}}
STREETS = {"cityscapes": {"source": "official", "endpoint_url": NOWHERE}}
MANIFEST = "data/raw/lidc.manifest.json"
SECRET = "s3cret-p4ss/w%rd"


def write(folder: Path, **keys: object) -> list[str | Path]:
    """Write a configuration, and return the arguments that all calls of Snakemake have here."""
    (folder / "mine.yaml").write_text(yaml.safe_dump({"folds": 2} | keys))
    return ["--cores", "2", "--directory", folder, "--configfile", folder / "mine.yaml"]


def told(folder: Path, *arguments: str | Path, **keys: object) -> str:
    """Return what a dry run prints."""
    done = snakemake("-n", *write(folder, **keys), *arguments)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout + done.stderr


def test_a_dry_run_prints_what_would_be_downloaded_without_a_network(tmp_path: Path) -> None:
    output = told(tmp_path, datasets=IDC)
    assert f"LIDC-IDRI from {NOWHERE}/idc-open-data: 883 series of 875 patients" in output
    assert "slices to get: 14,627 of 14,627" in output
    assert not (tmp_path / "data").exists()
    two = told(tmp_path, datasets={"lidc": IDC["lidc"] | {"patients": 2, "source": "tcia"}})
    assert f"LIDC-IDRI from {NOWHERE}: 2 series of 2 patients" in two

    (tmp_path / MANIFEST).parent.mkdir(parents=True)
    (tmp_path / MANIFEST).touch()
    assert "LIDC-IDRI from" not in told(tmp_path, datasets=IDC)
    assert "LIDC-IDRI from" not in told(tmp_path, datasets={"lidc": {"source": "phantom"}})


def test_a_dry_run_warns_of_credentials_that_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYSCAPES_USERNAME", "me")
    monkeypatch.delenv("CITYSCAPES_PASSWORD", raising=False)
    warning = "Cityscapes is downloaded with your account, and CITYSCAPES_PASSWORD stand"
    assert warning in told(tmp_path, datasets=STREETS)
    assert warning not in told(tmp_path, datasets={"cityscapes": {"source": "phantom"}})
    monkeypatch.setenv("CITYSCAPES_PASSWORD", SECRET)
    output = told(tmp_path, "-p", datasets=STREETS)
    assert "Cityscapes is downloaded" not in output
    assert SECRET not in output


@pytest.mark.parametrize("source", ["idc", "tcia"])
def test_several_jobs_fetch_shares_and_one_joins_them(tmp_path: Path, source: str) -> None:
    datasets = {"lidc": {"source": source}}
    once = dry_run(tmp_path, {"datasets": datasets})
    three = dry_run(tmp_path, {"datasets": datasets, "fetch": {"jobs": 3}})
    assert three == once | {"fetch_lidc_part": 3, "total": once["total"] + 3}
    local = {"datasets": {"lidc": {"source": "phantom"}}, "fetch": {"jobs": 3}}
    assert "fetch_lidc_part" not in dry_run(tmp_path, local)


@pytest.mark.parametrize(
    ("fetch", "datasets", "grouped"),
    [
        ({}, IDC | STREETS, False),
        ({"here": False}, IDC | STREETS, True),
        ({}, {"lidc": {"source": "phantom"}, "cityscapes": {"source": "phantom"}}, True),
    ],
)
def test_what_is_fetched_here_shares_no_job_with_prepare(
    tmp_path: Path, fetch: object, datasets: object, grouped: bool
) -> None:
    output = told(tmp_path, datasets=datasets, fetch=fetch)
    for dataset in ("lidc", "cityscapes"):  # what is in a group is indented
        assert (f"\n    rule fetch_{dataset}:" in output) == grouped
        assert (f"\nrule fetch_{dataset}:" in output) != grouped


def test_shares_are_fetched_on_nodes_of_their_own(tmp_path: Path) -> None:
    output = told(tmp_path, datasets=IDC, fetch={"here": False, "jobs": 2})
    assert output.count("\nrule fetch_lidc_part:") == 2
    assert output.count("\n    rule fetch_lidc:") == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with the first two patients' series, under the publisher's names."""
    folder = tmp_path_factory.mktemp("s3")
    rows, scans, lesions = read_series(), read_scans(), read_lesions()
    first = sorted({scans[series].patient for series in lesions})[:2]
    for series in lesions:
        if (scan := scans[series]).patient in first:
            lay_series(folder / "idc-open-data", scan, crdc_uuid=rows[series].crdc_uuid)
    with s3_server(folder) as address:
        yield address


def fetched(folder: Path, server: str, *arguments: str | Path, **keys: object) -> Manifest:
    """Download two patients as the workflow does, and return their manifest."""
    lidc = {"source": "idc", "endpoint_url": server, "patients": 2}
    every = [*write(folder, datasets={"lidc": lidc}, **keys), *arguments, "--", MANIFEST]
    done = snakemake(*every)
    logs = "\n".join(path.read_text() for path in (folder / "logs").rglob("*.log"))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    return Manifest.read(folder / MANIFEST)


@pytest.mark.slow
def test_shares_make_the_manifest_of_one_job(tmp_path: Path, server: str) -> None:
    for jobs, name in ((1, "one"), (3, "three")):  # the third has nothing to do
        (tmp_path / name).mkdir()
        made = fetched(tmp_path / name, server, fetch={"jobs": jobs})
        assert (made.source, len(made.series), made.left_out) == ("idc", 2, ())
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (
        tmp_path / "three" / MANIFEST
    ).read_bytes()
    assert list(tmp_path.rglob("*-of-3.manifest.json")) == []
    assert (tmp_path / "one/data/raw/lidc.LICENCE.txt").is_file()


@pytest.mark.slow
def test_how_is_no_reason_to_fetch_again_and_what_is(tmp_path: Path, server: str) -> None:
    fetched(tmp_path, server)
    lidc = {"source": "idc", "endpoint_url": server, "patients": 2}
    how = {"connections": 3, "megabytes_per_second": 7, "retries": 0, "timeout": 5}
    again = told(tmp_path, "--", MANIFEST, datasets={"lidc": lidc}, fetch=how)
    assert "Nothing to be done" in again
    capped = ["--resources", "connections=2", "--", MANIFEST]
    assert "Nothing to be done" in told(tmp_path, *capped, datasets={"lidc": lidc})
    for more in ({"slices": "all"}, {"patients": 3}, {"source": "tcia"}):
        output = told(tmp_path, "--", MANIFEST, datasets={"lidc": lidc | more})
        assert "rule fetch_lidc:" in output, more


def test_a_cap_on_all_downloads_is_that_of_one(tmp_path: Path) -> None:
    arguments = ["-p", "--resources", "connections=2", "--", MANIFEST]
    assert "--connections 2 " in told(tmp_path, *arguments, datasets=IDC)


@pytest.mark.slow
def test_what_is_fetched_here_goes_through_no_queue(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SLURM's programs are stand-ins that take no job."""
    (tmp_path / "bin").mkdir()
    for program in ("sbatch", "squeue", "sacct", "sinfo", "scontrol", "scancel", "sacctmgr"):
        stand_in = tmp_path / "bin" / program
        stand_in.write_text(f'#!/bin/sh\necho "$0" "$@" >> {tmp_path}/asked\nexit 1\n')
        stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    patience = ["--slurm-init-seconds-before-status-checks", "1"]
    arguments = ["--executor", "slurm", "--jobs", "2", *patience]
    assert fetched(tmp_path, server, *arguments, fetch={"jobs": 2}).source == "idc"
    asked = tmp_path / "asked"
    assert not asked.exists() or "sbatch" not in asked.read_text()


STAND_IN = """#!/bin/sh
if [ "$1" = --version ]; then echo "apptainer version 1.4.0"; exit; fi
env > "{folder}/seen"
echo "$@" > "{folder}/command"
while [ $# -gt 1 ]; do shift; done
exec bash -c "$1"
"""


@pytest.mark.slow
def test_containers_see_proxies_and_certificates_and_commands_name_no_secret(
    tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apptainer is a stand-in that runs the command as it is."""
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    for path in (folder / "images", elsewhere, tmp_path / "bin"):
        path.mkdir(parents=True)
    certificates = elsewhere / "certificates.pem"
    for path in (certificates, *(folder / f"images/{kind}.sif" for kind in ("data", "torch"))):
        path.touch()
    (tmp_path / "bin/apptainer").write_text(STAND_IN.format(folder=elsewhere))
    (tmp_path / "bin/apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    handed_on = {
        "REQUESTS_CA_BUNDLE": str(certificates),
        "HTTPS_PROXY": NOWHERE,
        "CITYSCAPES_PASSWORD": SECRET,
    }
    for name, value in handed_on.items():
        monkeypatch.setenv(name, value)
    fetched(folder, server, "--sdm", "apptainer", containers=str(folder / "images"))
    seen = dict(
        line.split("=", 1) for line in (elsewhere / "seen").read_text().splitlines() if "=" in line
    )
    for name, value in handed_on.items():
        assert seen[f"APPTAINERENV_{name}"] == value
    assert str(certificates) in seen["APPTAINER_BIND"].split(",")
    command = (elsewhere / "command").read_text()
    assert f"{folder}/images/data.sif" in command
    assert SECRET not in command


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    tree = tmp_path_factory.mktemp("streets")
    for scene in (("train", "aachen", "000000_000019"), ("val", "munster", "000000_000019")):
        write_scene(tree, *scene)
    made = {}
    for part in ("gtFine", "leftImg8bit"):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as file:
            for path in sorted((tree / part).rglob("*.png")):
                file.write(path, path.relative_to(tree))
        made[f"{part}_trainvaltest.zip"] = data.getvalue()
    return made


@pytest.fixture
def site(packages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The publisher's site, and its account in the environment."""
    monkeypatch.setenv("CITYSCAPES_USERNAME", "me")
    monkeypatch.setenv("CITYSCAPES_PASSWORD", SECRET)
    with cityscapes_site(packages, "me", SECRET) as site:
        yield site


def kept(folder: Path) -> str:
    """Return the text of all files, Snakemake's own too."""
    return "\n".join(
        path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()
    )


def test_a_wrong_password_stops_all_before_the_first_job(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYSCAPES_PASSWORD", f"{SECRET}-other")
    streets = {"cityscapes": {"source": "official", "endpoint_url": site.url}}
    datasets = streets | {"lidc": {"source": "phantom", "patients": 2}}
    done = snakemake(*write(tmp_path, datasets=datasets))
    assert done.returncode == 1
    assert "the login is refused" in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "logs/fetch").exists() or not list((tmp_path / "logs/fetch").iterdir())
    assert SECRET not in done.stdout + done.stderr + kept(tmp_path)


@pytest.mark.slow
def test_no_secret_stands_anywhere(tmp_path: Path, site: Site) -> None:
    streets = {"cityscapes": {"source": "official", "endpoint_url": site.url}}
    arguments = [
        *write(tmp_path, datasets=streets),
        "-p",
        "--verbose",
        "--",
        "data/raw/cityscapes.manifest.json",
    ]
    done = snakemake(*arguments)
    logs = kept(tmp_path / "logs")
    assert done.returncode == 0, done.stdout + done.stderr + logs
    manifest = json.loads((tmp_path / "data/raw/cityscapes.manifest.json").read_text())
    assert (manifest["source"], len(manifest["scenes"])) == ("official", 2)
    assert SECRET not in done.stdout + done.stderr + kept(tmp_path)
    assert not any(token in kept(tmp_path) for token in site.ever)
