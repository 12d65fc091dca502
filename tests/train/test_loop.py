"""Training: what it leaves, and that stopping, killing and resuming change nothing."""

import errno
import json
import logging
import math
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from probunet.config import Settings
from probunet.config.models import MHeads
from probunet.errors import OutOfMemoryError, ProbunetError, TimeLimitError
from probunet.files import locked
from probunet.folds import Fold, Folds
from probunet.models import MODELS, Architecture, Loss, Model
from probunet.models.device import Arithmetic
from probunet.models.phiseg import PHiSeg
from probunet.models.plain_unet import PlainUNet
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.weights import load_plain, load_weights, save_whole
from probunet.run import Run
from probunet.train import loop
from probunet.train.average import Average
from probunet.train.loop import READ_EVERY, _make_deterministic, _optimise, train

Trainer = Callable[..., Path]


@pytest.fixture
def trainer(tmp_path: Path, store: Path, folds: Path, run: Run, settings: Settings) -> Trainer:
    """Return a function that trains in a named folder and returns the run's folder."""

    def call(name: str, **changes: object) -> Path:
        output = tmp_path / name / run.folder
        arguments = {
            "run": run,
            "store": store,
            "folds": folds,
            "settings": settings,
            "output": output,
            "checkpoint": tmp_path / name / "checkpoint",
            "device": "cpu",
            "threads": 1,
        }
        train(**{**arguments, **changes})  # type: ignore[arg-type]
        return output

    return call


def _change(settings: Settings, **training: object) -> Settings:
    return settings.model_copy(update={"training": settings.training.model_copy(update=training)})


def _lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _without_seconds(path: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in _lines(path)]


def _assert_same(one: Path, other: Path) -> None:
    for name in ("weights.pt", "last.pt"):
        a, b = load_plain(one / name), load_plain(other / name)
        assert {k: v for k, v in a.items() if k != "state"} == {
            k: v for k, v in b.items() if k != "state"
        }
        for key, value in a["state"].items():
            assert torch.equal(value, b["state"][key]), key
    assert _without_seconds(one / "training.jsonl") == _without_seconds(other / "training.jsonl")


class _Killed(BaseException):
    pass


