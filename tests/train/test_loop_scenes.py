"""Training on scenes: every model, members of an ensemble, and inputs that do not fit."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from probunet.config import Settings
from probunet.config.models import UNetEnsemble
from probunet.errors import ProbunetError, TimeLimitError
from probunet.folds import Fold, Folds
from probunet.models import MODELS, Loss, Model
from probunet.models.weights import load_plain, load_weights
from probunet.run import Run
from probunet.train.loop import train, training_seed

Trainer = Callable[..., Path]
RUN = Run("streets", "probabilistic_unet", 1.0, 0, 0)


@pytest.fixture
def trainer(tmp_path: Path, scenes: Path, city_folds: Path, settings: Settings) -> Trainer:
    """Return a function that trains in a named folder and returns the run's folder."""

    def call(name: str, run: Run = RUN, **changes: object) -> Path:
        output = tmp_path / name / run.folder
        arguments = {
            "run": run,
            "store": scenes,
            "folds": city_folds,
            "settings": settings,
            "output": output,
            "checkpoint": tmp_path / name / "checkpoint",
            "device": "cpu",
            "threads": 1,
        }
        train(**{**arguments, **changes})  # type: ignore[arg-type]
        return output

    return call


def _state(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = load_plain(folder / "last.pt")["state"]
    return state


def _losses(folder: Path) -> list[tuple[float, ...]]:
    lines = [json.loads(line) for line in (folder / "training.jsonl").read_text().splitlines()]
    for line in lines:
        line.pop("seconds", None)
    return [tuple(line.values()) for line in lines]


def test_what_it_leaves(trainer: Trainer) -> None:
    model, info = load_weights(trainer("a") / "weights.pt")
    assert (info.in_channels, info.classes, info.window, info.crop) == (3, 24, None, None)
    assert info.validation_ged is not None
    assert 0 < info.validation_ged < 2
    drawn = model.draw(torch.rand(1, 3, 16, 32), 2, [torch.Generator()])
    assert drawn.samples.shape == (2, 1, 16, 32)


@pytest.mark.parametrize("model", list(MODELS))
def test_every_model_resumes_to_the_bit(trainer: Trainer, model: str) -> None:
    chosen = replace(RUN, model=model)
    whole = trainer("whole", chosen)
    loss = MODELS[model].loss
    calls = iter(range(1, 1_000))

    def dying(self: Model, image: torch.Tensor, mask: torch.Tensor, **kwargs: object) -> Loss:
        assert (mask == 255).any()
        assert (mask > 18).any()
        if next(calls) == 4:
            raise KeyboardInterrupt
        return loss(self, image, mask, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MODELS[model], "loss", dying)
        with pytest.raises(KeyboardInterrupt):
            trainer("killed", chosen)
    again = trainer("killed", chosen)
    assert _losses(again) == _losses(whole)
    states = _state(again), _state(whole)
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[1])


def test_members_are_u_nets_with_weights_and_batches_of_their_own(trainer: Trainer) -> None:
    ensemble = replace(RUN, model="unet_ensemble")
    members = [replace(ensemble, member=member) for member in (0, 1)]
    folders = [trainer(f"member-{run.member}", run) for run in members]
    infos = [load_weights(folder / "weights.pt")[1] for folder in folders]
    assert [info.model for info in infos] == ["unet", "unet"]
    assert [info.run for info in infos] == [run.folder for run in members]
    one, other = (_state(folder) for folder in folders)
    assert not any(torch.equal(one[key], other[key]) for key in one)
    assert _losses(folders[0])[0] != _losses(folders[1])[0]
    plain = trainer("plain", replace(RUN, model="unet"))
    assert not torch.equal(one["logits.weight"], _state(plain)["logits.weight"])
    again = trainer("again", members[0])
    assert all(torch.equal(one[key], value) for key, value in _state(again).items())


def test_a_member_s_seed_is_its_own() -> None:
    ensemble = replace(RUN, model="unet_ensemble")
    seeds = {
        training_seed(replace(ensemble, seed=seed, member=member))
        for seed in range(3)
        for member in (None, 0, 1, 2)
    }
    assert len(seeds) == 12
    assert training_seed(RUN) == 0


def test_how_many_members_there_are_does_not_matter_for_going_on(
    trainer: Trainer, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    member = replace(RUN, model="unet_ensemble", member=1)
    with pytest.raises(TimeLimitError):
        trainer("a", member, time_limit=0.0)
    more = settings.model_copy(update={"unet_ensemble": UNetEnsemble(members=3)})
    with caplog.at_level("INFO"):
        trainer("a", member, settings=more)
    assert "resumes from step 0" in caplog.text


def test_an_ensemble_is_not_trained_whole(trainer: Trainer) -> None:
    with pytest.raises(ProbunetError, match=r"member by member.*train .*seed-0/member-0"):
        trainer("a", replace(RUN, model="unet_ensemble"))
    with pytest.raises(ProbunetError, match="probabilistic_unet has no members"):
        trainer("a", replace(RUN, member=0))


def test_scenes_that_cannot_be_halved_so_often(trainer: Trainer, settings: Settings) -> None:
    deep = settings.architecture.model_copy(update={"channels": (2,) * 6})
    with pytest.raises(
        ProbunetError, match=r"streets\.zarr: its scenes are 16x32 .*6 scales need multiples of 32"
    ):
        trainer("a", settings=settings.model_copy(update={"architecture": deep}))


def test_cities_of_another_store(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    fold = Fold(train=("zurich",), validation=("ulm",), test=("munster",))
    Folds(dataset="streets", folds=(fold,)).write(path)
    with pytest.raises(
        ProbunetError, match=r"no image of .* belongs to a training patient or city"
    ):
        trainer("a", folds=path)


def test_nothing_to_validate_on(trainer: Trainer, tmp_path: Path) -> None:
    path = tmp_path / "folds.json"
    fold = Fold(train=("aachen", "bochum"), validation=(), test=("munster",))
    Folds(dataset="streets", folds=(fold,)).write(path)
    _, info = load_weights(trainer("a", folds=path) / "weights.pt")
    assert (info.step, info.validation_ged) == (6, None)
