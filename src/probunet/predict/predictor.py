"""Trained weights as one object that draws samples of arrays.

Imports torch and NumPy only; Pillow is needed for images of another size than the trained one.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from probunet.errors import OutOfMemoryError, ProbunetError
from probunet.models.device import choose_device, memory_for
from probunet.models.intensity import windowed
from probunet.models.tiles import PIXELS, batch_of
from probunet.models.weights import WeightsInfo, read_weights
from probunet.predict.base import Picture, UnusableError, View, Views
from probunet.predict.mixture import combine
from probunet.predict.uncertainty import Uncertainty
from probunet.predict.views import look_at
from probunet.prepared import Prepared
from probunet.seeding import seed_of

_MAPS = ("samples", "deterministic", "mean", "entropy", "mutual_information")
_ADVICE = "cut the image into tiles (--tiles), or choose a device with more memory (--device)"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Drawn:
    """The samples of an image and what is known from them; of a volume, slices come first.

    `samples` is (n, H, W), or (n, slices, H, W); the others have no first axis, and `mean` has one
    of classes: (classes, H, W), or (classes, slices, H, W).
    """

    samples: NDArray[np.uint8]  # class ids
    deterministic: NDArray[np.uint8]  # class ids of the single best guess
    mean: NDArray[np.float32]  # probability of each class, over all samples
    entropy: NDArray[np.float32]  # of `mean`, nats
    mutual_information: NDArray[np.float32]  # what of it differs between samples, nats
    # how much each sample counts, (n,) or (n, slices), on average 1; of tiles the mean over their
    # pixels; None: all count the same
    weights: NDArray[np.float32] | None = None


class Predictor:
    """One or several trained models; `load` creates it.

    Attributes
    ----------
    model : torch.nn.Module
        The network, in evaluation mode, on `device`.
    info : WeightsInfo
        What the weights say about model, classes, window and images; of the first file.
    prepared : Prepared or None
        How images of another size are brought to the trained one; None of an older version.
    """

    def __init__(
        self, model: nn.Module, info: WeightsInfo, device: torch.device, sources: Sequence[Path]
    ) -> None:
        self.model, self.info, self.device, self.sources = model, info, device, tuple(sources)
        self.prepared = None if info.prepared is None else Prepared.read(info.prepared)
        self.classes = tuple(info.class_names or _names(info.classes))
        self.multiple = 2 ** (len(info.architecture["channels"]) - 1)  # of an image's sides
        self._batch = batch_of((1, 1))

    def sample(
        self, image: NDArray[Any], n: int = 16, seed: int = 0, *, row: int = 0, tiles: bool = False
    ) -> Drawn:
        """Return n samples of an image or a volume, in its own grid.

        Research use, no medical device.

        Parameters
        ----------
        image : (H, W), (H, W, channels), (slices, H, W) or (slices, H, W, channels)
            Values as in the training images: those of the file, HU of a CT. With several channels,
            three axes are an image; with one, they are a volume, and refused if the last axis has 3
            or 4 values: that is an image in colour.
        n
            Samples.
        seed, row
            The samples depend on the image, the weights, the seed and the row only. With a run's
            seed and the row of an image in the store, they are those of the run's `samples.zarr`.
            All slices of a volume have the same noise.
        tiles
            Cut an image of another size into tiles, instead of scaling it. A network that was
            trained on patches always sees tiles.

        Raises
        ------
        ProbunetError
            If the image does not fit the weights or has values that are not finite, or if memory
            is lacking.
        """
        slices, volume = self._slices(image)
        picture = Picture("the image", slices, volume)
        views = look_at(picture, self.prepared, self.multiple, row=row, tiles=tiles)
        parts = list(self.slices(picture, views, n, seed))
        if not volume:
            return parts[0]
        whole = {name: np.stack([getattr(part, name) for part in parts], axis=-3) for name in _MAPS}
        weights = [part.weights for part in parts]
        if all(one is None for one in weights):
            return Drawn(**whole)
        same = np.ones(n, np.float32)  # of a slice that no network has seen
        each = [same if one is None else one for one in weights]
        return Drawn(**whole, weights=np.stack(each, axis=-1))

    def slices(self, picture: Picture, views: Views, n: int, seed: int) -> Iterator[Drawn]:
        """Yield what is drawn of each slice, in order; pixels of no view have class 0.

        A few slices are in memory at a time.
        """
        self.check(picture)
        waiting: list[Sequence[View]] = []  # the views of each of the next slices
        for k in range(len(picture.pixels)):
            waiting.append(views.of(k))
            seen = [view for of_slice in waiting for view in of_slice]
            pixels = sum(view.image[..., 0].size for view in seen)
            if pixels >= PIXELS or len(seen) >= self._batch or k == len(picture.pixels) - 1:
                drawn = self._draw_all(seen, n, seed)
                for of_slice in waiting:
                    whole = _empty(n, self.info.classes, picture.pixels.shape[1:3])
                    each = [next(drawn) for _ in of_slice]
                    for view, maps in zip(of_slice, each, strict=True):
                        _lay(whole, view, maps)
                    yield replace(whole, weights=_mean_weights(whole, of_slice, each))
                waiting = []

    def check(self, picture: Picture) -> None:
        """Raise UnusableError if a picture has other channels, or values that are not finite."""
        channels, expected = picture.pixels.shape[-1], self.info.in_channels
        if channels != expected:
            kinds = {1: "is grey", 3: "is in colour"}
            found = kinds.get(channels, f"has {channels} channels")
            wanted = {1: "grey images", 3: "images in colour"}.get(
                expected, f"images of {expected} channels"
            )
            raise UnusableError(
                f"{picture.name}: {found}, and {self.sources[0]} was trained on {wanted}; convert "
                "the image, or use other weights."
            )
        if picture.pixels.dtype.kind == "f":
            for k, one in enumerate(picture.pixels):
                if bad := int(np.count_nonzero(~np.isfinite(one))):
                    raise UnusableError(
                        f"{picture.name}: slice {k} has {bad:,} NaN or infinite values; replace "
                        "them by the value of the background."
                    )

    def _slices(self, image: NDArray[Any]) -> tuple[NDArray[Any], bool]:
        """Return an array as (slices, H, W, channels), and whether it is a volume."""
        values = np.asarray(image)
        channels = self.info.in_channels
        if channels == 1 and values.ndim == 3 and values.shape[-1] in (3, 4):
            raise ProbunetError(
                f"the image has the shape {values.shape}, and {self.sources[0]} was trained on "
                "grey images; convert it, or give a volume as (slices, H, W, 1)."
            )
        if values.ndim == 2 or (values.ndim == 3 and channels > 1):
            return (values[None, ..., None] if values.ndim == 2 else values[None]), False
        if values.ndim == 3 and values.shape[-1] == 1:
            return values[None], False
        if values.ndim in (3, 4):
            return (values[..., None] if values.ndim == 3 else values), True
        raise ProbunetError(
            f"the image has the shape {values.shape}; expected is (H, W), (H, W, channels), "
            "(slices, H, W) or (slices, H, W, channels)."
        )

    def _draw_all(self, views: Sequence[View], n: int, seed: int) -> Iterator[Drawn]:
        """Yield what is drawn of each view; views of one size are drawn together, if they fit."""
        done = 0
        while done < len(views):
            _, alike = next(groupby(views[done:], key=lambda view: view.image.shape))
            most = min(self._batch, batch_of(views[done].image.shape[:2]))
            part = list(alike)[:most]
            try:
                drawn = self._draw(part, n, seed)
            except OutOfMemoryError:
                if len(part) == 1:
                    raise
                self._batch = len(part) // 2
                logger.warning("%d images need too much memory; now %d", len(part), self._batch)
                continue
            yield from drawn
            done += len(part)

    def _draw(self, views: Sequence[View], n: int, seed: int) -> list[Drawn]:
        """Return what is drawn of views of one size."""
        values = np.stack([view.image for view in views]).astype(np.float32)
        generators = [
            torch.Generator().manual_seed(seed_of(seed, "sample", view.row)) for view in views
        ]
        seen = Uncertainty()
        height, width = values.shape[1:3]
        what = f"an image of {height} x {width} pixels: {n} samples"
        with memory_for(what, self.device, _ADVICE), torch.no_grad():
            window = self.info.window or (0.0, 255.0)  # None: colours of 8 bits
            image = windowed(torch.from_numpy(values).to(self.device), (window[0], window[1]))
            hypotheses = self.model.draw(image, n, generators, seen.see)  # type: ignore[operator]
            weights = hypotheses.sample_weights
            maps = seen.maps(hypotheses.samples, self.info.classes, weights)
            arrays = [hypotheses.samples.movedim(0, 1), hypotheses.deterministic, *maps]
            whole = [one.cpu().numpy() for one in arrays]
            counts = None if weights is None else weights.cpu().numpy()
        if not np.isfinite(whole[3]).all():
            raise ProbunetError(
                f"{self.sources[0]}: its probabilities are not finite: the weights are not usable; "
                "train the run again with lower training.learning_rates."
            )
        named = dict(zip(_MAPS, whole, strict=True))
        return [
            Drawn(
                **{name: one[i] for name, one in named.items()},
                weights=None if counts is None else counts[i],
            )
            for i in range(len(views))
        ]


def _names(classes: int) -> list[str]:
    """Return names for classes of an older version's weights."""
    if classes == 2:
        return ["background", "foreground"]
    return [f"class {k}" for k in range(classes)]


