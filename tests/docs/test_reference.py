"""The committed reference pages are equal to those that the code generates."""

import json
from pathlib import Path
from runpy import run_path

import pytest

from probunet.study import Config

DOCS = Path(__file__).parents[2] / "docs"
GENERATE = run_path(str(DOCS / "generate.py"))
PAGES = GENERATE["PAGES"]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_up_to_date(name: str) -> None:
    committed = (DOCS / "reference" / name).read_text()
    assert committed == PAGES[name](), "run `make reference`"


def test_every_key_of_every_section_is_listed() -> None:
    schema = Config.model_json_schema()
    sections = [schema, *schema["$defs"].values()]
    keys = {key for section in sections for key in section.get("properties", {})}
    first = "\n".join(line.split(" | ")[0] for line in PAGES["config.md"]().splitlines())
    assert [key for key in sorted(keys) if f"`{key}`" not in first] == []


def test_the_papers_values_for_cityscapes_are_listed() -> None:
    row = "| `training.batch` | `32` | `16` |"
    assert row in PAGES["config.md"]().splitlines()


@pytest.mark.parametrize(
    "row",
    [
        "## `probunet fetch`",
        "| `--dataset` | required | The data set's name in the configuration. *Text.* |",
        "| `--time-limit` |  | Minutes;",
        "| `--workers` | `1` | Worker processes. *Whole number, at least 1.* |",
        "| `KIND` | required | The kind of steps: with torch, or without (data). "
        "*One of `data`, `torch`.* |",
        "| `RUNS` | required | The runs' folders. *Path, several.* |",
    ],
)
def test_options_are_listed_with_type_and_default(row: str) -> None:
    assert any(line.startswith(row) for line in PAGES["cli.md"]().splitlines())


def test_the_figures_of_real_ct_are_tables_of_their_file(tmp_path: Path) -> None:
    scores = {"ged": 0.3119, "ged_low": 0.3, "ged_high": 0.32, "hm_iou": 0.525, "ncc_softmax": 0.8}
    training = {
        "trainings": 1,
        "steps": [3000],
        "minutes": 29.7,
        "seconds_per_step": 0.58,
        "parameters": 5_100_000,
        "arithmetic": ["bfloat16 on cpu (AVX512, threads: 2)"],
    }
    to_ged = {"0.42": {"minutes": 4.04, "steps": 400}, "0.35": None}
    guess = {
        "share_empty": 0.01,
        "iou_with_outlines": 0.55,
        "expected_distance": 0.657,
        "of_an_empty_mask": 0.62,
    }
    empty = {"ged": 0.84, "ged_low": 0.8, "ged_high": 0.9, "hm_iou": 0.4, "ncc_softmax": None}
    pair = {"difference": -0.52, "low": -0.6, "high": -0.45}
    file = tmp_path / "lidc_crops.json"
    study = {
        "set": {
            "protocol": "slices",
            "crops": 3206,
            "patients": {"train": 125, "test": 50},
            "crops of the parts": {"train": 2135, "test": 587},
            "side of a crop, pixels": 64,
        },
        "settings": {"batch": 32},
        "machine": {"cores": 2, "torch": "2.13.0"},
        "models": {
            "probabilistic_unet": {
                "training": training | {"to_ged": to_ged},
                "scores": {"1": scores, "16": scores},
                "single best guess": guess,
            },
            "unet_ensemble": {
                "training": training | {"trainings": 4, "steps": [750] * 4, "minutes": 31.0},
                "scores": {"1": scores, "16": scores},
                "single best guess": guess,
            },
        },
        "others": {"empty": {"1": empty, "16": empty}},
        "paired": {"empty": {"1": pair, "16": pair}, "deterministic": {"1": pair}},
    }
    file.write_text(json.dumps(study))
    page = GENERATE["real_ct_page"](file)
    for text in (
        "3,206 crops of LIDC-IDRI-slices (protocol `slices`), their central 64 pixels a side. "
        "Patients: 125 for train (2,135 crops), 50 for test (587 crops).",
        "30 to 31 minutes of training for each model",
        "2 CPU cores, PyTorch 2.13.0, bfloat16 on cpu (AVX512, threads: 2).",
        "| predictor | GED, n = 1 | GED, n = 16 | HM-IoU | NCC |",
        "0.312 (0.300 to 0.320) | 0.525 | 0.800 |",
        "| `empty` | 0.840 (0.800 to 0.900) | 0.840 (0.800 to 0.900) | 0.400 |  |",
        "| model | parameters | step | steps | minutes | 0.42 | 0.35 |",
        "| `probabilistic_unet` | 5.1 M | 0.58 s | 3,000 | 30 | 4.0 (400) |  |",
        "| `unet_ensemble` | 5.1 M | 0.58 s | 4 x 750 | 31 |  |  |",
        "| `empty` | -0.520 | -0.600 to -0.450 |",
        "| `probabilistic_unet` | 0.010 | 0.550 | 0.657 | 0.620 |",
    ):
        assert text in page
    assert "`deterministic`" not in page
