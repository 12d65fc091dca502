"""Weights of a model before its first step, as a training would write them."""

from pathlib import Path

from probunet.config import Settings
from probunet.datasets import open_data
from probunet.models import build
from probunet.models.weights import WeightsInfo, save_weights
from probunet.run import Run


def write_untrained(
    path: Path,
    run: Run,
    store: Path,
    settings: Settings,
    model: str | None = None,
    seed: int = 0,
    **changed: object,
) -> Path:
    """Write untrained weights of a run, and what they were trained on; `changed` falsifies that."""
    data, name = open_data(store), model or run.model
    shape = data.image.shape
    described = {
        "model": name,
        "architecture": settings.architecture_of(name),
        "in_channels": shape[3] if len(shape) == 4 else 1,
        "classes": data.classes,
        "window": data.window(settings),
        "crop": data.crop(settings),
        "run": run.folder,
        "store": data.digest,
        "step": seed,
        "validation_ged": None,
        "dataset": data.attributes.dataset,
        "class_names": list(data.class_names),
        "prepared": data.prepared(settings).written(),
    }
    info = WeightsInfo(**described | changed)
    built = build(
        name, info.architecture, in_channels=info.in_channels, classes=info.classes, seed=seed
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(path, built, info)
    return path
