"""Predict one input after the other; each one's results are a folder, see `output.py`."""

import json
import logging
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from probunet import __version__
from probunet.errors import ProbunetError
from probunet.files import locked, sha256, written_whole
from probunet.job import note
from probunet.models import Model
from probunet.models.device import Arithmetic, describe
from probunet.predict.base import DISCLAIMER, Picture, Place, UnusableError, Views
from probunet.predict.files import Append, map_file
from probunet.predict.inputs import Input, find_inputs, read_places
from probunet.predict.montage import draw_montage
from probunet.predict.output import (
    RESULT,
    SETTINGS,
    check_output,
    collect,
    is_finished,
    write_settings,
)
from probunet.predict.predictor import Drawn, Predictor, load
from probunet.predict.room import Room
from probunet.predict.seg import check_installed
from probunet.predict.summary import Areas
from probunet.predict.views import look_at
from probunet.truth.labels import objects

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """What is asked for, of all inputs."""

    n: int  # samples
    seed: int
    tiles: bool = False
    at: tuple[Place, ...] = ()
    seg: bool = False  # whether to write DICOM SEG, too


def predict(
    paths: Sequence[Path],
    weights: Sequence[Path],
    output: Path,
    *,
    n: int = 16,
    seed: int = 0,
    tiles: bool = False,
    at: str | None = None,
    seg: bool = False,
    sampling_steps: int | None = None,
    device: str = "auto",
    threads: int | None = None,
) -> None:
    """Draw n samples of each input and write them below `output`; finished inputs are skipped.

    Parameters
    ----------
    paths
        Pictures, NIfTI volumes, CSV tables, folders of these or of one DICOM series.
    weights
        Files of weights; several are an ensemble.
    tiles
        Cut images of another size into tiles, instead of scaling them.
    at
        Where crops are made, see `inputs.read_places`.
    seg
        Write the label maps of a DICOM series as DICOM SEG, too.
    sampling_steps
        See `predictor.load`.

    Raises
    ------
    ProbunetError
        If weights or options are wrong, the output holds other results, or an input that was named
        cannot be used; the others are predicted before.
    """
    predictor = load(*weights, device=device, threads=threads, sampling_steps=sampling_steps)
    for part in predictor.model.modules():
        if isinstance(part, Model):  # of the steps of an image, if there are several
            part.through = partial(tqdm, unit="step", leave=False, disable=None)
    request = Request(n, seed, tiles, tuple(read_places(at)) if at else (), seg)
    inputs = find_inputs(paths, output)
    _check(predictor, request, inputs)
    logger.info("%s", describe(predictor.device, "float32", compiled=False))
    logger.info("%s", DISCLAIMER)
    note(**asdict(Arithmetic.of(predictor.device, "float32")))
    about = _about(predictor, request)
    if sampling_steps is not None:
        about["sampling_steps"] = sampling_steps
    check_output(output, about)
    left_out: list[tuple[Input, ProbunetError]] = []
    finished, room = 0, Room(output, inputs)
    with locked(output / SETTINGS):
        write_settings(output, about)
        for one in tqdm(inputs, unit="image", disable=None):
            try:
                finished += _predict(predictor, one, request, about, output)
            except UnusableError as error:
                left_out.append((one, error))
                logger.warning("left out: %s", error)
            room.see(one)
        collect(output)
    logger.info(
        "%s: %d predicted, %d already there, %d left out; %s",
        output,
        len(inputs) - finished - len(left_out),
        finished,
        len(left_out),
        DISCLAIMER,
    )
    named = [error for one, error in left_out if one.named]
    if named or len(left_out) == len(inputs):
        first = named[0] if named else left_out[0][1]
        raise ProbunetError(f"{len(left_out)} of {len(inputs)} inputs cannot be used: {first}")


def _predict(
    predictor: Predictor, one: Input, request: Request, about: dict[str, Any], output: Path
) -> bool:
    """Write the results of an input; return whether they were there already."""
    picture = one.read()
    predictor.check(picture)
    views = _views(predictor, picture, one.row, request)
    digest = _digest(picture, one.row)
    if is_finished(output, one.name, digest):
        return True
    with written_whole(output / one.name) as aside:
        aside.mkdir()
        line = _write(aside, predictor, picture, views, request)
        line |= about | {"row": one.row, "input": digest}
        (aside / RESULT).write_text(json.dumps(line) + "\n", encoding="utf-8")
    return False


