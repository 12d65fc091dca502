"""Draw a run's hypotheses for its test images and store them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from probunet.config import Settings
from probunet.datasets import open_data
from probunet.errors import ProbunetError
from probunet.files import locked, sha256, written_whole
from probunet.flips import IGNORE
from probunet.job import note
from probunet.models import Hypotheses, Model
from probunet.models.base import See
from probunet.models.device import Arithmetic, choose_device, describe, memory_for
from probunet.models.probabilistic_unet import ProbabilisticUNet
from probunet.models.tiles import Tile, inner_alone, seen_in, through_tiles
from probunet.models.weights import WeightsInfo
from probunet.run import Run
from probunet.sample.latent import explore_latent
from probunet.sample.ncc import Moments, SoftmaxNcc, joined_ncc
from probunet.sample.trained import load_run
from probunet.seeding import seed_of
from probunet.store import SampleAttributes, versions, write_sample_parts
from probunet.truth.base import Data, Sampled
from probunet.truth.inputs import InTiles

logger = logging.getLogger(__name__)

PRIOR = ("prior_mean", "prior_log_sigma")


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
    images = data.sampled(_as_trained(settings, infos, data), run.seed)
    if images.in_tiles is not None:
        height, width = images.in_tiles.size
        logger.info("%s: images are sampled in tiles of %d x %d pixels", store, height, width)
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
        if isinstance(model, ProbabilisticUNet) and images.in_tiles is None:
            latent = explore_latent(model, images, rows)
        parts = _draw(model, images, rows, run.seed, attributes.samples)
        write_sample_parts(aside, attributes, rows, parts, latent)
    logger.info("%s: %d samples for each of %d images", output, attributes.samples, len(rows))


def _as_trained(settings: Settings, infos: Sequence[WeightsInfo], data: Data) -> Settings:
    """Return the settings with the side of the patches that weights were trained on, for tiles."""
    sides = sorted({info.crop for info in infos if info.crop is not None})
    if data.extents is None or not sides:
        return settings
    if len(sides) > 1:
        raise ProbunetError(
            "the members of the ensemble were trained on patches of different sides, of "
            f"{sides[0]} and {sides[-1]} pixels; train all with the same training.crop."
        )
    training = settings.training.model_copy(update={"crop": sides[0]})
    return settings.model_copy(update={"training": training})


def _about_memory(settings: Settings, data: Data) -> str:
    """Return what to do if there is not enough memory for sampling."""
    crop = data.crop(settings) is not None and data.extents is None
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
        image, masks = images.load(part, device)
        if images.in_tiles is not None:
            yield _in_tiles(model, images, images.in_tiles, image, masks, int(part[0]), seed, n)
            continue
        ncc = SoftmaxNcc(masks)
        see = ncc.see if images.graded else None
        drawn, reconstruction = _hypotheses(model, image, masks, part.tolist(), seed, n, see)
        arrays: dict[str, NDArray[Any]] = {
            "samples": images.stored(drawn.samples.movedim(0, 1)),
            "deterministic": images.stored(drawn.deterministic),
        }
        for name in PRIOR:
            if (value := getattr(drawn, name)) is not None:
                arrays[name] = value.cpu().numpy()
        if (values := ncc.result()) is not None:
            arrays["ncc"] = values
        if reconstruction is not None:
            arrays["reconstruction"] = images.stored(reconstruction)
        yield arrays


def _in_tiles(
    model: Model,
    images: Sampled,
    in_tiles: InTiles,
    image: Tensor,
    masks: Tensor,
    row: int,
    seed: int,
    n: int,
) -> dict[str, NDArray[Any]]:
    """Return the arrays of one image; all tiles have the same noise, and each its own prior."""
    parts: list[list[Moments]] = []

    def maps(tiles: Sequence[Tile]) -> list[Tensor]:
        seen, truth = seen_in(image, tiles), seen_in(masks, tiles)
        ncc = SoftmaxNcc(inner_alone(truth, tiles, IGNORE))
        rows = [row] * len(tiles)
        drawn, reconstruction = _hypotheses(model, seen, truth, rows, seed, n, ncc.see)
        parts.append(ncc.moments)
        by_grader = [] if reconstruction is None else [reconstruction.movedim(1, 0)]
        return [drawn.samples, drawn.deterministic, *by_grader]

    names = ("samples", "deterministic", "reconstruction")
    whole = through_tiles(in_tiles.of(row), in_tiles.stored, maps)
    arrays: dict[str, NDArray[Any]] = {
        name: images.stored(one[None]) for name, one in zip(names, whole, strict=False)
    }
    if (values := joined_ncc(parts)) is not None:
        arrays["ncc"] = values
    return arrays


def _hypotheses(
    model: Model,
    image: Tensor,
    masks: Tensor,
    rows: list[int],
    seed: int,
    n: int,
    see: See | None,
) -> tuple[Hypotheses, Tensor | None]:
    """Return what is drawn of images or tiles (B, C, h, w), and the reconstruction of their masks.

    Raises
    ------
    ProbunetError
        If a prior is not finite.
    """
    generators = [torch.Generator().manual_seed(seed_of(seed, "sample", row)) for row in rows]
    with torch.no_grad():  # in float32, also after training in bfloat16
        drawn = model.draw(image, n, generators, see)
        reconstruction = model.reconstruct(image, masks)
    for name in PRIOR:
        value = getattr(drawn, name)
        if value is not None and not bool(torch.isfinite(value).all()):
            raise ProbunetError(
                f"the model's {name} is not finite: its weights are not usable; train the run "
                "again with lower training.learning_rates."
            )
    return drawn, reconstruction
