"""What a training needs to go on as if it had never stopped."""

import hashlib
import json
from dataclasses import dataclass, field
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
    """Where a training stands, beside its weights and its optimiser."""

    step: int = 0  # gradient steps done
    validated: int = 0  # the last step that was validated
    ged: float = float("inf")  # at that step
    best_step: int = 0
    best_ged: float = float("inf")
    recent: list[Recent] = field(default_factory=list)  # losses since the last logged line


def digest_of(run: Run, model: str, settings: Settings, store: str, fold: Fold) -> str:
    """Return what two trainings must share for one to go on from the other's checkpoint.

    Everything that the result depends on; other models' settings, and how often a line is logged
    or a checkpoint written, are not among it. `model` is what is trained, see `trained_model`.
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
    """Write a checkpoint, whole or not at all.

    Raises
    ------
    ProbunetError
        If a weight is not finite; the checkpoint before stays.
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
    """Restore model and optimiser; return where they stand, or None if it is another training's.

    Raises
    ------
    ProbunetError
        If the file is corrupt or holds code.
    """
    content = load_plain(path, device)
    if (content.get("schema"), content.get("digest")) != (SCHEMA, digest):
        return None
    model.load_state_dict(content["model"])
    optimiser.load_state_dict(content["optimiser"])
    return State(
        step=content["step"],
        validated=content["validated"],
        ged=content["ged"],
        best_step=content["best_step"],
        best_ged=content["best_ged"],
        recent=[(total, reconstruction, kl) for total, reconstruction, kl in content["recent"]],
    )