def _write(
    folder: Path, predictor: Predictor, picture: Picture, views: Views, request: Request
) -> dict[str, Any]:
    """Write all maps of a picture to a folder, slice by slice; return what the samples say."""
    classes, n = predictor.classes, request.n
    foreground = objects(classes)
    labels = [*(f"sample-{i:03d}" for i in range(n)), "deterministic"]
    means = [f"mean-{classes[k]}" for k in foreground]
    numbers = [*means, "entropy", "mutual-information"]
    areas, shown = Areas(n, classes), _Shown()
    with ExitStack() as files:
        append: dict[str, Append] = {}
        for names, values in ((labels, "uint8"), (numbers, "float32")):
            for name in names:
                file = map_file(folder / name, picture, values, classes)
                append[name] = files.enter_context(file)
        slices = predictor.slices(picture, views, n, request.seed)
        bar = tqdm(
            slices, picture.name, len(picture.pixels), unit="slice", leave=False, disable=None
        )
        for k, drawn in enumerate(bar):
            numbered = [*drawn.mean[foreground], drawn.entropy, drawn.mutual_information]
            maps = [*drawn.samples, drawn.deterministic, *numbered]
            for name, one in zip([*labels, *numbers], maps, strict=True):
                append[name](one)
            areas.add(drawn.samples, drawn.weights)
            shown.see(k, drawn, foreground)
    k, drawn = shown.best
    window = predictor.info.window or (0.0, 255.0)
    title = f"{picture.name}, slice {k}" if picture.volume else picture.name
    sheet, words = draw_montage(picture.pixels[k], drawn, classes, window, title)
    sheet.save(folder / "montage.png", pnginfo=words)
    if request.seg:
        _write_segs(folder, picture, labels, classes)
    return areas.summary(picture)


class _Shown:
    """Keeps the slice to look at: the one with the largest mean area of objects."""

    def __init__(self) -> None:
        self.area = -1.0

    def see(self, k: int, drawn: Drawn, foreground: Sequence[int]) -> None:
        """Keep slice `k` if it is the best so far."""
        area = float(drawn.mean[foreground].sum())
        if area > self.area:
            self.area, self.best = area, (k, drawn)


def _write_segs(
    folder: Path, picture: Picture, names: Sequence[str], classes: tuple[str, ...]
) -> None:
    """Write the label maps of a DICOM series as DICOM SEG, one at a time."""
    import nibabel

    assert picture.write_seg is not None
    for name in names:
        image: Any = nibabel.load(folder / f"{name}.nii.gz")
        maps = np.asarray(image.dataobj).astype(np.uint8).T
        picture.write_seg(folder / f"{name}.dcm", np.ascontiguousarray(maps), classes)


def _views(predictor: Predictor, picture: Picture, row: int, request: Request) -> Views:
    """Return how the network looks at a picture."""
    prepared = predictor.prepared
    if request.seg and picture.write_seg is None:
        raise UnusableError(
            f"{picture.name}: is no DICOM series, so --dicom-seg is not possible; leave it out."
        )
    if request.at:
        from probunet.predict.series import crops_at

        assert prepared is not None
        assert prepared.spacing is not None
        return crops_at(picture, request.at, prepared.size, prepared.spacing)
    if prepared is not None and prepared.spacing is not None and picture.write_seg is not None:
        raise UnusableError(
            f"{picture.name}: is a CT series, and {predictor.sources[0]} was trained on crops of "
            f"{prepared.spacing:g} mm per pixel around lesions; name the places with --at."
        )
    return look_at(picture, prepared, predictor.multiple, row=row, tiles=request.tiles)


def _check(predictor: Predictor, request: Request, inputs: Sequence[Input]) -> None:
    """Raise ProbunetError for options that do not fit the weights; tell what these do not say."""
    prepared, source = predictor.prepared, predictor.sources[0]
    if request.seg:
        check_installed()
    size = getattr(predictor.model, "round", 1)
    if request.n > size and request.n % size:
        logger.warning(
            "--samples: %d: samples of %s complement each other in rounds of %d; choose a multiple "
            "of it, so that they count as the model means them",
            request.n,
            predictor.info.model,
            size,
        )
    if prepared is None:
        logger.info(
            "%s: of an older version, which does not say how images were prepared: images are not "
            "scaled",
            source,
        )
        if request.tiles or request.at:
            option = "--tiles" if request.tiles else "--at"
            raise ProbunetError(
                f"{option}: {source} does not say the size of its training images; train the run "
                "again with this version."
            )
        return
    if request.at and prepared.spacing is None:
        raise ProbunetError(
            f"--at: {source} was not trained on crops of CT slices; leave out --at."
        )
    if request.at and len(inputs) != 1:
        raise ProbunetError(f"--at: is for one image, and {len(inputs)} are named; name one.")
    if request.at and request.tiles:
        raise ProbunetError("--at and --tiles cannot be used together; remove one of them.")
    if prepared.spacing is not None and not request.at:
        logger.info(
            "%s: was trained on crops of %g mm per pixel: images are not scaled, so their pixels "
            "should have this size",
            source,
            prepared.spacing,
        )


def _about(predictor: Predictor, request: Request) -> dict[str, Any]:
    """Return what all results in a folder have in common."""
    return {
        "seed": request.seed,
        "samples": request.n,
        "tiles": request.tiles,
        "dicom_seg": request.seg,
        "places": [asdict(place) for place in request.at],
        "model": predictor.info.model,
        "classes": list(predictor.classes),
        "weights_sha256": [sha256(path) for path in predictor.sources],
        "version": __version__,
    }


def _digest(picture: Picture, row: int) -> str:
    """Return a digest of what the results of an input depend on, besides `_about`."""
    pixels = picture.pixels
    affine = None if picture.affine is None else picture.affine.tolist()
    facts = (pixels.shape, pixels.dtype.str, affine, row)
    digest = blake2b(json.dumps(facts).encode(), digest_size=16)
    for one in pixels:
        digest.update(np.ascontiguousarray(one).data)
    return digest.hexdigest()
