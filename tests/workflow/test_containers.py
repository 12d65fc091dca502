"""Container images are complete or absent, and built again only of other ingredients.

The programs here do not really build; tests/cluster does.
"""

import shutil
from pathlib import Path

import pytest
from snakemake.deployment.singularity import Singularity  # type: ignore[import-untyped]

from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.image_record import ImageRecord
from probunet.workflow.containers import build_image, source_digest

ROOT = Path(__file__).parents[2]
# writes the recipe into the image; the last words of the command name them
PRETENDS = """#!/bin/sh
[ "$1" = --version ] && { echo "%(version)s"; exit 0; }
[ "$2" = --help ] && { echo "Options: %(options)s"; exit 0; }
for word; do image=$recipe; recipe=$word; done
echo "$@" >> %(folder)s/calls
%(build)s
"""
VERSION = "apptainer version 9.9.9"
OPTIONS = "--fakeroot --mksquashfs-args string"
BUILDS = 'cat "$recipe" source/src/probunet/_commit > "$image"'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    (project / "src/probunet").mkdir(parents=True)
    (project / "src/probunet/__init__.py").write_text("")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        (project / name).write_text(name)
    shutil.copytree(ROOT / "containers", project / "containers")
    return project


def apptainer(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    build: str = BUILDS,
    options: str = OPTIONS,
    version: str = VERSION,
) -> Path:
    """Put a program of that name on the PATH; return the file that lists its calls."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    words = {"folder": folder, "build": build, "options": options, "version": version}
    (folder / "apptainer").write_text(PRETENDS % words)
    (folder / "apptainer").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    (folder / "calls").touch()
    return folder / "calls"


def build(tmp_path: Path, project: Path, **arguments: str) -> Path:
    output = tmp_path / "images/data.sif"
    build_image("data", project, output, tmp_path / "cache", arguments, ["/etc/certificates"])
    return output


def builds(calls: Path) -> int:
    return calls.read_text().count("build ")


def test_image_and_record(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = apptainer(tmp_path, monkeypatch)
    image = build(tmp_path, project, base="here")
    record = ImageRecord.model_validate_json(image.with_suffix(".json").read_text())
    assert record.sha256 == sha256(image)
    assert record.definition_sha256 == sha256(project / "containers/data.def")
    assert record.source_sha256 == source_digest(project)
    assert record.arguments == {"base": "here"}
    assert record.apptainer == "apptainer version 9.9.9"
    words = calls.read_text()
    assert "--fakeroot" in words
    assert "--bind /etc/certificates" in words
    lines = image.read_text().splitlines()
    assert "From: here" in lines
    assert lines[-1] == str(record.commit)
    assert not {line for line in lines if "{{" in line or line.startswith("%arguments")}


def test_same_ingredients_are_built_once_even_if_the_output_is_gone(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = apptainer(tmp_path, monkeypatch)
    first = sha256(build(tmp_path, project))
    (tmp_path / "images/data.sif").unlink()
    (project / "src/probunet/__pycache__").mkdir()
    (project / "src/probunet/__pycache__/x.pyc").touch()
    assert sha256(build(tmp_path, project)) == first
    assert builds(calls) == 1


@pytest.mark.parametrize(
    "changed", ["containers/data.def", "containers/data.lock", "src/probunet/__init__.py"]
)
def test_other_ingredients_are_built_and_the_old_image_goes(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, changed: str
) -> None:
    calls = apptainer(tmp_path, monkeypatch)
    build(tmp_path, project)
    with (project / changed).open("a") as file:
        file.write("# another\n")
    build(tmp_path, project)
    assert builds(calls) == 2
    assert len(list((tmp_path / "cache").glob("data-*.sif"))) == 1


def test_another_argument_or_an_altered_image_is_built_again(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = apptainer(tmp_path, monkeypatch)
    build(tmp_path, project)
    build(tmp_path, project, base="elsewhere")
    assert builds(calls) == 2
    (kept,) = (tmp_path / "cache").glob("data-*.sif")
    kept.unlink()
    kept.write_text("altered")
    assert build(tmp_path, project, base="elsewhere").read_text() != "altered"
    assert builds(calls) == 3


@pytest.mark.parametrize("fails", ["exit 1", 'echo half > "$image"; exit 1', "true"])
def test_a_failed_build_leaves_nothing(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    apptainer(tmp_path, monkeypatch, fails)
    with pytest.raises(ProbunetError, match=r"data\.def: apptainer version 9.* could not") as error:
        build(tmp_path, project)
    assert "subuid" not in str(error.value)
    assert list(tmp_path.rglob("*.sif")) == []
    assert not (tmp_path / "images/data.json").exists()


def test_subuid_is_named_where_apptainer_speaks_of_it(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apptainer(tmp_path, monkeypatch, 'echo "FATAL: no mapping in /etc/subuid" >&2; exit 1')
    with pytest.raises(ProbunetError, match="You may need an entry in /etc/subuid"):
        build(tmp_path, project)


@pytest.mark.parametrize(
    ("version", "options"),
    [
        ("singularity version 3.8.7-1.el8", "--fakeroot"),
        ("singularity-ce version 3.11.4-jammy", "--fakeroot"),
        ("singularity-ce version 4.1.2", "--fakeroot --build-arg strings"),
        ("apptainer version 1.1.9-1.el9", "--fakeroot"),
        ("apptainer version 1.2.5", "--fakeroot --build-arg strings --warn-unused-build-args"),
        ("apptainer version 1.3.6", "--fakeroot --build-arg strings --warn-unused-build-args"),
        ("apptainer version 1.4.0-rc.1+12-gabcdef", OPTIONS),
    ],
)
def test_every_version_builds_without_the_options_that_it_lacks(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, version: str, options: str
) -> None:
    """Before 1.4 there is no --mksquashfs-args, before 1.2 no --build-arg."""
    calls = apptainer(tmp_path, monkeypatch, options=options, version=version)
    image = build(tmp_path, project, base="here")
    record = ImageRecord.model_validate_json(image.with_suffix(".json").read_text())
    assert record.apptainer == version
    words = calls.read_text().split()
    assert {word for word in words if word.startswith("--")} <= {*options.split(), "--bind"}
    assert "From: here" in image.read_text()
    singularity = Singularity()
    assert str(singularity.parseversion(version)) >= "1.1"


def test_an_argument_that_a_definition_lacks_is_told(
    tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    apptainer(tmp_path, monkeypatch)
    build(tmp_path, project, accelerater="cpu")
    assert "data.def: has no argument accelerater" in caplog.text


def test_no_apptainer(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProbunetError, match="neither `apptainer` nor `singularity`"):
        build(tmp_path, project)
