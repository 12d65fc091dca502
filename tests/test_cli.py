import subprocess
import sys
from pathlib import Path

import pytest

SAMPLE = Path(__file__).parents[1] / "../shared/lidc-sample"
IDC = ["fetch", "lidc", "--manifest", "m", "--folder", "f"]
REPORT = ["report", "lidc/unet/beta-1/fold-0/seed-0", "--scores", "s", "--summary", "s"]
REPORT += ["--comparison", "c", "--store", "absent", "--output", "o"]


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
        (["fetch", "lidc", "--folder", "f"], "needs --manifest (or --plan, or --verify)"),
        (["fetch", "lidc", "--plan"], "--plan needs --folder"),
        (["fetch", "lidc", "--verify", "absent"], "absent: no such folder"),
        ([*IDC, "--part", "1"], "--part and --parts go together"),
        ([*IDC, "--part", "2", "--parts", "2"], "--part is below --parts"),
        ([*IDC, "--connections", "0"], "fetch: connections: Input should be greater than"),
        ([*IDC, "--endpoint-url", "s3.example.org"], "--endpoint-url: is not an address"),
        ([*IDC, "--join", "absent"], "absent: no such manifest"),
        (["fetch", "cityscapes"], "needs --manifest and --folder (or --check-login)"),
        (["fetch", "cityscapes", "--check-login"], "set CITYSCAPES_USERNAME and CITYSCAPES_PASS"),
        (["prepare", "folds", "--store", "absent", "--output", "f"], "absent: no such store"),
        (["prepare", "lidc", "--manifest", "absent", "--output", "o"], "no such manifest"),
        (REPORT, "s: no such table; run `probunet score table` first"),
        ([*REPORT, "--config", "{folds: 4"], "--config: not JSON"),
        ([*REPORT, "--config", "absent.yaml"], "absent.yaml: no such file"),
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


def test_a_secret_in_an_address_is_refused_and_not_repeated() -> None:
    for dataset in ("lidc", "cityscapes"):
        done = probunet(
            "fetch", dataset, "--manifest", "m", "--folder", "f",
            "--endpoint-url", "https://me:s3cret@example.org",
        )  # fmt: skip
        assert done.returncode == 1
        assert "--endpoint-url: holds a user's name or password" in done.stderr
        assert "s3cret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            [],
            [
                "LIDC-IDRI from https://s3.amazonaws.com/idc-open-data: 883 series of 875 patients",
                "  headers to read: 215,912 of 4096 bytes each, 0.88 GB",
                "  slices to get: 14,627 of 14,627, 7.70 GB",
            ],
        ),
        (
            ["--patients", "2", "--slices", "all", "--bucket", "b", "--endpoint-url", "http://h:9"],
            ["LIDC-IDRI from http://h:9/b: 2 series of 2 patients", "  headers to read: 0 of"],
        ),
        (
            ["--source", "tcia"],
            ["  whole series to get: 883 of 883, 113.64 GB; zips are smaller by what they shrink"],
        ),
        (["--source", "phantom"], ["LIDC-IDRI, --source phantom: nothing is downloaded"]),
    ],
)
def test_the_plan_says_what_would_be_moved_and_writes_nothing(
    tmp_path: Path, arguments: list[str], lines: list[str]
) -> None:
    done = probunet("fetch", "lidc", "--plan", "--folder", str(tmp_path / "raw"), *arguments)
    assert done.returncode == 0, done.stderr
    for line in lines:
        assert line in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not SAMPLE.is_dir(), reason=f"no real sample at {SAMPLE}")
def test_verify_says_what_is_missing_and_fails(tmp_path: Path) -> None:
    folder = SAMPLE / "LIDC-IDRI-0001"
    done = probunet("fetch", "lidc", "--verify", str(folder))
    assert done.returncode == 1
    assert "14,618 of 14,627 slices with outlines are missing or not usable." in done.stderr
    assert "9 of 14,627; whole are 1 of 883 series, 1 of 875 patients" in done.stdout


def test_image_refuses_an_argument_without_a_value(tmp_path: Path) -> None:
    done = probunet("image", "data", "--output", str(tmp_path / "data.sif"), "--argument", "base")
    assert done.returncode == 1
    assert "--argument base: is not name=value." in done.stderr
