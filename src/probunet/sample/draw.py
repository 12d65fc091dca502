"""Draw a run's hypotheses for its test images and store them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
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
from probunet.models.tiles import Tile, TileWeights, inner_alone, seen_in, through_tiles
from probunet.models.weights import WeightsInfo
from probunet.run import Run
from probunet.sample.cost import Cost
from probunet.sample.entropy import Entropies, SoftmaxEntropy, joined_entropy
from probunet.sample.latent import explore_latent
from probunet.sample.ncc import Moments, SoftmaxNcc, joined_ncc
from probunet.sample.trained import load_run
from probunet.seeding import seed_of
from probunet.store import SampleAttributes, versions, write_sample_parts
from probunet.store.samples import ENTROPIES
from probunet.truth.base import Data, Sampled
from probunet.truth.inputs import InTiles

logger = logging.getLogger(__name__)

_OF_MODELS = ("prior_mean", "prior_log_sigma", "sample_weights")


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
    _tell_of_rounds(model, run, settings)
    model.sample_in(settings.evaluation.sampling_steps)
    # of the steps of a batch, if there are several
    model.through = partial(tqdm, unit="step", leave=False, disable=None)
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
        cost = Cost()
        parts = _draw(model, images, rows, run.seed, attributes.samples, cost)
        write_sample_parts(aside, attributes, rows, parts, latent)
    note(sample_seconds=cost.seconds, sample_gmac=cost.gmac)
    logger.info(
        "%s: %d samples for each of %d images; a sample took %.3g s and %.3g GMAC",
        output,
        attributes.samples,
        len(rows),
        cost.seconds,
        cost.gmac,
    )


def _tell_of_rounds(model: Model, run: Run, settings: Settings) -> None:
    """Log the n at which samples with weights do not have those of the model's distribution."""
    evaluation = settings.evaluation
    odd = [n for n in evaluation.n if n > 1 and n % model.round]
    if odd and evaluation.samples >= model.round:
        logger.warning(
            "evaluation.n: %s: samples of %s complement each other in rounds of %d; the first n "
            "count as the model means them if n is 1 or a multiple of it",
            ", ".join(map(str, odd)),
            run.model,
            model.round,
        )


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
    model: Model, images: Sampled, rows: NDArray[np.int64], seed: int, n: int, cost: Cost
) -> Iterator[dict[str, NDArray[Any]]]:
    """Yield the arrays of `Samples` for one batch of images after another.

    Models without a latent vector have no `prior_mean` and `prior_log_sigma`, models whose samples
    count the same no `sample_weights`, models without `reconstruct` no `reconstruction`, and models
    without logits no `ncc` and no entropies.
    """
    device = next(model.parameters()).device
    drawing = _Drawing(model, images, seed, n, cost)
    for start in tqdm(range(0, len(rows), images.batch), unit="batch", disable=None):
        part = rows[start : start + images.batch]
        image, masks = images.load(part, device)
        if images.in_tiles is None:
            yield drawing.whole(image, masks, part.tolist())
        else:
            (row,) = part.tolist()
            yield drawing.in_tiles(image, masks, row, images.in_tiles)


@dataclass(frozen=True)
class _Drawing:
    """What is drawn of images, and of the tiles of an image."""

    model: Model
    images: Sampled
    seed: int
    n: int
    cost: Cost

    def whole(self, image: Tensor, masks: Tensor, rows: list[int]) -> dict[str, NDArray[Any]]:
        """Return the arrays of a batch of images."""
        ncc, entropy = SoftmaxNcc(masks), SoftmaxEntropy(masks)
        see = _each(ncc.see, entropy.see) if self.images.graded else None
        drawn, reconstruction = self._hypotheses(image, masks, rows, see)
        arrays: dict[str, NDArray[Any]] = {
            "samples": self.images.stored(drawn.samples.movedim(0, 1)),
            "deterministic": self.images.stored(drawn.deterministic),
        }
        for name in _OF_MODELS:
            if (value := getattr(drawn, name)) is not None:
                arrays[name] = value.cpu().numpy()
        if reconstruction is not None:
            arrays["reconstruction"] = self.images.stored(reconstruction)
        return arrays | _scores(ncc.result(), entropy.result())

    def in_tiles(
        self, image: Tensor, masks: Tensor, row: int, in_tiles: InTiles
    ) -> dict[str, NDArray[Any]]:
        """Return the arrays of one image; all tiles have the same noise, and each its own prior."""
        moments: list[list[Moments]] = []
        entropies: list[SoftmaxEntropy] = []
        weights, all_tiles = TileWeights(), in_tiles.of(row)

        def maps(tiles: Sequence[Tile]) -> list[Tensor]:
            seen, truth = seen_in(image, tiles), seen_in(masks, tiles)
            scored = inner_alone(truth, tiles, IGNORE)
            ncc, entropy = SoftmaxNcc(scored), SoftmaxEntropy(scored)
            drawn, reconstruction = self._hypotheses(
                seen, truth, [row] * len(tiles), _each(ncc.see, entropy.see), 1 / len(all_tiles)
            )
            moments.append(ncc.moments)
            entropies.append(entropy)
            weights.add(drawn.sample_weights, tiles)
            by_grader = [] if reconstruction is None else [reconstruction.movedim(1, 0)]
            return [drawn.samples, drawn.deterministic, *by_grader]

        names = ("samples", "deterministic", "reconstruction")
        laid = through_tiles(all_tiles, in_tiles.stored, maps)
        arrays: dict[str, NDArray[Any]] = {
            name: self.images.stored(one[None]) for name, one in zip(names, laid, strict=False)
        }
        if (mean := weights.mean()) is not None:
            arrays["sample_weights"] = mean.cpu().numpy()
        return arrays | _scores(joined_ncc(moments), joined_entropy(entropies))

    def _hypotheses(
        self, image: Tensor, masks: Tensor, rows: list[int], see: See | None, share: float = 1
    ) -> tuple[Hypotheses, Tensor | None]:
        """Return what is drawn of images or tiles (B, C, h, w), and a reconstruction of the masks.

        `share` is that of an image that each of them is.

        Raises
        ------
        ProbunetError
            If a prior or a weight is not finite.
        """
        generators = [torch.Generator().manual_seed(seed_of(self.seed, "sample", x)) for x in rows]
        with torch.no_grad():  # in float32, also after training in bfloat16
            with self.cost.of(self.n * len(rows) * share):
                drawn = self.model.draw(image, self.n, generators, see)
                drawn.deterministic.cpu()  # waits for the device
            reconstruction = self.model.reconstruct(image, masks)
        for name in _OF_MODELS:
            value = getattr(drawn, name)
            if value is not None and not bool(torch.isfinite(value).all()):
                raise ProbunetError(
                    f"the model's {name} is not finite: its weights are not usable; train the run "
                    "again with lower training.learning_rates."
                )
        return drawn, reconstruction


def _each(*seeing: See) -> See:
    """Return a function that shows the logits of a sample to each of several."""

    def see(*shown: Tensor) -> None:
        for one in seeing:
            one(*shown)

    return see


def _scores(
    ncc: NDArray[np.float64] | None, entropies: Entropies | None
) -> dict[str, NDArray[Any]]:
    """Return what is stored of the softmax of the samples, if there is any."""
    arrays: dict[str, NDArray[Any]] = {} if ncc is None else {"ncc": ncc}
    return arrays if entropies is None else arrays | dict(zip(ENTROPIES, entropies, strict=True))
