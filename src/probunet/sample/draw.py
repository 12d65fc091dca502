"""Hypotheses for the test images of a run, drawn from the model and stored as they come."""

import logging
from collections.abc import Iterator, Sequence
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
from probunet.models import Model
from probunet.models.device import choose_device
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.run import Run
from probunet.sample.latent import explore_latent
from probunet.sample.masks import MaskImages
from probunet.sample.scenes import SceneImages
from probunet.sample.trained import load_run
from probunet.seeding import seed_of
from probunet.store import SampleAttributes, Scenes, open_data, versions, write_sample_parts

logger = logging.getLogger(__name__)


def sample_run(
    weights: Sequence[Path],
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

    Parameters
    ----------
    weights
        The run's file of weights; of an ensemble, all its members'.

    Raises
    ------
    ProbunetError
        If the weights are damaged, or belong to another run, store or configuration.
    """
    where = choose_device(device, threads)
    data = open_data(store)
    images = SceneImages(data, run.seed) if isinstance(data, Scenes) else MaskImages(data, settings)
    model, files, infos = load_run(weights, run, data.digest, images.window, settings)
    rows = data.rows_of(Folds.read(folds).subjects(run.fold, "test"))
    if len(rows) == 0:
        raise ProbunetError(
            f"{folds}: fold {run.fold}: not one image of {store} belongs to a subject of its test "
            "set; were the folds drawn for another store?"
        )
    model.to(where).eval()
    attributes = SampleAttributes(
        run=run.folder,
        classes=images.classes,
        size=images.size,
        samples=settings.evaluation.samples,
        store=data.digest,
        weights_sha256=tuple(sha256(file) for file in files),
        weights_step=tuple(info.step for info in infos),
        versions={**versions(), "torch": torch.__version__},
    )
    with locked(output), written_whole(output) as aside:
        latent = None
        if isinstance(model, ProbabilisticUNet):
            latent = explore_latent(model, images, rows)
        parts = _draw(model, images, rows, run.seed, attributes.samples)
        write_sample_parts(aside, attributes, rows, parts, latent)
    logger.info("%s: %d samples for each of %d images", output, attributes.samples, len(rows))


def _draw(
    model: Model, images: MaskImages | SceneImages, rows: NDArray[np.int64], seed: int, n: int
) -> Iterator[dict[Any, NDArray[Any]]]:
    """Yield the store's arrays for a batch of images after the other.

    Models without a latent vector leave out `prior_mean` and `prior_log_sigma`, those that do not
    say what their posterior makes of a mask leave out `reconstruction`.
    """
    device = next(model.parameters()).device
    for start in tqdm(range(0, len(rows), images.batch), unit="batch", disable=None):
        part = rows[start : start + images.batch]
        generators = [
            torch.Generator().manual_seed(seed_of(seed, "sample", row)) for row in part.tolist()
        ]
        image, truths = images.load(part, device)
        with torch.no_grad():  # in float32, whatever the precision of training
            drawn = model.draw(image, n, generators)
            again = model.reconstruct(image, truths)
        arrays: dict[Any, NDArray[Any]] = {
            "samples": images.stored(drawn.samples.movedim(0, 1)),
            "deterministic": images.stored(drawn.deterministic),
        }
        for name in ("prior_mean", "prior_log_sigma"):
            value = getattr(drawn, name)
            if value is not None:
                arrays[name] = value.cpu().numpy()
        if again is not None:
            arrays["reconstruction"] = images.stored(again)
        yield arrays
