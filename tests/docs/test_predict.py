"""The page about images of one's own: all of its commands and blocks run, in order."""

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from probunet.cli import app
from probunet.predict.base import DISCLAIMER
from probunet.run import Run
from probunet.sample.draw import sample_run
from support.crops import write_discs
from support.folds import write_folds
from support.pages import fences, prose
from support.predicting import write_whole_series
from support.settings import tiny_settings
from support.weights import write_untrained

PAGE = "docs/how-to/predict.md"


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """The files of `make demo` that the page uses, with a network of a few weights."""
    settings = tiny_settings()
    evaluation = settings.evaluation.model_copy(update={"samples": 16})
    settings = settings.model_copy(update={"evaluation": evaluation})
    run = Run("lidc", "probabilistic_unet", 1.0, 0, 0)
    folder = tmp_path / "results" / run.folder
    store = write_discs(tmp_path / "data/lidc.zarr", seed=0)
    folds = write_folds(tmp_path / "folds.json", "lidc", train="a b", validation="c", test="d")
    weights = write_untrained(folder / "weights.pt", run, store, settings)
    sample_run([weights], store, folds, run, settings, folder / "samples.zarr", "cpu", 1)
    write_whole_series(tmp_path / "data/raw/lidc/PHANTOM-0007/study/series", (512, 512))
    return tmp_path


def test_the_page_runs(
    study: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(study)
    named: dict[str, Any] = {}
    for language, text in fences(PAGE):
        if language == "python":
            exec(compile(text, PAGE, "exec"), named)
        else:
            words = text.replace("\\\n", " ").split()
            assert words[:2] == ["probunet", "predict"]
            if "--dicom-seg" in words and find_spec("highdicom") is None:
                continue
            done = CliRunner().invoke(app, [*words[1:], "--threads", "1"])
            assert done.exit_code == 0, (words, done.exception)
    printed = capsys.readouterr().out.splitlines()
    assert printed == ["True", "(16, 32, 32) (2, 32, 32) True", "True", "(1, 2) True"]

    lines = (study / "predictions/predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["crop.tif", "volume.nii.gz"]
    assert all(json.loads(line)["use"] == DISCLAIMER for line in lines)
    assert len(list((study / "around/scan").glob("*.nii.gz"))) == 20
    if find_spec("highdicom") is not None:
        assert len(list((study / "seg/scan").glob("*.dcm"))) == 17


def test_the_page_says_what_it_is_for() -> None:
    assert "Research use, no medical device" in prose(PAGE)
