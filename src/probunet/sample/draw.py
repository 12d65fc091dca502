"""Hypotheses for the test images of a run, drawn from the model and stored bit-packed."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from probunet.config import Settings
from probunet.errors import ProbunetError
from probunet.files import locked, sha256, written_whole
from probunet.folds import Folds
from probunet.metrics.bits import pack, unpack_graders
from probunet.models import Model
from probunet.models.crops import central, read_rows, windowed
from probunet.models.device import choose_device
from probunet.models.weights import WeightsInfo, load_weights
from probunet.run import Run
from probunet.seeding import seed_of
from probunet.store import Crops, SampleAttributes, open_crops, versions, write_samples

logger = logging.getLogger(__name__)
_BATCH = 16  # images at a time; not a setting, since an image's noise does not depend on it


def sample_run(
    weights: Path,
    store: Path,
    folds: Path,
    run: Run,
    settings: Settings,
    output: Path,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Draw `evaluation.samples` hypotheses for each test image of a run into `output`.

    Each image's features and prior are computed once. Its noise comes from (seed, "sample", its
    row in the store), so that no other image has a part in it.

    Raises
    ------
    ProbunetError
        If the weights are damaged, or belong to another run, store or configuration.
    """
    where = choose_device(device, threads)
    crops = open_crops(store)
    model, info = load_weights(weights)
    _check(weights, info, run, crops, settings)
    rows = crops.rows_of(Folds.read(folds).subjects(run.fold, "test"))
    if len(rows) == 0:
        raise ProbunetError(
            f"{folds}: fold {run.fold}: not one crop of {store} belongs to a test patient; "
            "were the folds drawn for another store?"
        )
    model.to(where).eval()
    side = settings.evaluation.crop
    image = central(read_rows(crops.image, rows), side)
    masks = central(read_rows(crops.masks, rows), side)
    arrays = _draw(model, info, image, masks, rows, run, settings)
    attributes = SampleAttributes(
        run=run.folder,
        classes=info.classes,
        size=(side, side),
        samples=settings.evaluation.samples,
        store=crops.digest,
        weights_sha256=(sha256(weights),),
        weights_step=(info.step,),
        versions={**versions(), "torch": torch.__version__},
    )
    with locked(output), written_whole(output) as aside:
        write_samples(aside, attributes, {"rows": rows, **arrays})
    logger.info("%s: %d samples for each of %d images", output, attributes.samples, len(rows))


def _draw(
    model: Model,
    info: WeightsInfo,
    image: NDArray[np.int16],
    masks: NDArray[np.uint8],
    rows: NDArray[np.int64],
    run: Run,
    settings: Settings,
) -> dict[Any, NDArray[Any]]:
    """Return the store's arrays for images (images, H, W) in Hounsfield units.

    `masks`, bit g = grader g, serve the reconstruction alone, which some models cannot give.
    Models without a latent vector leave out `prior_mean` and `prior_log_sigma`.
    """
    device = next(model.parameters()).device
    parts: dict[str, list[NDArray[Any]]] = {}
    for start in tqdm(range(0, len(rows), _BATCH), unit="batch", disable=None):
        part = slice(start, start + _BATCH)
        hu = torch.from_numpy(np.ascontiguousarray(image[part])).to(device)
        generators = [
            torch.Generator().manual_seed(seed_of(run.seed, "sample", int(row)))
            for row in rows[part]
        ]
        graders = unpack_graders(masks[part])
        with torch.no_grad():  # in float32, whatever the precision of training
            seen = windowed(hu, info.window)[:, None]
            drawn = model.draw(seen, settings.evaluation.samples, generators)
            again = model.reconstruct(seen, torch.from_numpy(graders).to(device).long())
        samples = drawn.samples.movedim(0, 1).cpu().numpy().astype(bool)
        deterministic = drawn.deterministic.cpu().numpy().astype(bool)
        parts.setdefault("samples", []).append(pack(samples))
        parts.setdefault("deterministic", []).append(pack(deterministic))
        for name in ("prior_mean", "prior_log_sigma"):
            value = getattr(drawn, name)
            if value is not None:
                parts.setdefault(name, []).append(value.cpu().numpy())
        if again is not None:
            parts.setdefault("reconstruction", []).append(pack(again.cpu().numpy().astype(bool)))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _check(weights: Path, info: WeightsInfo, run: Run, crops: Crops, settings: Settings) -> None:
    """Refuse weights that were not trained for this run, on these crops, by these settings."""
    architecture = settings.architecture_of(run.model)
    for what, found, expected in (
        ("run", info.run, run.folder),
        ("store of crops", info.store, crops.digest),
        ("model", info.model, run.model),
        ("architecture", info.architecture, architecture),
        ("intensity.window", tuple(info.window), settings.intensity.window),
    ):
        if found != expected:
            raise ProbunetError(
                f"{weights}: trained for another {what}: {found}, and not {expected}; "
                "train this run, or name the weights that belong to it."
            )
