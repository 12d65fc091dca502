"""Container images are complete or absent, and built again only of other ingredients.

The programs here do not really build; tests/cluster does.
"""

import shutil
from pathlib import Path

import pytest

from probunet.errors import ProbunetError
from probunet.files import sha256
from probunet.image_record import ImageRecord
from probunet.workflow.containers import build_image, source_digest

ROOT = Path(__file__).parents[2]
# writes the recipe into the image; the last words of the command name them
PRETENDS = """#!/bin/sh
[ "$1" = --version ] && { echo "apptainer version 9.9.9"; exit 0; }
for word; do image=$recipe; recipe=$word; done
echo "$@" >> %(folder)s/calls
%(build)s
"""
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


def apptainer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, build: str = BUILDS) -> Path:
    """Put a program of that name on the PATH; return the file that lists its calls."""
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "apptainer").write_text(PRETENDS % {"folder": folder, "build": build})
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
    assert "--build-arg base=here" in words
    assert "--bind /etc/certificates" in words
    assert image.read_text().splitlines()[-1] == str(record.commit)


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
    with pytest.raises(ProbunetError, match=r"containers/data\.def: Apptainer could not build it"):
        build(tmp_path, project)
    assert list(tmp_path.rglob("*.sif")) == []
    assert not (tmp_path / "images/data.json").exists()


def test_no_apptainer(tmp_path: Path, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProbunetError, match="neither `apptainer` nor `singularity`"):
        build(tmp_path, project)