def _empty(n: int, classes: int, size: Sequence[int]) -> Drawn:
    """Return the maps of a slice that no network has seen: all of class 0, without uncertainty."""
    mean = np.zeros((classes, *size), np.float32)
    mean[0] = 1
    labels = np.zeros((n + 1, *size), np.uint8)
    nothing = np.zeros((2, *size), np.float32)
    return Drawn(labels[:n], labels[n], mean, *nothing)


def _lay(whole: Drawn, view: View, maps: Drawn) -> None:
    """Write the maps of a view into those of its slice."""
    for name in _MAPS:
        own, new = getattr(whole, name)[(..., *view.part)], getattr(maps, name)
        back = view.back(new if new.ndim == 3 else new[None]).reshape(own.shape)
        np.copyto(own, back, where=True if view.filled is None else view.filled)


def _mean_weights(
    whole: Drawn, views: Sequence[View], each: Sequence[Drawn]
) -> NDArray[np.float32] | None:
    """Return the weights of a slice's samples: the mean over the pixels of its views, if any."""
    weights = [maps.weights for maps in each if maps.weights is not None]
    if not weights:
        return None
    sizes = [whole.entropy[view.part].size for view in views]
    mean: NDArray[np.float32] = np.average(weights, axis=0, weights=sizes).astype(np.float32)
    return mean


