"""What is checked before the first job, and what containers see of a machine."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from probunet.config import Fetch, check
from probunet.datasets.cityscapes import Cityscapes
from probunet.errors import ProbunetError
from probunet.study import Config
from probunet.workflow import driver, site
from probunet.workflow.engine import DueJob, Engine, WorkflowError
from probunet.workflow.plan import Plan
from support.studies import PHANTOM

NOWHERE = "http://127.0.0.1:9"  # the port of discard: nothing listens
IDC = {"lidc": {"source": "idc", "endpoint_url": NOWHERE}}
STREETS = {"cityscapes": {"source": "official", "endpoint_url": NOWHERE}}
FETCH_STREETS = DueJob("download", "cityscapes", in_container=False)


class Stand(Engine):
    """An engine without Snakemake behind it, which remembers what was printed."""

    project = Path("/project")
    is_driver = True
    is_dry_run = False
    uses_containers = False
    uses_slurm = False
    chooses_partitions = False

    def __init__(self, *jobs: DueJob) -> None:
        self.jobs = list(jobs)
        self.informed: list[str] = []
        self.warned: list[str] = []

    def due_jobs(self) -> list[DueJob]:
        return self.jobs

    def requests(self) -> dict[str, dict[str, object]]:
        return {"train": {"gpu": 1}}

    def trainings_to_repeat(self) -> list[Path]:
        return [Path("results/run/checkpoint")]

    def plan_without_containers(self) -> None:
        self.uses_containers = False

    def inform(self, text: str) -> None:
        self.informed.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder, and an environment that tests may change, without programs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ["PATH"] = str(tmp_path / "bin")
    for name in site.CERTIFICATES:
        os.environ.pop(name, None)
    (tmp_path / "bin").mkdir()
    return tmp_path


def put_apptainer_on_the_path(folder: Path) -> None:
    (folder / "bin/apptainer").write_text("#!/bin/sh\n")
    (folder / "bin/apptainer").chmod(0o755)


def site_of(engine: Stand, datasets: object = PHANTOM, **keys: object) -> site.Site:
    driver._held.clear()  # claims of the folder by this process
    config = check(Config, {"datasets": datasets} | keys, "mine.yaml")
    return site.Site(engine, Plan(config, "mine.yaml"))


def test_a_dry_run_describes_downloads_that_are_not_made_yet(elsewhere: Path) -> None:
    engine = Stand()
    engine.is_dry_run = True
    site_of(engine, IDC | STREETS).enter()
    assert f"LIDC-IDRI from {NOWHERE}/idc-open-data: 883 series of" in engine.informed[0]
    assert "slices to get: 14,627 of 14,627" in engine.informed[0]
    assert engine.informed[1].startswith("Cityscapes, source: official: the amount")
    assert not (elsewhere / "data").exists()

    (elsewhere / "data/raw").mkdir(parents=True)
    (elsewhere / "data/raw/lidc.manifest.json").touch()
    engine.informed.clear()
    site_of(engine, IDC).enter()
    site_of(engine, PHANTOM).enter()
    assert engine.informed == []


def test_a_dry_run_warns_of_missing_credentials() -> None:
    engine = Stand()
    engine.is_dry_run = True
    os.environ["CITYSCAPES_USERNAME"] = "me"
    os.environ.pop("CITYSCAPES_PASSWORD", None)
    site_of(engine, STREETS).enter()
    [warning] = engine.warned
    assert warning == (
        "Cityscapes is downloaded with your account: set CITYSCAPES_PASSWORD in the environment "
        "before the run."
    )
    os.environ["CITYSCAPES_PASSWORD"] = "secret"
    site_of(engine, STREETS).enter()
    assert engine.warned == [warning]


@pytest.mark.parametrize(
    ("datasets", "jobs", "asked"),
    [
        (STREETS, [FETCH_STREETS], 1),
        (STREETS, [DueJob("prepare", "cityscapes", in_container=False)], 0),
        ({"cityscapes": {"source": "phantom"}}, [FETCH_STREETS], 0),
    ],
)
def test_access_is_checked_where_a_download_is_due(
    monkeypatch: pytest.MonkeyPatch, datasets: object, jobs: list[DueJob], asked: int
) -> None:
    calls = []

    def refuse(self: Cityscapes, source: Any, how: Fetch) -> None:
        calls.append(how.retries)
        raise ProbunetError("the login is refused")

    monkeypatch.setattr(Cityscapes, "check_access", refuse)
    here = site_of(Stand(*jobs), datasets, fetch={"retries": 3})
    here.enter()
    if asked:
        with pytest.raises(WorkflowError, match="the login is refused"):
            here.check()
    else:
        here.check()
    assert calls == [3] * asked


def test_a_node_without_apptainer_is_an_error_and_a_dry_run_needs_none() -> None:
    on_node = Stand()
    on_node.uses_containers, on_node.is_driver = True, False
    with pytest.raises(WorkflowError, match="neither `apptainer` nor `singularity`"):
        site_of(on_node).enter()
    engine = Stand()
    engine.uses_containers = True
    here = site_of(engine)
    here.enter()
    assert not engine.uses_containers
    with pytest.raises(WorkflowError, match="neither `apptainer` nor `singularity`"):
        here.check()


def test_slurm_is_asked_unless_the_executor_chooses_partitions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[object] = []
    monkeypatch.setattr(site, "check_requests", asked.append)
    engine = Stand()
    engine.uses_slurm = True
    for engine.chooses_partitions in (True, False):
        here = site_of(engine)
        here.enter()
        here.check()
    assert asked == [{"train": {"gpu": 1}}]


def test_containers_see_folders_files_and_variables_of_this_machine(elsewhere: Path) -> None:
    put_apptainer_on_the_path(elsewhere)
    other = elsewhere.parent / f"{elsewhere.name}-other"
    other.mkdir()
    (other / "certificates.pem").touch()
    os.environ |= {
        "SSL_CERT_FILE": str(other / "certificates.pem"),
        "CITYSCAPES_PASSWORD": "secret",
        "NO_PROXY": "localhost",
        "SLURM_JOB_GPUS": "0",
        "SLURM_GPUS_ON_NODE": "1",
        "APPTAINER_BIND": "/already",
        "EDITOR": "vi",
    }
    engine = Stand()
    engine.uses_containers, engine.project = True, elsewhere / "project"
    site_of(engine, STREETS, paths={"data": str(other / "not/yet")}).enter()
    bound = os.environ["APPTAINER_BIND"].split(",")
    assert bound == ["/already", str(other), str(other / "certificates.pem")]
    assert os.environ["APPTAINERENV_CITYSCAPES_PASSWORD"] == "secret"
    assert os.environ["SINGULARITYENV_NO_PROXY"] == "localhost"
    assert os.environ["APPTAINERENV_SLURM_JOB_GPUS"] == "0"
    assert os.environ["APPTAINERENV_SLURM_GPUS_ON_NODE"] == "1"
    assert "APPTAINERENV_EDITOR" not in os.environ


@pytest.mark.parametrize("name", ["a{x}", "{{", "<results>"])
def test_a_folder_of_the_snakefile_that_snakemake_would_read_as_a_pattern(name: str) -> None:
    engine = Stand()
    engine.project = Path("/projects") / name  # type: ignore[misc]
    with pytest.raises(WorkflowError, match="the folder of the Snakefile contains a"):
        site_of(engine).enter()


def test_a_snakemake_that_is_killed_early_can_be_told_by_the_next(elsewhere: Path) -> None:
    """It is signed before Snakemake takes its own lock, and `check` comes after that."""
    site_of(Stand()).enter()
    (elsewhere / ".snakemake/locks").mkdir()
    (elsewhere / ".snakemake/locks/0.output.lock").touch()
    site_of(Stand()).enter()
    assert not driver.is_locked(elsewhere)


def test_a_lock_of_unknown_origin_is_not_signed(elsewhere: Path) -> None:
    (elsewhere / ".snakemake/locks").mkdir(parents=True)
    (elsewhere / ".snakemake/locks/0.output.lock").touch()
    for _ in range(2):
        site_of(Stand()).enter()
        assert driver.is_locked(elsewhere)


def test_a_finished_training_that_is_to_be_repeated_is_not_put_back(elsewhere: Path) -> None:
    finished = elsewhere / "results/run/checkpoint/finished"
    finished.mkdir(parents=True)
    here = site_of(Stand())
    here.enter()
    assert finished.exists()
    here.check()
    assert not finished.exists()


def test_paths_with_a_comma_or_a_colon_are_bound_whole() -> None:
    found = site.container_environment([Path("/a,b/2026-11-30T12:00")], [], {})
    assert found["APPTAINER_BIND"] == r"/a\,b/2026-11-30T12\:00"


def test_existing_paths_outside_a_folder(tmp_path: Path) -> None:
    inside, outside = tmp_path / "study", tmp_path / "mnt"
    outside.mkdir()
    paths = [inside / "data", outside, outside / "not/yet", Path("/nothing/here")]
    assert site.existing_outside(paths, inside) == [outside]


def bound_by(engine: Stand, *studies: object, **keys: object) -> list[str]:
    engine.uses_containers = True
    engine.project = Path.cwd()
    site_of(engine, *studies, **keys).enter()
    return os.environ["APPTAINER_BIND"].split(",")


def test_containers_see_what_links_lead_to(elsewhere: Path) -> None:
    """`data` is a link to scratch, which is itself a link; `results` holds a link."""
    put_apptainer_on_the_path(elsewhere)
    outside = elsewhere.parent / f"{elsewhere.name}-disk"
    (outside / "lustre/me/data").mkdir(parents=True)
    (outside / "long").mkdir()
    (outside / "scratch").symlink_to("lustre")
    (elsewhere / "data").symlink_to(outside / "scratch/me/data")
    (elsewhere / "results").mkdir()
    (elsewhere / "results/lidc").symlink_to(outside / "long")
    bound = bound_by(Stand())
    assert {str(outside / "scratch/me/data"), str(outside / "lustre/me/data")} <= {*bound}
    assert str(outside / "long") in bound
    on_node = Stand()
    on_node.is_driver = False
    assert str(outside / "long") in bound_by(on_node)  # from the driver's environment


def test_containers_see_the_targets_of_a_tree_of_links(elsewhere: Path) -> None:
    put_apptainer_on_the_path(elsewhere)
    archive = elsewhere.parent / f"{elsewhere.name}-archive"
    (archive / "a/deep").mkdir(parents=True)
    (archive / "b").mkdir()
    (elsewhere / "tree/ct").mkdir(parents=True)
    for name in ("a/1.dcm", "a/deep/2.dcm"):
        (archive / name).touch()
        (elsewhere / "tree/ct" / Path(name).name).symlink_to(archive / name)
    (elsewhere / "tree/b").symlink_to(f"../../{archive.name}/b")
    (archive / "b/again").symlink_to(archive / "c")  # links behind links
    (archive / "c").mkdir()
    (archive / "c/round").symlink_to(elsewhere / "tree")
    bound = bound_by(Stand(), {"lidc": {"source": "local", "path": "tree"}})
    assert bound == [str(archive / name) for name in "abc"]


def test_links_in_a_circle_lead_nowhere(elsewhere: Path) -> None:
    """And are named before the first job."""
    put_apptainer_on_the_path(elsewhere)
    (elsewhere / "data").symlink_to("data")
    (elsewhere / "results").mkdir()
    (elsewhere / "results/a").symlink_to("b")
    (elsewhere / "results/b").symlink_to("a")
    here = site_of(engine := Stand())
    engine.uses_containers = True
    engine.project = elsewhere
    here = site_of(engine)
    here.enter()
    with pytest.raises(WorkflowError, match="data: is a link to data, which does not exist or"):
        here.check()


def test_a_link_beside_the_target_of_a_link(tmp_path: Path) -> None:
    for name in ("disk/mine", "disk/other", "study"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "study/scratch").symlink_to(tmp_path / "disk/mine")
    (tmp_path / "study/data").symlink_to("scratch/../other")
    assert site.hops(tmp_path / "study/data/x")[-1] == tmp_path / "disk/other/x"
    assert (tmp_path / "study/data").resolve() == tmp_path / "disk/other"


def test_containers_keep_their_own_programs(elsewhere: Path) -> None:
    """A folder of images that holds a Python environment, too; its `python` is a link."""
    put_apptainer_on_the_path(elsewhere)
    (elsewhere / "env/bin").mkdir(parents=True)
    (elsewhere / "env/bin/python3").symlink_to("/usr/bin/python3")
    (elsewhere / "env/lib64").symlink_to("/lib64")
    (elsewhere / "folds.json").touch()
    datasets = {"knees": {"source": "folder", "path": ".", "folds_file": "folds.json"}}
    os.environ.pop("APPTAINER_BIND", None)
    assert bound_by(Stand(), datasets) == [""]


def test_targets_of_very_many_links_are_bound_as_one_folder(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    for number in range(101):
        (tmp_path / f"archive/{number}").mkdir(parents=True)
        (tmp_path / f"tree/{number}").symlink_to(tmp_path / f"archive/{number}")
    assert site.linked_below(tmp_path / "tree") == [tmp_path / "archive"]
    assert site.linked_below(tmp_path / "archive") == []


@pytest.mark.parametrize("is_driver", [True, False])
def test_a_link_without_its_target_stops_before_a_job(elsewhere: Path, is_driver: bool) -> None:
    (elsewhere / "data").symlink_to("/nowhere/scratch")
    engine = Stand()
    engine.is_driver = is_driver
    here = site_of(engine)
    if is_driver:
        here.enter()
    step = here.check if is_driver else here.enter
    with pytest.raises(WorkflowError, match="data: is a link to /nowhere/scratch, which does not"):
        step()


@pytest.fixture
def in_containers(elsewhere: Path) -> Stand:
    put_apptainer_on_the_path(elsewhere)
    engine = Stand(DueJob("train", "lidc", in_container=True))
    engine.uses_containers = True
    return engine


def checked(engine: Stand, containers: str, **keys: object) -> None:
    here = site_of(engine, containers=containers, **keys)
    here.enter()
    here.check()


def test_ready_images_must_be_there(elsewhere: Path, in_containers: Stand) -> None:
    (elsewhere / "images").mkdir()
    (elsewhere / "images/data.sif").touch()
    with pytest.raises(WorkflowError, match=r"images/torch\.sif: no such image\. Build it"):
        checked(in_containers, "images/")
    checked(in_containers, "docker://host/name-{kind}:1.0")
    in_containers.jobs = []
    checked(in_containers, "images/")


@pytest.mark.parametrize("ends", [0, 1])
def test_images_are_built_as_the_site_needs(
    elsewhere: Path, in_containers: Stand, monkeypatch: pytest.MonkeyPatch, ends: int
) -> None:
    commands = []

    def run(command: list[str], **options: Any) -> "subprocess.CompletedProcess[str]":
        commands.append(command)
        options["stdout"].write("first\nno space left\n")
        return subprocess.CompletedProcess(command, ends)

    monkeypatch.setattr(site.subprocess, "run", run)
    build = {"arguments": {"base": "here"}, "bind": ["/etc/ssl"], "cache": "../cache"}
    if ends:
        with pytest.raises(WorkflowError, match=r"data\.sif: could not be built(?s:.*)no space"):
            checked(in_containers, "build", container_build=build)
    else:
        checked(in_containers, "build", container_build=build)
        assert [command[2] for command in commands] == ["data", "torch"]
    words = " ".join(commands[0][1:])
    assert words == (
        "image data --project /project --argument base=here --bind /etc/ssl --cache ../cache "
        "--output containers/data.sif"
    )
    assert (elsewhere / "logs/image/data.log").read_text().endswith("no space left\n")


@pytest.mark.parametrize("data", ["Größe", "data"])
def test_names_are_written_as_the_steps_write_them(
    monkeypatch: pytest.MonkeyPatch, data: str
) -> None:
    planned = site_of(Stand(), paths={"data": data})
    monkeypatch.setattr(site.sys, "getfilesystemencoding", lambda: "iso8859-1")
    if data.isascii():
        planned.enter()
    else:
        message = "Größe: this locale writes names of files in iso8859-1.*set PYTHONUTF8=1"
        with pytest.raises(WorkflowError, match=message):
            planned.enter()
