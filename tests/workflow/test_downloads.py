"""Downloads as the workflow plans and makes them, from servers on this machine.

tests/workflow/test_site.py tests what a dry run prints of them.
"""

import io
import json
import os
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from probunet.datasets.lidc.manifest import Manifest
from probunet.datasets.lidc.outlines import read_lesions, read_scans
from probunet.datasets.lidc.series import read_series
from support.scene_trees import write_scene
from support.servers.cityscapes import Site, cityscapes_site
from support.servers.s3 import lay_series, s3_server
from support.studies import in_folder, planned, printed, run_study, snakemake

from .conftest import SECRET

NOWHERE = "http://127.0.0.1:9"  # the port of discard: nothing listens
IDC = {"lidc": {"source": "idc", "endpoint_url": NOWHERE}}
STREETS = {"cityscapes": {"source": "official", "endpoint_url": NOWHERE}}
KNEES = {"knees": {"source": "folder", "path": "knees"}}
MANIFEST = "data/raw/lidc.manifest.json"


def jobs_of(output: str, verb: str) -> dict[str, str]:
    """Return the jobs that a dry run lists, with the spaces before them: some in groups."""
    return {
        what: space
        for space, what in re.findall(rf"^( *)Job \d+: {verb} (.*); log: ", output, re.M)
    }


def test_downloads_run_here_in_parts_and_share_no_job_with_prepare(tmp_path: Path) -> None:
    (tmp_path / "knees").mkdir()
    (tmp_path / "knees/images.csv").touch()
    config = {"datasets": IDC | STREETS | KNEES, "fetch": {"jobs": 2}, "folds": 2}
    output = printed(tmp_path, config, "-p", "--resources", "connections=3")
    parts = ("part 0 of 2 of lidc", "part 1 of 2 of lidc")
    alone = dict.fromkeys((*parts, "lidc", "cityscapes"), "")
    assert jobs_of(output, "Download") == alone
    assert jobs_of(output, "Fetch") == {"knees": "    "}  # in a group
    jobs = planned(output)
    assert [jobs[rule] for rule in ("fetch_part", "download", "fetch", "prepare")] == [2, 2, 1, 3]
    assert f"LIDC-IDRI from {NOWHERE}/idc-open-data: 883 series" in output
    commands = re.findall(r"probunet fetch .*", output)
    assert all("--connections 3 " in command for command in commands), "a cap on all together"


def test_nodes_with_a_network_download_in_the_jobs_that_prepare(tmp_path: Path) -> None:
    config = {"datasets": IDC | STREETS, "fetch": {"here": False, "jobs": 2}}
    output = printed(tmp_path, config)
    assert jobs_of(output, "Fetch") == {"lidc": "    ", "cityscapes": "    "}
    assert set(jobs_of(output, "Download").values()) == {""}  # parts on nodes of their own
    assert "download" not in planned(output)


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
    run_study(folder, {"datasets": {"lidc": lidc}, "folds": 2} | keys, *arguments, "--", MANIFEST)
    return Manifest.read(folder / MANIFEST)


@pytest.mark.slow
def test_parts_make_the_manifest_of_one_job(tmp_path: Path, server: str) -> None:
    for jobs, name in ((1, "one"), (3, "three")):  # the third has nothing to do
        made = fetched(tmp_path / name, server, fetch={"jobs": jobs})
        assert (made.source, len(made.series), made.left_out) == ("idc", 2, ())
    assert (tmp_path / "one" / MANIFEST).read_bytes() == (
        tmp_path / "three" / MANIFEST
    ).read_bytes()
    assert list(tmp_path.rglob("*-of-3.manifest.json")) == []
    assert (tmp_path / "one/data/raw/lidc.LICENCE.txt").is_file()


@pytest.mark.slow
def test_only_what_is_downloaded_is_a_reason_to_download_again(tmp_path: Path, server: str) -> None:
    fetched(tmp_path, server)
    lidc = {"source": "idc", "endpoint_url": server, "patients": 2}

    def again(more: dict[str, object], *arguments: str, **how: object) -> str:
        config = {"datasets": {"lidc": lidc | more}, "folds": 2, "fetch": how}
        return printed(tmp_path, config, *arguments, "--", MANIFEST)

    how = {"connections": 3, "megabytes_per_second": 7, "retries": 0, "timeout": 5}
    assert "Nothing to be done" in again({}, **how)
    assert "Nothing to be done" in again({"on_error": "skip"}, "--resources", "connections=2")
    for more in ({"slices": "all"}, {"patients": 3}):
        assert jobs_of(again(more), "Download") == {"lidc": ""}


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
    monkeypatch.setenv("CITYSCAPES_PASSWORD", SECRET)
    handed_on = {"REQUESTS_CA_BUNDLE": str(certificates), "HTTPS_PROXY": NOWHERE}
    for name, value in handed_on.items():
        monkeypatch.setenv(name, value)
    fetched(folder, server, "--sdm", "apptainer", containers=str(folder / "images"))
    seen = dict(
        line.split("=", 1) for line in (elsewhere / "seen").read_text().splitlines() if "=" in line
    )
    for name, value in handed_on.items():
        assert seen[f"APPTAINERENV_{name}"] == value
    assert "APPTAINERENV_CITYSCAPES_PASSWORD" not in seen, "LIDC-IDRI needs no account"
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
    done = snakemake(*in_folder(tmp_path, {"datasets": datasets, "folds": 2}))
    assert done.returncode == 1
    assert "the login is refused" in done.stdout + done.stderr
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "logs/fetch").exists() or not list((tmp_path / "logs/fetch").iterdir())
    assert SECRET not in done.stdout + done.stderr + kept(tmp_path)


@pytest.mark.slow
def test_no_secret_stands_anywhere(tmp_path: Path, site: Site) -> None:
    streets = {"cityscapes": {"source": "official", "endpoint_url": site.url}}
    target = "data/raw/cityscapes.manifest.json"
    output = run_study(tmp_path, {"datasets": streets}, "-p", "--verbose", "--", target)
    manifest = json.loads((tmp_path / "data/raw/cityscapes.manifest.json").read_text())
    assert (manifest["source"], len(manifest["scenes"])) == ("official", 2)
    assert SECRET not in output + kept(tmp_path)
    assert not any(token in kept(tmp_path) for token in site.ever)
