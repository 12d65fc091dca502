"""A Cityscapes tree: checked and listed; never copied, never written to."""

import hashlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from PIL import Image

from probunet.cityscapes import LABEL_IDS, PLATE, UNLABELLED_CITIES
from probunet.errors import ProbunetError
from probunet.fetch.download import root_of
from probunet.fetch.png import BadPngError, decode
from probunet.fetch.tree import in_processes
from probunet.files import locked
from probunet.manifest import count_reasons
from probunet.scene_manifest import (
    SceneFile,
    SceneImage,
    SceneLeftOut,
    SceneManifest,
    SceneReason,
)

LICENCE = (
    "Cityscapes licence: non-commercial use, no redistribution of the data; "
    "Cordts et al. 2016, www.cityscapes-dataset.com/license"
)
SPLITS = ("train", "val", "test")  # the publisher's; folds are made anew from the cities
PICTURES, PICTURE = "leftImg8bit", "_leftImg8bit.png"
LABELS, LABEL = "gtFine", "_gtFine_labelIds.png"
SYNTHETIC = "Synthetic street scene"  # how a drawn picture's description begins
SYNTHETIC_LICENCE = (
    "Synthetic pictures and labels, every pixel invented; CC0 1.0, free to use for anything"
)

_SCENES_PER_PROCESS = 20  # fewer are read before another process has started

_log = logging.getLogger(__name__)


def fetch_scenes(
    tree: Path,
    manifest: Path,
    workers: int | None = None,
    source: Literal["local", "official"] = "local",
) -> SceneManifest:
    """List a tree's scenes, each file decoded and hashed, and what had to be left out.

    Parameters
    ----------
    tree
        The folder that holds `leftImg8bit/<split>/<city>/*_leftImg8bit.png` and
        `gtFine/<split>/<city>/*_gtFine_labelIds.png`. Whatever else it holds is not looked at:
        `train_extra` and `gtCoarse` have no fine labels.
    manifest
        Where to write the manifest.
    workers
        Processes that read files; as many as there are processors if None.
    source
        Where the tree comes from: it is the user's own, or has just been downloaded.

    Raises
    ------
    ProbunetError
        If the tree is not there or cannot be read, not one of its scenes can be used, or another
        process writes the same manifest.
    """
    for part in (PICTURES, LABELS):
        if not (tree / part).is_dir():
            lacks = f"holds no folder {part}" if tree.is_dir() else "no such folder"
            raise ProbunetError(
                f"{tree}: {lacks}; give the folder that holds Cityscapes' {PICTURES} and {LABELS}."
            )
    with locked(manifest):
        made = _list(tree.resolve(), workers or len(os.sched_getaffinity(0)))
        if source == "official":
            made = made.model_copy(update={"source": source, "root": root_of(tree, manifest)})
        _tell(tree, made)
        made.write(manifest)
    return SceneManifest.read(manifest)


@dataclass(frozen=True)
class _Scene:
    """A scene by its files' names; paths are relative to the tree."""

    city: str
    frame: str
    split: str
    picture: str | None = None
    label: str | None = None


def _list(root: Path, processes: int) -> SceneManifest:
    """Return the manifest of what lies below `root`."""
    found = _found(root)
    for one, next_one in pairwise(found):
        if (one.city, one.frame) == (next_one.city, next_one.frame):
            raise ProbunetError(
                f"{root}: {one.city}_{one.frame} lies in {one.split} and in {next_one.split}, and "
                "would count twice; remove one of the two."
            )
    check = partial(_checked, root)
    entries = in_processes(check, found, processes, "checking scenes", _SCENES_PER_PROCESS)
    scenes = tuple(entry for entry in entries if isinstance(entry, SceneFile))
    synthetic = any(_is_drawn(root / scene.picture.path) for scene in scenes)
    return SceneManifest(
        dataset="cityscapes",
        source="local",
        synthetic=synthetic,
        root=str(root),
        licence=SYNTHETIC_LICENCE if synthetic else LICENCE,
        scenes=scenes,
        left_out=tuple(entry for entry in entries if isinstance(entry, SceneLeftOut)),
    )


