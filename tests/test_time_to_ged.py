"""`benchmarks/time_to_ged.py` and `benchmarks/lidc_crops.py`: what they read from files."""

import argparse
import json
import signal
from functools import partial
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from common import CROPS, ROOT, prepared
from energy import Energy
from lidc_crops import SPEED, configuration, paired, seconds_per_validation, sit, training_of
from probunet.config import ModelName, check
from probunet.datasets import open_data
from probunet.folds import Folds
from probunet.models import build
from probunet.models.weights import WeightsInfo, save_weights
from probunet.prepare.folds import draw_folds
from probunet.study import Config
from time_to_ged import (
    OVERLAY,
    SPLIT,
    named_setting,
    over_seeds,
    reached,
    read_log,
    seconds_per_step,
    settings_of,
    summary,
)

LOG = [
    {"step": 10, "loss": 1.0, "seconds": 30.0},  # the first steps are slower
    {"step": 20, "loss": 1.0, "seconds": 10.0},
    {"step": 20, "validation_ged": 0.5},
    {"step": 30, "loss": 1.0, "seconds": 17.0},  # with a validation of 7 s
    {"step": 40, "loss": 1.0, "seconds": 10.0},
    {"step": 40, "validation_ged": 0.4},
    {"step": 60, "loss": 1.0, "seconds": 23.0},
    {"step": 60, "validation_ged": 0.41},
]


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (0.6, {"steps": 20, "minutes": 40 / 60}),
        (0.41, {"steps": 40, "minutes": 67 / 60}),
        (0.4, {"steps": 40, "minutes": 67 / 60}),
        (0.39, None),
    ],
)
def test_a_ged_is_reached_at_its_first_validation(target, expected):
    assert reached(LOG, target) == expected


def test_steps_and_validations_are_timed_apart():
    assert seconds_per_step(LOG) == 1.0
    assert seconds_per_validation(LOG) == 7.0
    assert seconds_per_step([]) is None
    assert seconds_per_step(LOG[:1]) == 3.0


def test_half_a_line_of_a_log_is_not_read(tmp_path):
    path = tmp_path / "training.jsonl"
    assert read_log(path) == []
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_log(path) == [{"step": 1}]


def test_seeds_that_do_not_reach_a_ged_are_the_slowest():
    assert over_seeds([2, None, 1]) == {"median": 2, "low": 1, "high": None}
    assert over_seeds([None, None, 1]) == {"median": None, "low": 1, "high": None}
    assert over_seeds([None]) is None
    assert over_seeds([]) is None
    trials = [
        {"reached": {"0.4": {"steps": 40, "minutes": 2.0, "watt_hours": None}}},
        {"reached": {}},
    ]
    more = dict.fromkeys(("seconds_per_step", "megabytes", "gpu_megabytes", "best_ged"))
    found = summary(settings_of({}, 600), [one | more for one in trials], [0.4])["to_ged"]["0.4"]
    assert found["reached_by"] == 1
    assert found["steps"] == {"median": None, "low": 40, "high": None}
    assert found["watt_hours"] is None


def test_settings_differ_from_the_overlay_where_asked():
    name, changes = named_setting(
        'mine={"training": {"batch": 7}, "architecture": {"latent_dim": 2}}'
    )
    settings = settings_of(changes, 600)
    assert (name, settings.training.batch, settings.training.steps) == ("mine", 7, 600)
    assert settings.architecture.latent_dim == 2
    assert settings.architecture.channels == settings_of({}, 600).architecture.channels
    for text in ("mine", "mine={", "mine=[1]"):
        with pytest.raises((ValueError, TypeError)):
            named_setting(text)


@pytest.mark.parametrize(("told", "expected"), [("360.0", 0.2), ("[N/A]", None)])
def test_energy_is_the_power_that_the_driver_tells_over_time(tmp_path, monkeypatch, told, expected):
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f"#!/bin/sh\necho '{told}'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    clock = iter([0.0, 1.0, 2.0])
    monkeypatch.setattr("energy.time.monotonic", lambda: next(clock))
    energy = Energy("cuda:1")
    energy.measure()
    energy.measure()
    assert energy.watt_hours == (expected if expected is None else pytest.approx(expected))
    monkeypatch.undo()
    none = Energy("cpu")
    none.measure()
    assert none.watt_hours is None