def _die_at(
    monkeypatch: pytest.MonkeyPatch, at: int, model: type[Model] = ProbabilisticUNet
) -> None:
    """Make the at-th gradient step of a model from now on die ahead of its loss."""
    calls = iter(range(1, 1_000))
    loss = model.loss

    def dying(self: Model, *args: object, **kwargs: object) -> Loss:
        if next(calls) == at:
            raise _Killed
        return loss(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(model, "loss", dying)


def test_what_it_leaves(trainer: Trainer, tmp_path: Path, run: Run) -> None:
    output = trainer("a")
    _, best = load_weights(output / "weights.pt")
    _, last = load_weights(output / "last.pt")
    lines = _lines(output / "training.jsonl")
    validations = {line["step"]: line["validation_ged"] for line in lines if len(line) == 3}
    assert list(validations) == [3, 6]
    assert (last.step, last.validation_ged) == (6, validations[6])
    assert best.validation_ged == min(validations.values())
    assert validations[best.step] == best.validation_ged
    assert best.run == run.folder
    assert [line["step"] for line in lines if "loss" in line] == [2, 4, 6]
    for line in lines:
        if "loss" in line:
            assert line["loss"] == pytest.approx(line["reconstruction"] + line["kl"])
    assert [line["learning_rate"] for line in lines if "loss" in line] == [1e-3, 1e-4, 1e-4]
    finished = tmp_path / "a" / "checkpoint" / "finished"
    assert list(finished.parent.iterdir()) == [finished]
    assert (finished / "weights.pt").samefile(output / "weights.pt")  # no second copy on the disk
    assert list((output / "tensorboard").iterdir())
    assert sorted(p.name for p in output.iterdir()) == [
        "last.pt",
        "tensorboard",
        "training.jsonl",
        "weights.pt",
    ]


OUTPUTS = ("weights.pt", "last.pt", "training.jsonl")


def _forget(output: Path) -> dict[str, bytes]:
    """Remove a run's outputs as Snakemake does before it starts a step; return what they were."""
    before = {name: (output / name).read_bytes() for name in OUTPUTS}
    for name in OUTPUTS:
        (output / name).unlink()
    return before


@pytest.mark.parametrize("links", [True, False])
def test_outputs_of_a_finished_training_are_put_back(
    trainer: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    links: bool,
) -> None:
    if not links:
        monkeypatch.setattr(Path, "hardlink_to", _refuse)
    before = _forget(trainer("a"))
    started = time.time() - 1  # a file system's clock may be coarse
    with monkeypatch.context() as patch, caplog.at_level(logging.INFO):
        _die_at(patch, 1)
        output = trainer("a")
    assert {name: (output / name).read_bytes() for name in OUTPUTS} == before
    assert all((output / name).stat().st_mtime > started for name in OUTPUTS)
    assert "was finished before; its outputs are back. To train it again, remove " in caplog.text


def _refuse(*arguments: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


def test_other_settings_than_those_of_the_finished_training_train_again(
    trainer: Trainer, settings: Settings, tmp_path: Path
) -> None:
    _forget(trainer("a"))
    other = _change(settings, steps=5)
    with pytest.raises(TimeLimitError):
        trainer("a", settings=other, time_limit=0.0)
    assert not (tmp_path / "a/checkpoint/finished").exists()
    _assert_same(trainer("a", settings=other), trainer("b", settings=other))


def test_the_same_twice(trainer: Trainer) -> None:
    _assert_same(trainer("a"), trainer("b"))


@pytest.mark.parametrize("at", [1, 2, 3, 4, 6])
def test_killed_at_a_step_and_resumed(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    whole = trainer("whole")
    with monkeypatch.context() as patch:
        _die_at(patch, at)
        with pytest.raises(_Killed):
            trainer("killed")
    _assert_same(trainer("killed"), whole)


@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_statistics_of_batch_normalisation_are_resumed(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, run: Run, settings: Settings, ema: float
) -> None:
    own = {"run": replace(run, model="phiseg"), "settings": _change(settings, ema=ema)}
    whole = trainer("whole", **own)
    with monkeypatch.context() as patch:
        _die_at(patch, 4, PHiSeg)
        with pytest.raises(_Killed):
            trainer("killed", **own)
    _assert_same(trainer("killed", **own), whole)
    state = load_plain(whole / "last.pt")["state"]
    statistic = state["likelihood.first.0.1.running_var"]
    assert not torch.equal(statistic, torch.ones_like(statistic))


def test_time_limit_saves_and_goes_on(trainer: Trainer, tmp_path: Path) -> None:
    whole = trainer("whole")
    with pytest.raises(
        TimeLimitError, match=r"stopped at step 0 of 6 .*run the same command again"
    ):
        trainer("limited", time_limit=0.0)
    assert (tmp_path / "limited" / "checkpoint" / "latest.pt").exists()
    _assert_same(trainer("limited"), whole)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_saves_and_goes_on(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    whole = trainer("whole")
    before = signal.getsignal(number)
    loss = ProbabilisticUNet.loss
    calls = iter(range(1, 1_000))

    def signalled(self: ProbabilisticUNet, *args: object, **kwargs: object) -> Loss:
        if next(calls) == 3:  # a validation follows, which is left for later
            signal.raise_signal(number)
        return loss(self, *args, **kwargs)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ProbabilisticUNet, "loss", signalled)
        with pytest.raises(TimeLimitError, match=rf"step 3 of 6 \({number.name}\)"):
            trainer("stopped")
    assert signal.getsignal(number) is before
    _assert_same(trainer("stopped"), whole)


def test_other_settings_start_afresh(
    trainer: Trainer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    other = _change(settings, batch=3)
    fresh = trainer("fresh", settings=other)
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    with caplog.at_level("INFO"):
        _assert_same(trainer("a", settings=other), fresh)
    assert "starts at step 0" in caplog.text


def test_it_records_in_which_arithmetic_it_trained(trainer: Trainer) -> None:
    output = trainer("a")
    expected = [asdict(Arithmetic.of(torch.device("cpu"), "auto"))]
    for name in ("weights.pt", "last.pt"):
        assert load_weights(output / name)[1].arithmetic == expected
    assert expected[0]["threads"] == 1


@pytest.mark.parametrize("change", [{"precision": "float16"}, {"capability": "X"}, {"threads": 7}])
def test_it_goes_on_in_another_arithmetic_only_if_asked_to(
    trainer: Trainer,
    change: dict[str, object],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    first = Arithmetic.of(torch.device("cpu"), "auto")
    monkeypatch.setattr(Arithmetic, "of", lambda *_: replace(first, **change))
    with pytest.raises(ProbunetError, match=r"was trained in .*, and would go on in .*resume-any"):
        trainer("a")
    anyway = tmp_path / "a/checkpoint/resume-anyway"
    anyway.touch()
    output = trainer("a")
    assert "goes on in" in caplog.text
    assert not anyway.exists()
    both = [asdict(first), asdict(first) | change]
    assert load_weights(output / "last.pt")[1].arithmetic == both


def test_a_checkpoint_of_an_older_version_goes_on_and_says_so(
    trainer: Trainer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = trainer("whole")
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    latest = tmp_path / "a/checkpoint/latest.pt"
    content = load_plain(latest)
    del content["arithmetic"]
    save_whole(latest, content)
    _assert_same(trainer("a"), whole)
    assert "does not say in which precision it was trained" in caplog.text


def test_a_coarsest_latent_map_of_several_pixels_is_told(
    trainer: Trainer, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    trainer("a", run=replace(run, model="hierarchical_probabilistic_unet"))
    assert "the coarsest latent map is 16x16 pixels" in caplog.text


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_gpu_is_deterministic_only_if_asked_to_be(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    _make_deterministic(torch.device(device), False)
    assert asked == [True] * (device == "cpu")
    _make_deterministic(torch.device(device), True)
    assert asked[-1]
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.parametrize("changed", [{"checkpoint_every": 1}, {"data": "disk"}])
def test_how_often_it_saves_and_where_images_are_do_not_matter_for_going_on(
    trainer: Trainer,
    settings: Settings,
    changed: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    with caplog.at_level("INFO"):
        trainer("a", settings=_change(settings, **changed))
    assert "resumes from step 0" in caplog.text


def test_another_model_s_settings_do_not_matter_for_going_on(
    trainer: Trainer, settings: Settings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    heads = replace(run, model="m_heads")
    changed = settings.model_copy(update={"m_heads": MHeads(heads=3)})
    for name, chosen, told in (("a", run, "resumes from"), ("b", heads, "starts at")):
        with pytest.raises(TimeLimitError):
            trainer(name, run=chosen, time_limit=0.0)
        with caplog.at_level("INFO"):
            trainer(name, run=chosen, settings=changed)
        assert told in caplog.text
        caplog.clear()


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_resumes_to_the_bit(trainer: Trainer, run: Run, model: str) -> None:
    chosen = replace(run, model=model)
    whole = trainer("whole", run=chosen)
    loss = MODELS[model].loss
    calls = iter(range(1, 1_000))

    def dying(self: Model, *args: object, **kwargs: object) -> Loss:
        if next(calls) == 4:
            raise _Killed
        return loss(self, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODELS[model], "loss", dying)
        with pytest.raises(_Killed):
            trainer("killed", run=chosen)
    _assert_same(trainer("killed", run=chosen), whole)


OPTIONS: list[dict[str, object]] = [
    {"schedule": "cosine", "warm_up": 2},
    {"ema": 0.7},
    {"graders_per_image": 3},
    {"schedule": "cosine", "warm_up": 2, "ema": 0.7, "graders_per_image": 3},
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("at", [1, 4, 6])
def test_every_option_resumes_to_the_bit(
    trainer: Trainer, settings: Settings, options: dict[str, object], at: int
) -> None:
    chosen = _change(settings, **options)
    whole = trainer("whole", settings=chosen)
    with pytest.MonkeyPatch.context() as patch:
        _die_at(patch, at)
        with pytest.raises(_Killed):
            trainer("killed", settings=chosen)
    _assert_same(trainer("killed", settings=chosen), whole)


@pytest.mark.parametrize("options", OPTIONS[:3])
def test_a_training_with_another_option_does_not_go_on(
    trainer: Trainer,
    settings: Settings,
    options: dict[str, object],
    caplog: pytest.LogCaptureFixture,
) -> None:
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    with caplog.at_level("INFO"):
        trainer("a", settings=_change(settings, **options))
    assert "starts at step 0" in caplog.text


def test_averaged_weights_are_validated_and_saved(
    trainer: Trainer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    averages: dict[int, dict[str, torch.Tensor]] = {}
    validated: list[Model] = []
    update, check = Average.update, loop.validate

    def updating(self: Average, step: int) -> None:
        update(self, step)
        averages[step] = {k: v.clone() for k, v in self.model.state_dict().items()}
        assert self.model is not self.trained

    def validating(model: Model, *rest: object) -> tuple[float, float] | None:
        validated.append(model)
        return check(model, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Average, "update", updating)
    monkeypatch.setattr(loop, "validate", validating)
    output = trainer("a", settings=_change(settings, ema=0.7))
    assert list(averages) == [1, 2, 3, 4, 5, 6]
    for name in ("weights.pt", "last.pt"):
        model, info = load_weights(output / name)
        assert info.ema == 0.7
        for key, value in model.state_dict().items():
            assert torch.equal(value, averages[info.step][key]), key
    assert len(set(validated)) == 1
    for key, value in validated[0].state_dict().items():
        assert torch.equal(value, averages[6][key]), key


def test_weights_of_a_step_have_no_decay(trainer: Trainer) -> None:
    assert load_weights(trainer("a") / "weights.pt")[1].ema is None


def test_a_damaged_average_of_a_checkpoint_is_named(
    trainer: Trainer, tmp_path: Path, settings: Settings
) -> None:
    averaged = _change(settings, ema=0.7)
    with pytest.raises(TimeLimitError):
        trainer("a", settings=averaged, time_limit=0.0)
    latest = tmp_path / "a/checkpoint/latest.pt"
    content = load_plain(latest)
    for average in (None, {}, {k: v * math.nan for k, v in content["average"].items()}):
        save_whole(latest, content | {"average": average})
        with pytest.raises(ProbunetError, match=r"latest\.pt: not a checkpoint of this training"):
            trainer("a", settings=averaged)
    del content["average"]
    save_whole(latest, content)
    with pytest.raises(ProbunetError, match=r"latest\.pt: .*no moving average of the weights"):
        trainer("a", settings=averaged)


@pytest.mark.parametrize(
    ("asked", "own", "expected"), [(0.0, 0.9, 0.9), (0.7, 0.9, 0.7), (0.0, 0.0, None)]
)
def test_a_model_s_own_average_is_taken_unless_all_models_have_one(
    trainer: Trainer,
    settings: Settings,
    run: Run,
    asked: float,
    own: float,
    expected: float | None,
) -> None:
    chosen = _change(settings, ema=asked, steps=2)
    chosen = chosen.model_copy(update={"ccdm": chosen.ccdm.model_copy(update={"ema": own})})
    output = trainer("a", settings=chosen, run=replace(run, model="ccdm"))
    assert load_weights(output / "weights.pt")[1].ema == expected
    assert load_weights(trainer("b", settings=chosen) / "weights.pt")[1].ema == (asked or None)


@pytest.mark.parametrize("model", [name for name in MODELS if not MODELS[name].all_masks])
def test_a_model_that_cannot_use_several_masks_says_so_and_uses_one(
    trainer: Trainer,
    settings: Settings,
    run: Run,
    model: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    chosen, several = replace(run, model=model), MODELS[model].several_masks
    four = trainer("four", run=chosen, settings=_change(settings, graders_per_image=4))
    told = f"graders_per_image: 4 has no effect on {model}, whose U-Net depends on the mask"
    assert (told in caplog.text) != several
    if not several:
        _assert_same(four, trainer("one", run=chosen))


def test_a_model_that_sees_all_graders_says_that_a_number_has_no_effect(
    trainer: Trainer, settings: Settings, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = replace(run, model="mose")
    told = "graders_per_image: 2 has no effect on mose, which sees all graders of an image, up to 4"
    whole = trainer("usual", run=chosen)
    assert "mose" not in caplog.text
    two = trainer("two", run=chosen, settings=_change(settings, graders_per_image=2))
    assert told in caplog.text
    _assert_same(two, whole)


@pytest.mark.parametrize("model", ["mose", "phiseg"])
def test_one_image_of_one_pixel_at_the_coarsest_scale_cannot_be_normalised(
    trainer: Trainer, settings: Settings, run: Run, model: str
) -> None:
    chosen = _change(settings, batch=1, crop=2)
    with pytest.raises(ProbunetError, match=f"training.batch: 1: {model} normalises the features"):
        trainer("a", settings=chosen, run=replace(run, model=model))
    trainer("b", settings=_change(settings, batch=1, crop=4), run=replace(run, model=model))


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoint(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    loss = ProbabilisticUNet.loss
    calls = iter(range(1, 1_000))

    def breaking(self: ProbabilisticUNet, *args: object, **kwargs: object) -> Loss:
        scale = math.nan if next(calls) == 4 else 1.0
        return Loss(*(part * scale for part in loss(self, *args, **kwargs)))  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(ProbabilisticUNet, "loss", breaking)
        with pytest.raises(
            ProbunetError, match=r"step 4, learning rate 0\.0001: the loss is nan.*latest\.pt"
        ):
            trainer("a")
    latest = load_plain(tmp_path / "a" / "checkpoint" / "latest.pt")
    assert latest["step"] == 2
    assert all(torch.isfinite(value).all() for value in latest["model"].values())
    _assert_same(trainer("a"), trainer("whole"))


class _Normed(PlainUNet):
    """A U-Net with batch normalisation of its image; records the mode of each call."""

    modes: ClassVar[list[tuple[str, bool]]] = []

    def __init__(self, architecture: Architecture) -> None:
        super().__init__(architecture)
        self.norm = nn.BatchNorm2d(architecture.in_channels)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.modes.append(("gradient" if torch.is_grad_enabled() else "draw", self.training))
        return super().forward(self.norm(image))


def test_a_model_is_in_training_mode_for_gradient_steps_alone(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, settings: Settings, run: Run
) -> None:
    monkeypatch.setitem(MODELS, "normed", _Normed)  # type: ignore[misc]
    monkeypatch.setattr(_Normed, "modes", [])
    normed = replace(run, model="normed")
    often = trainer("often", run=normed, settings=_change(settings, validation_every=1))
    assert set(_Normed.modes) == {("gradient", True), ("draw", False)}
    state = load_plain(often / "last.pt")["state"]
    assert state["norm.num_batches_tracked"] == settings.training.steps
    assert state["norm.running_mean"].abs() > 0
    once = trainer("once", run=normed, settings=_change(settings, validation_every=6))
    for key, value in load_plain(once / "last.pt")["state"].items():
        assert torch.equal(value, state[key]), key


def _break_at(monkeypatch: pytest.MonkeyPatch, at: int) -> list[int]:
    """Make the reconstruction of one step alone NaN; return the list of steps done."""
    done: list[int] = []
    loss = ProbabilisticUNet.loss

    def breaking(self: ProbabilisticUNet, *args: object, **kwargs: object) -> Loss:
        done.append(len(done) + 1)
        total, reconstruction, kl = loss(self, *args, **kwargs)  # type: ignore[arg-type]
        return Loss(total, reconstruction * (math.nan if done[-1] == at else 1), kl)

    monkeypatch.setattr(ProbabilisticUNet, "loss", breaking)
    return done


@pytest.mark.parametrize("due", ["log_every", "checkpoint_every", "validation_every"])
def test_a_bad_step_is_found_before_anything_is_written(
    trainer: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
    due: str,
) -> None:
    often = {"checkpoint_every": 100, "log_every": 100, "validation_every": 100, due: 6}
    settings = _change(settings, steps=30, **often)
    done = _break_at(monkeypatch, 10)
    with pytest.raises(
        ProbunetError, match=r"step 10, learning rate 0\.001: the loss is \d.*\(reconstruction nan"
    ):
        trainer("a", settings=settings)
    assert len(done) == 12
    checkpoint = tmp_path / "a" / "checkpoint"
    assert load_plain(checkpoint / "latest.pt")["step"] == (6 if due == "checkpoint_every" else 0)
    assert (checkpoint / "best.pt").exists() == (due == "validation_every")
    written = [line["step"] for line in _lines(checkpoint / "training.jsonl")]
    assert written == ([] if due == "checkpoint_every" else [6])


def test_a_bad_step_is_not_saved_on_a_signal(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, settings: Settings
) -> None:
    done = _break_at(monkeypatch, 3)
    breaking = ProbabilisticUNet.loss

    def signalled(self: ProbabilisticUNet, *args: object, **kwargs: object) -> Loss:
        if len(done) == 4:
            signal.raise_signal(signal.SIGTERM)
        return breaking(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(ProbabilisticUNet, "loss", signalled)
    seldom = {"checkpoint_every": 100, "log_every": 100, "validation_every": 100}
    with pytest.raises(ProbunetError, match="step 3, learning rate"):
        trainer("a", settings=_change(settings, steps=30, **seldom))
    assert len(done) == 5
    assert load_plain(tmp_path / "a" / "checkpoint" / "latest.pt")["step"] == 0


def test_losses_are_read_together_and_not_too_seldom(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    read: list[tuple[int, ...]] = []
    tolist = torch.Tensor.tolist

    def counting(self: torch.Tensor) -> object:
        read.append(tuple(self.shape))
        return tolist(self)

    def optimise(*arguments: object) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(torch.Tensor, "tolist", counting)
            patch.setattr(torch.Tensor, "item", counting)
            _optimise(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("probunet.train.loop._optimise", optimise)
    seldom = {"checkpoint_every": 100, "log_every": 100, "validation_every": 100}
    steps = 2 * READ_EVERY + 5
    trainer("a", settings=_change(settings, steps=steps, **seldom))
    assert read == [(READ_EVERY, 3), (READ_EVERY, 3), (5, 3)]


def test_how_often_losses_are_read_changes_no_number(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    settings = _change(settings, steps=9, log_every=4, checkpoint_every=5)
    together = trainer("together", settings=settings)
    monkeypatch.setattr("probunet.train.loop.READ_EVERY", 1)
    _assert_same(trainer("each", settings=settings), together)


def test_two_at_once_are_refused(trainer: Trainer, tmp_path: Path, run: Run) -> None:
    with (
        locked(tmp_path / "a" / run.folder),
        pytest.raises(ProbunetError, match="another process is writing here"),
    ):
        trainer("a")


def test_a_damaged_checkpoint_is_named(trainer: Trainer, tmp_path: Path) -> None:
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    latest = tmp_path / "a" / "checkpoint" / "latest.pt"
    latest.write_bytes(latest.read_bytes()[:-500])
    with pytest.raises(ProbunetError, match=r"latest\.pt: .*corrupt"):
        trainer("a")


def test_folds_of_another_store(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    fold = Fold(train=("x",), validation=("c",), test=("d",))
    Folds(dataset="discs", folds=(fold,)).write(path)
    with pytest.raises(ProbunetError, match=r"no image of .* belongs to a training patient"):
        trainer("a", folds=path)


def test_nobody_to_validate_on(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    fold = Fold(train=("a", "b"), validation=(), test=("d",))
    Folds(dataset="discs", folds=(fold,)).write(path)
    output = trainer("a", folds=path)
    best, last = (load_weights(output / name)[1] for name in ("weights.pt", "last.pt"))
    assert best == last
    assert (best.step, best.validation_ged) == (6, None)
    assert not any("validation_ged" in line for line in _lines(output / "training.jsonl"))


def test_unusable_device(trainer: Trainer) -> None:
    with pytest.raises(ProbunetError, match="device tpu9: not usable here"):
        trainer("a", device="tpu9")


def test_the_log_begins_with_the_device(trainer: Trainer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "probunet")
    trainer("a")
    first = caplog.messages[0]
    assert first.startswith("device: cpu (1 thread), capability: ")
    precision = Arithmetic.of(torch.device("cpu"), "auto").precision
    assert f"precision: {precision}, compile: off" in first


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("loss", r"training: out of memory .* 3\.00 GiB .*training\.batch \(2\) or training\.crop"),
        ("draw", r"validation: out of memory .*lower training\.validation_samples \(2\)"),
    ],
)
def test_lack_of_memory_names_the_keys_to_lower(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, method: str, keys: str
) -> None:
    def lacking(*arguments: object, **options: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB. GPU 0 has")

    monkeypatch.setattr(ProbabilisticUNet, method, lacking)
    with pytest.raises(OutOfMemoryError, match=keys):
        trainer("a")


def test_works_off_the_main_thread(trainer: Trainer) -> None:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            trainer("a")
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert not failed


_SCRIPT = """
import sys
from pathlib import Path
from probunet.config import Settings
from probunet.run import Run
from probunet.train.loop import train
store, folds, output, checkpoint, settings = sys.argv[1:]
train(Run.parse(output), Path(store), Path(folds), Settings.model_validate_json(settings),
      Path(output), Path(checkpoint), device="cpu", threads=1)
"""


@pytest.mark.slow
def test_killed_with_minus_nine_and_resumed(
    trainer: Trainer, tmp_path: Path, store: Path, folds: Path, run: Run, settings: Settings
) -> None:
    settings = _change(settings, steps=120, checkpoint_every=5, validation_every=20)
    whole = trainer("whole", settings=settings)
    output, checkpoint = tmp_path / "killed" / run.folder, tmp_path / "killed" / "checkpoint"
    command = [sys.executable, "-c", _SCRIPT, str(store), str(folds), str(output), str(checkpoint)]
    command.append(settings.model_dump_json())
    log = checkpoint / "training.jsonl"
    kills = 0
    for at in (3, 17, 41, 66, 90):
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while process.poll() is None:
            if log.exists() and len(log.read_text().splitlines()) * 2 >= at:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.002)
        process.communicate()
    assert kills >= 3
    subprocess.run(command, check=True, capture_output=True)
    _assert_same(output, whole)


def test_another_run_of_the_same_folder_does_not_go_on(trainer: Trainer, run: Run) -> None:
    with pytest.raises(TimeLimitError):
        trainer("a", time_limit=0.0)
    other = replace(run, beta=10.0)
    _assert_same(trainer("a", run=other), trainer("b", run=other))


def _stop_at(trainer: Trainer, tmp_path: Path, settings: Settings) -> tuple[Path, Settings]:
    """Kill a training after its first validation and a later checkpoint; return its checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        _die_at(patch, 6)
        with pytest.raises(_Killed):
            trainer("a", settings=settings)
    return tmp_path / "a" / "checkpoint", settings


@pytest.mark.parametrize("damage", ["missing", "cut", "of another run", "older"])
def test_lost_best_weights_are_noticed_at_once_and_the_advice_works(
    trainer: Trainer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    settings: Settings,
    run: Run,
    damage: str,
) -> None:
    checkpoint, _ = _stop_at(trainer, tmp_path, settings)
    best = checkpoint / "best.pt"
    assert load_plain(checkpoint / "latest.pt")["best_step"] == 3
    content = load_plain(best)
    if damage == "missing":
        best.unlink()
    elif damage == "cut":
        best.write_bytes(best.read_bytes()[:-100])
    elif damage == "of another run":
        save_whole(best, content | {"run": replace(run, beta=10.0).folder})
    else:
        save_whole(best, content | {"step": 1})
    done = _break_at(monkeypatch, 100)
    with pytest.raises(ProbunetError, match=r"best\.pt: .*step 3, are lost: remove .*checkpoint"):
        trainer("a")
    assert done == []
    shutil.rmtree(checkpoint)
    _assert_same(trainer("a"), trainer("whole"))


def test_best_weights_newer_than_the_checkpoint_are_used(
    trainer: Trainer, tmp_path: Path, settings: Settings
) -> None:
    settings = _change(settings, validation_every=1, checkpoint_every=3)
    whole = trainer("whole", settings=settings)
    with pytest.MonkeyPatch.context() as patch:
        _die_at(patch, 6)
        with pytest.raises(_Killed):
            trainer("a", settings=settings)
    _assert_same(trainer("a", settings=settings), whole)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": [1]}, "the state is not a mapping to tensors"),
        ({"step": -1}, "step is -1"),
        ({"step": 10**6}, "is at step 1000000 of 6"),
        ({"recent": [(1.0, math.nan, 0.0)]}, "a loss is not finite"),
        ({"best_ged": math.nan}, "best_ged is nan"),
        ({"optimiser": {}}, "KeyError"),
        ({"digest": 5}, "not a checkpoint of this training"),
    ],
)
def test_a_falsified_checkpoint_is_refused_and_the_advice_works(
    trainer: Trainer, tmp_path: Path, settings: Settings, change: dict[str, object], message: str
) -> None:
    checkpoint, _ = _stop_at(trainer, tmp_path, settings)
    latest = checkpoint / "latest.pt"
    save_whole(latest, load_plain(latest) | change)
    with pytest.raises(ProbunetError, match=rf"{message}.*remove .* the same command starts at st"):
        trainer("a")
    latest.unlink()
    _assert_same(trainer("a"), trainer("whole"))


def test_a_checkpoint_with_another_weight_decay_or_shape_is_refused(
    trainer: Trainer, tmp_path: Path, settings: Settings
) -> None:
    checkpoint, _ = _stop_at(trainer, tmp_path, settings)
    latest = checkpoint / "latest.pt"
    for key, value, message in (
        ("weight_decay", 0.5, "the optimiser's weight_decay differs"),
        ("params", [0], "the optimiser's params differs"),
    ):
        content = load_plain(latest)
        content["optimiser"]["param_groups"][0][key] = value
        other = checkpoint.with_name("other")
        other.mkdir(exist_ok=True)
        save_whole(other / "latest.pt", content)
        with pytest.raises(ProbunetError, match=message):
            trainer("a", checkpoint=other)


def test_weights_that_are_not_finite_after_the_last_step_are_not_written(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    step = torch.optim.Adam.step
    calls = iter(range(1, 1_000))

    def breaking(self: torch.optim.Adam, *args: object) -> None:
        step(self, *args)  # type: ignore[arg-type]
        if next(calls) == settings.training.steps:
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(math.nan)

    monkeypatch.setattr(torch.optim.Adam, "step", breaking)
    settings = _change(settings, checkpoint_every=100)
    with pytest.raises(ProbunetError, match="weights are not finite"):
        trainer("a", settings=settings)


def test_folds_of_another_data_set_are_refused(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    fold = Fold(train=("a", "b"), validation=("c",), test=("d",))
    Folds(dataset="cats", folds=(fold,)).write(path)
    with pytest.raises(ProbunetError, match=r"folds\.json: its folds are of the data set cats"):
        trainer("a", folds=path)
    Folds(dataset="discs", folds=(fold.model_copy(update={"test": ("x",)}),)).write(path)
    with pytest.raises(ProbunetError, match=r"folds\.json: names patients without any .*: x"):
        trainer("a", folds=path)


def test_a_damaged_log_of_a_checkpoint_is_told_and_mended(
    trainer: Trainer, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, _ = _stop_at(trainer, tmp_path, settings)
    log = checkpoint / "training.jsonl"
    lines = log.read_text().splitlines()
    log.write_bytes("\n".join([lines[0], "[]", "\xff", *lines[1:]]).encode("latin-1"))
    with caplog.at_level("WARNING"):
        output = trainer("a")
    assert "training.jsonl: 2 damaged lines are removed" in caplog.text
    assert _without_seconds(output / "training.jsonl") == _without_seconds(
        trainer("whole") / "training.jsonl"
    )


def test_a_lost_log_of_a_checkpoint_is_told(
    trainer: Trainer, tmp_path: Path, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, _ = _stop_at(trainer, tmp_path, settings)
    (checkpoint / "training.jsonl").unlink()
    with caplog.at_level("WARNING"):
        trainer("a")
    assert "training.jsonl: is missing: the log of the steps up to 4 is lost" in caplog.text