def load(
    *weights: str | Path,
    device: str = "auto",
    threads: int | None = None,
    sampling_steps: int | None = None,
) -> Predictor:
    """Return trained weights as an object that draws samples; several files are an ensemble.

    Research use, no medical device.

    Parameters
    ----------
    weights
        Files that a training wrote, `weights.pt`.
    device
        "cpu", "cuda", "mps" ...; "auto" is the best there is.
    threads
        CPU threads; torch's own choice if None.
    sampling_steps
        Passes of the network for a sample of a model that draws in steps; as many as it was trained
        with if None.

    Raises
    ------
    ProbunetError
        If a file is missing, damaged, of another version or contains code, if the files were
        trained on different images or classes, the device cannot be used, or the model has fewer
        steps or draws at once.
    """
    if not weights:
        raise ProbunetError("no weights: name at least one file.")
    paths = [Path(one) for one in weights]
    read = [read_weights(path, "name another file, or train the run again.") for path in paths]
    first = read[0].info
    for one in read[1:]:
        for name in ("in_channels", "classes", "class_names", "window", "prepared"):
            if _plain(getattr(one.info, name)) != _plain(getattr(first, name)):
                raise ProbunetError(
                    f"{one.path}: was trained with another {name} than {paths[0]}: "
                    f"{getattr(one.info, name)}, and {getattr(first, name)}; an ensemble needs "
                    "weights of the same images and classes."
                )
    where = choose_device(device, threads)
    models = [one.build() for one in read]
    if sampling_steps is not None and not any(model.most_steps for model in models):
        raise ProbunetError(
            f"sampling_steps: {paths[0]} has weights of {first.model}, which draws at once; leave "
            "it out."
        )
    for model in models:
        model.sample_in(sampling_steps)
    combined = combine(models, first.classes)
    with memory_for("the network", where, "choose another device (--device)"):
        return Predictor(combined.to(where).eval(), first, where, paths)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value
