"""Checkpoints: a resumed training has the same results as an uninterrupted one."""

import hashlib
import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

import torch

from probunet.config import ModelName, Settings
from probunet.errors import ProbunetError
from probunet.folds import Fold
from probunet.models import Model
from probunet.models.weights import load_plain, save_whole
from probunet.run import Run

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


def digest_of(run: Run, model: str, settings: Settings, store: str, fold: Fold) -> str:
    """Return a hash of everything that the weights of a training depend on.

    A checkpoint can be resumed only with the same hash. Settings of other models, and the intervals
    of logs and checkpoints, do not change it. `model` is the registry's name of the trained model.
    """
    others = {name for name in get_args(ModelName) if name != model}
    chosen = settings.model_dump(mode="json", exclude={"evaluation", *others})
    for key in ("checkpoint_every", "log_every"):
        del chosen["training"][key]
    crop = settings.evaluation.crop
    facts = [SCHEMA, run.folder, chosen, crop, store, fold.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_checkpoint(
    path: Path, model: Model, optimiser: torch.optim.Optimizer, state: State, digest: str
) -> None:
    """Write a checkpoint atomically.

    Raises
    ------
    ProbunetError
        If a weight is not finite; the previous checkpoint is kept.
    """
    if not all(bool(torch.isfinite(weight).all()) for weight in model.parameters()):
        raise ProbunetError(
            f"step {state.step}: weights are not finite; lower training.learning_rates."
        )
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "digest": digest,
        **vars(state),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
    }
    save_whole(path, content)


def load_checkpoint(
    path: Path, model: Model, optimiser: torch.optim.Optimizer, digest: str, device: torch.device
) -> State | None:
    """Restore model and optimiser and return the progress; None if the digest differs.

    Raises
    ------
    ProbunetError
        If the file is corrupt or contains code.
    """
    content = load_plain(path, device)
    if (content.get("schema"), content.get("digest")) != (SCHEMA, digest):
        return None
    model.load_state_dict(content["model"])
    optimiser.load_state_dict(content["optimiser"])
    return State(**{item.name: content[item.name] for item in fields(State)})