def _found(root: Path) -> list[_Scene]:
    """Return the tree's scenes in order, whole or not, as the names of the files tell."""
    paths: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for part, suffix, kind in ((PICTURES, PICTURE, "picture"), (LABELS, LABEL, "label")):
        for split in SPLITS:
            for path in _files(root / part / split, suffix):
                city = path.parent.name
                frame = path.name.removeprefix(f"{city}_").removesuffix(suffix)
                paths[city, frame, split][kind] = str(path.relative_to(root))
    return [_Scene(*key, **paths[key]) for key in sorted(paths)]


def _files(split: Path, suffix: str) -> Iterator[Path]:
    """Yield the files `<city>/*<suffix>` of a split."""
    try:
        for city in split.iterdir() if split.is_dir() else ():
            if city.is_dir():
                yield from (path for path in city.iterdir() if path.name.endswith(suffix))
    except OSError as error:
        raise ProbunetError(f"{error.filename}: cannot be read ({error.strerror}).") from None


def _checked(root: Path, scene: _Scene) -> SceneFile | SceneLeftOut:
    """Return the manifest's entry of a scene, after reading all of both files."""

    def left_out(reason: SceneReason, path: str | None, detail: str = "") -> SceneLeftOut:
        return SceneLeftOut(
            city=scene.city, frame=scene.frame, reason=reason, path=path, detail=detail
        )

    if scene.split == "test" and scene.city in UNLABELLED_CITIES:
        return left_out(SceneReason.UNLABELLED, scene.picture or scene.label)
    if scene.label is None:
        return left_out(SceneReason.NO_LABEL, scene.picture)
    if scene.picture is None:
        return left_out(SceneReason.NO_PICTURE, scene.label)
    path = scene.picture
    try:
        picture, shown = _read(root, path, "8-bit RGB", SceneReason.PICTURE_FORM)
        path = scene.label
        label, labelled = _read(root, path, "8-bit grey", SceneReason.LABEL_FORM)
        _compare(shown, labelled)
    except BadPngError as error:
        return left_out(error.reason, path, error.detail)
    return SceneFile(city=scene.city, frame=scene.frame, picture=picture, label=label)


def _read(
    root: Path, path: str, form: str, otherwise: SceneReason
) -> tuple[SceneImage, Image.Image]:
    """Return a file's entry and its pixels."""
    try:
        data = (root / path).read_bytes()
    except OSError as error:
        raise ProbunetError(f"{root / path}: cannot be read ({error.strerror}).") from None
    png = decode(data)
    if png.form != form:
        raise BadPngError(otherwise, png.form)
    digest = hashlib.sha256(data).hexdigest()
    return SceneImage(path=path, bytes=len(data), sha256=digest), png.image


def _compare(picture: Image.Image, label: Image.Image) -> None:
    """Refuse a label of another size than its picture's, or with ids that there are not."""
    if picture.size != label.size:
        sizes = [f"{height} x {width}" for width, height in (picture.size, label.size)]
        raise BadPngError(SceneReason.SIZES_DIFFER, " and ".join(sizes))
    ids = (value for value, pixels in enumerate(label.histogram()) if pixels)
    unknown = [str(value) for value in ids if value not in LABEL_IDS and value != PLATE]
    if unknown:
        raise BadPngError(SceneReason.UNKNOWN_LABEL, ", ".join(unknown))


def _is_drawn(picture: Path) -> bool:
    """Return whether a picture says of itself that it is synthetic."""
    with Image.open(picture) as image:
        return str(image.info.get("Description", "")).startswith(SYNTHETIC)


def _tell(tree: Path, made: SceneManifest) -> None:
    """Log what was found and what was left out; refuse a tree of which nothing can be used."""
    counts = count_reasons(made.left_out)
    if not made.scenes:
        found = "; ".join(f"{reason}: {count}" for reason, count in counts.items())
        raise ProbunetError(
            f"{tree}: not one scene can be used ({found or 'there is none'}). Scenes are files "
            f"{PICTURES}/<split>/<city>/*{PICTURE} with {LABELS}/<split>/<city>/*{LABEL}, "
            f"<split> being {', '.join(SPLITS)}."
        )
    cities = {scene.city for scene in made.scenes}
    _log.info("%s: %d scenes of %d cities", tree, len(made.scenes), len(cities))
    for reason, count in counts.items():
        first = next(item for item in made.left_out if item.reason == reason)
        detail = f" ({first.detail})" if first.detail else ""
        _log.warning("%s: left out %d: %s; first %s%s", tree, count, reason, first.path, detail)
