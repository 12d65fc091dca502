import subprocess
import sys
from pathlib import Path

import pytest


def probunet(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from probunet.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_verbs_are_listed_in_their_order() -> None:
    shown = probunet("--help").stdout
    verbs = ["fetch", "prepare", "train", "sample", "score", "report"]
    places = [shown.index(f" {verb} ") for verb in verbs]
    assert places == sorted(places)


def test_help_is_quick_to_import() -> None:
    code = (
        "import sys, probunet.cli; print({'torch', 'dask', 'pydicom', 'zarr'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_index_only_prints_the_acceptance_figures() -> None:
    done = probunet("prepare", "lidc", "--index-only")
    assert done.returncode == 0
    for figure in ("15,798", "4,883", "2,849", "2,820", "5,168", "78", "875", "883"):
        assert figure in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["prepare", "lidc"], "needs --manifest and --output"),
        (["fetch", "lidc", "--source", "local", "--manifest", "m"], "needs --folder"),
        (["prepare", "folds", "--store", "absent", "--output", "f"], "absent: no such store"),
        (["prepare", "lidc", "--manifest", "absent", "--output", "o"], "no such manifest"),
    ],
)
def test_a_users_mistake_is_one_line_and_no_traceback(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = probunet(*arguments)
    assert done.returncode == 1
    first, told, last = done.stderr.splitlines()
    assert told.startswith("probunet: ")
    assert message in told
    assert first.startswith("job {")
    assert last.startswith("job {")
    assert list(tmp_path.iterdir()) == []


def test_image_refuses_an_argument_without_a_value(tmp_path: Path) -> None:
    done = probunet("image", "data", "--output", str(tmp_path / "data.sif"), "--argument", "base")
    assert done.returncode == 1
    assert "--argument base: is not name=value." in done.stderr
