"""Checkpoints: a resumed training has the same results as an uninterrupted one."""

import hashlib
import json
import math
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import torch

from probunet.config import ModelName, Settings
from probunet.errors import ProbunetError
from probunet.folds import Fold
from probunet.models.device import Arithmetic
from probunet.models.weights import check_state, load_plain, not_finite, save_whole
from probunet.run import Run
from probunet.train.average import Average

SCHEMA = 1
Recent = tuple[float, float, float]  # loss, reconstruction, KL of a step


@dataclass
class State:
    """Progress of a training, in addition to its weights and optimiser."""

    step: int = 0  # number of completed steps
    validated: int = 0  # step of the last validation
    ged: float = float("inf")  # of the last validation
    best_step: int = 0
    best_ged: float = float("inf")
    recent: list[Recent] = field(default_factory=list)  # losses since the last logged line
    # `Arithmetic` of the steps, in the order of use; empty: not recorded by an older version
    arithmetic: list[dict[str, Any]] = field(default_factory=list)


def digest_of(run: Run, model: str, settings: Settings, store: str, fold: Fold) -> str:
    """Return a hash of everything that the weights of a training depend on.

    A checkpoint can be resumed only with the same hash. Settings of other models, the intervals of
    logs and checkpoints, and where the images are, do not change it. `model` is the registry's name
    of the trained model.
    """
    others = {name for name in get_args(ModelName) if name != model}
    chosen = settings.model_dump(mode="json", exclude={"evaluation", *others})
    for key in ("checkpoint_every", "log_every", "data"):
        chosen["training"].pop(key, None)
    crop = settings.evaluation.crop
    facts = [SCHEMA, run.folder, chosen, crop, store, fold.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_checkpoint(
    path: Path, average: Average, optimiser: torch.optim.Optimizer, state: State, digest: str
) -> None:
    """Write a checkpoint atomically.

    Raises
    ------
    ProbunetError
        If a weight is not finite; the previous checkpoint is kept.
    """
    model = average.trained
    weights = model.state_dict()
    if wrong := not_finite(model, weights):
        raise ProbunetError(
            f"step {state.step}: weights are not finite ({wrong}); lower training.learning_rates."
        )
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "digest": digest,
        **vars(state),
        "model": weights,
        "optimiser": optimiser.state_dict(),
    }
    if average.decay > 0:
        content["average"] = average.model.state_dict()
    save_whole(path, content)


def load_checkpoint(
    path: Path, average: Average, optimiser: torch.optim.Optimizer, digest: str
) -> State | None:
    """Restore model, average and optimiser, and return the progress; None if the digest differs.

    Raises
    ------
    ProbunetError
        If the file is corrupt, contains code, or does not fit the model.
    """
    advice = "remove it, and the same command starts at step 0."
    content = load_plain(path, advice)
    try:
        if type(content["schema"]) is not int or type(content["digest"]) is not str:
            raise TypeError("schema or digest")
        if (content["schema"], content["digest"]) != (SCHEMA, digest):
            return None
        content.setdefault("arithmetic", [])
        state = State(**{item.name: content[item.name] for item in fields(State)})
        _check_state(state)
        states = [(average.trained, content["model"])]
        if average.decay > 0:
            if "average" not in content:
                raise ValueError("it has no moving average of the weights, which `ema` asks for")
            states.append((average.model, content["average"]))
        for model, weights in states:
            check_state(model, weights)
            if wrong := not_finite(model, weights):
                raise ValueError(f"{wrong} is not finite")
        _check_optimiser(optimiser, content["optimiser"])
    except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise ProbunetError(
            f"{path}: not a checkpoint of this training ({type(error).__name__}: {error}); {advice}"
        ) from None
    for model, weights in states:
        model.load_state_dict(weights)
    optimiser.load_state_dict(content["optimiser"])
    return state


def _check_state(state: State) -> None:
    """Raise TypeError or ValueError unless the progress is one that a training can have."""
    for name in ("step", "validated", "best_step"):
        value = getattr(state, name)
        if type(value) is not int or value < 0:
            raise ValueError(f"{name} is {value!r}")
    for name in ("ged", "best_ged"):
        value = getattr(state, name)
        if type(value) is not float or math.isnan(value):
            raise ValueError(f"{name} is {value!r}")
    if type(state.recent) is not list:
        raise TypeError("recent is no list")
    for losses in state.recent:
        if type(losses) is not tuple or [type(loss) for loss in losses] != [float] * 3:
            raise TypeError("recent has something else than losses")
        if not all(map(math.isfinite, losses)):
            raise ValueError(f"a loss is not finite: {losses}")
    if type(state.arithmetic) is not list:
        raise TypeError("arithmetic is no list")
    for one in state.arithmetic:
        Arithmetic.read(one)


def _check_optimiser(optimiser: torch.optim.Optimizer, saved: Any) -> None:
    """Raise an error, of many types, unless the optimiser can go on from a saved state."""
    fresh = optimiser.state_dict()["param_groups"]
    groups, moments = saved["param_groups"], saved["state"]
    if len(groups) != len(fresh) or not isinstance(moments, dict):
        raise ValueError("the optimiser has other groups of parameters")
    for group, expected in zip(groups, fresh, strict=True):
        for name, value in expected.items():
            # an older torch has fewer names, but these; the loop sets the learning rate
            needed = name in ("betas", "eps", "weight_decay", "params")
            if name != "lr" and (group[name] if needed else group.get(name, value)) != value:
                raise ValueError(f"the optimiser's {name} differs")
    weights = [weight for group in optimiser.param_groups for weight in group["params"]]
    for index, values in moments.items():
        shape = weights[index].shape if index in range(len(weights)) else None
        if not all(isinstance(value, torch.Tensor) for value in values.values()):
            raise TypeError("the optimiser's state is not made of tensors")
        shapes = {name: value.shape for name, value in values.items()}
        if shapes != {"step": torch.Size(), "exp_avg": shape, "exp_avg_sq": shape}:
            raise ValueError(f"the optimiser's state of parameter {index} does not fit")
