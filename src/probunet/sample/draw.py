"""Draw a run's hypotheses for its test images and store them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from probunet.config import Settings
from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.files import locked, sha256, written_whole
from probunet.job import note
from probunet.models import Model
from probunet.models.device import Arithmetic, choose_device, describe, memory_for
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.run import Run
from probunet.sample.latent import explore_latent
from probunet.sample.ncc import SoftmaxNcc
from probunet.sample.trained import load_run
from probunet.seeding import seed_of
from probunet.store import SampleAttributes, versions, write_sample_parts
from probunet.truth.base import Data, Sampled

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
    """Draw `evaluation.samples` hypotheses for each test image of a run and write them to `output`.

    The noise of an image depends only on the run's seed and the image's row in the store.

    Parameters
    ----------
    weights
        The run's file of weights; for an ensemble, those of all members.

    Raises
    ------
    OutOfMemoryError
        If the device or the machine lacks memory; the message names the keys to lower.
    ProbunetError
        If the weights are damaged or belong to another run, store or configuration, if no test
        subject is in the store, or if a GPU was given that torch cannot use.
    """
    where = choose_device(device, threads)
    logger.info("%s", describe(where, "float32", compiled=False))
    note(**asdict(Arithmetic.of(where, "float32")))
    data = open_data(store)
    images = data.sampled(settings, run.seed)
    window = data.window(settings)
    all_folds = data.read_folds(folds)
    rows = data.rows_of(all_folds.subjects(run.fold, "test"))
    if len(rows) == 0:
        raise ProbunetError(
            f"{folds}: fold {run.fold}: no image of {store} belongs to a test subject; use the "
            "folds that were drawn for this store."
        )
    fold = all_folds.folds[run.fold]
    data.check_subjects(fold, folds)
    model, files, infos = load_run(weights, run, data.digest, window, settings, fold.digest)
    attributes = SampleAttributes(
        run=run.folder,
        classes=data.classes,
        size=data.scored_size(settings),
        samples=settings.evaluation.samples,
        population=model.population,
        store=data.digest,
        subjects=fold.digest,
        split=all_folds.split,
        weights_sha256=tuple(sha256(file) for file in files),
        weights_step=tuple(info.step for info in infos),
        versions={**versions(), "torch": torch.__version__},
    )
    memory = memory_for(f"{output}: sampling", where, _about_memory(settings, data))
    with locked(output), written_whole(output) as aside, memory:
        model.to(where).eval()
        latent = None
        if isinstance(model, ProbabilisticUNet):
            latent = explore_latent(model, images, rows)
        parts = _draw(model, images, rows, run.seed, attributes.samples)
        write_sample_parts(aside, attributes, rows, parts, latent)
    logger.info("%s: %d samples for each of %d images", output, attributes.samples, len(rows))


def _about_memory(settings: Settings, data: Data) -> str:
    """Return what to do if there is not enough memory for sampling."""
    crop = data.crop(settings) is not None
    side = f"evaluation.crop ({settings.evaluation.crop})" if crop else "the size of the images"
    return (
        f"lower evaluation.samples ({settings.evaluation.samples}) or {side}, or choose a larger "
        "device"
    )


def _draw(
    model: Model, images: Sampled, rows: NDArray[np.int64], seed: int, n: int
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the arrays of `Samples` for one batch of images after another.

    Models without a latent vector have no `prior_mean` and `prior_log_sigma`, models without
    `reconstruct` no `reconstruction`, and models without logits no `ncc`.
    """
    device = next(model.parameters()).device
    for start in tqdm(range(0, len(rows), images.batch), unit="batch", disable=None):
        part = rows[start : start + images.batch]
        generators = [
            torch.Generator().manual_seed(seed_of(seed, "sample", row)) for row in part.tolist()
        ]
        image, masks = images.load(part, device)
        ncc = SoftmaxNcc(masks)
        with torch.no_grad():  # in float32, also after training in bfloat16
            drawn = model.draw(image, n, generators, ncc.see if images.graded else None)
            reconstruction = model.reconstruct(image, masks)
        arrays: dict[str, NDArray[Any]] = {
            "samples": images.stored(drawn.samples.movedim(0, 1)),
            "deterministic": images.stored(drawn.deterministic),
        }
        for name in ("prior_mean", "prior_log_sigma"):
            value = getattr(drawn, name)
            if value is not None:
                if not bool(torch.isfinite(value).all()):
                    raise ProbunetError(
                        f"the model's {name} is not finite: its weights are not usable; train the "
                        "run again with lower training.learning_rates."
                    )
                arrays[name] = value.cpu().numpy()
        if (values := ncc.result()) is not None:
            arrays["ncc"] = values
        if reconstruction is not None:
            arrays["reconstruction"] = images.stored(reconstruction)
        yield arrays