def test_a_pair_is_read_in_both_orders():
    columns = ["n", "model", "other_model", "difference", "low", "high"]
    rows = [
        (1, "a", "me", 0.3, 0.1, 0.5),
        (1, "me", "z", -0.2, -0.3, -0.1),
        (16, "me", "z", -0.4, -0.5, -0.3),
        (1, "a", "z", 9, 9, 9),
    ]
    found = paired(pd.DataFrame(rows, columns=columns), "me")
    assert found == {
        "a": {"1": {"difference": -0.3, "low": -0.5, "high": -0.1}},
        "z": {
            "1": {"difference": -0.2, "low": -0.3, "high": -0.1},
            "16": {"difference": -0.4, "low": -0.5, "high": -0.3},
        },
    }


def test_the_cost_of_an_ensemble_is_that_of_its_members(tmp_path):
    shared = {"channels": [4, 4], "convolutions": 1, "initialisation": "he"}
    folders = [tmp_path / f"member-{member}" for member in range(2)]
    for folder in folders:
        folder.mkdir()
        model = build("unet", settings_of({"architecture": shared}, 600).architecture_of("unet"))
        info = WeightsInfo(
            model="unet",
            architecture=settings_of({"architecture": shared}, 600).architecture_of("unet"),
            in_channels=1,
            classes=2,
            window=None,
            crop=64,
            run="lidc/unet_ensemble/beta-1/fold-0/seed-0/" + folder.name,
            store="",
            step=40,
            validation_ged=0.4,
        )
        save_weights(folder / "weights.pt", model, info)
        (folder / "training.jsonl").write_text("".join(json.dumps(one) + "\n" for one in LOG))
    speed = {"seconds_per_step": 2.0, "seconds_per_validation": 20.0}
    both, one = training_of(folders, speed, 20), training_of(folders[:1], speed, 20)
    # 60 steps and 3 validations each, on an idle machine
    assert both["minutes"] == pytest.approx(2 * one["minutes"]) == pytest.approx(2 * 3)
    parameters = sum(part.numel() for part in model.parameters())
    assert both["parameters"] == 2 * one["parameters"] == 2 * parameters
    assert (both["steps"], both["steps of the best validation"]) == ([60, 60], [40, 40])
    assert "to_ged" not in both  # each member is one of several samples
    assert one["to_ged"]["0.42"] == {"steps": 40, "minutes": 2}
    assert one["to_ged"]["0.35"] is None


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_IGN])
def test_a_sitting_ends_after_its_minutes_as_by_ctrl_c(tmp_path, monkeypatch, request, before):
    request.addfinalizer(partial(signal.signal, signal.SIGINT, signal.getsignal(signal.SIGINT)))
    signal.signal(signal.SIGINT, before)  # a shell's background jobs ignore it
    for name, script, ends in (
        ("stopped", "trap 'touch saved; exit 1' INT\nfor i in {1..80}; do sleep 0.1; done", False),
        ("finished", "exit 0", True),
    ):
        folder = tmp_path / name
        folder.mkdir()
        engine = folder / "snakemake"
        engine.write_text(f'#!/bin/bash\ncd {folder}\necho "$@" >words\n{script}\n')
        engine.chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
        arguments = argparse.Namespace(
            crops=tmp_path / "mine.zip", directory=folder, cores=2, minutes=1 / 60
        )
        assert sit(arguments, [OVERLAY]) is ends
        assert (folder / "saved").exists() is not ends
        assert str(tmp_path / "mine.zip") in (folder / "words").read_text()


def test_the_overlay_is_the_same_with_config_yaml_below_it_or_without():
    overlay = yaml.safe_load(OVERLAY.read_text())
    both = yaml.safe_load((ROOT / "config.yaml").read_text())
    update_config(both, overlay)
    below, alone = check(Config, both, "both"), configuration([OVERLAY])
    assert below.of("lidc") == alone.of("lidc")
    assert (below.folds, below.paths) == (alone.folds, alone.paths)


def test_the_overlay_compares_all_models_for_as_many_minutes_each():
    study = configuration([OVERLAY]).of("lidc")
    assert set(study.models) == set(get_args(ModelName))
    measured = {name: speed["steps"] for name, speed in json.loads(SPEED.read_text()).items()}
    assert {name: study.of_model(name).training.steps for name in study.models} == measured
    assert study.models[0] == "probabilistic_unet"


def test_the_split_is_the_first_of_four_folds_over_the_patients(tmp_path):
    if not CROPS.exists():
        pytest.skip("the real crops are not here: ../shared/lidc-crops")
    data = open_data(prepared(CROPS, tmp_path))
    assert Folds.read(SPLIT).folds == draw_folds(data, 4, 0).folds[:1]


def test_the_project_s_folder_is_that_of_the_overlay():
    assert Path(configuration([OVERLAY]).datasets.lidc.folds_file) == SPLIT.relative_to(ROOT)
