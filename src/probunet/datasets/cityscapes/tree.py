"""List an existing Cityscapes tree; its files are read and checked, never copied or changed."""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

from PIL import Image

from probunet.datasets.cityscapes.labels import (
    LABEL_IDS,
    PLATE,
    TRAIN_IDS,
    UNLABELLED_CITIES,
)
from probunet.datasets.cityscapes.manifest import (
    SceneFile,
    SceneLeftOut,
    SceneManifest,
    SceneReason,
)
from probunet.datasets.cityscapes.png import decode
from probunet.datasets.picture import open_picture
from probunet.datasets.raw_file import (
    BadFileError,
    RawFile,
    check_folder,
    log_left_out,
    read_content,
    reading,
)
from probunet.errors import ProbunetError
from probunet.fetch.download import root_of
from probunet.files import locked
from probunet.manifest import count_reasons
from probunet.workers import in_processes

LICENCE = (
    "Cityscapes licence: non-commercial use, no redistribution of the data; "
    "Cordts et al. 2016, www.cityscapes-dataset.com/license"
)
SPLITS = ("train", "val", "test")  # the publisher's; folds are drawn from the cities instead
PICTURES, PICTURE = "leftImg8bit", "_leftImg8bit.png"
LABELS, LABEL = "gtFine", "_gtFine_labelIds.png"
SYNTHETIC = "Synthetic street scene"  # start of the description in a synthetic PNG
SYNTHETIC_LICENCE = (
    "Synthetic pictures and labels, every pixel invented; CC0 1.0, free to use for anything"
)

_SCENES_PER_PROCESS = 20
# some of these label ids are in every street; no train id is as large, nor what is written for
# ignored pixels instead of 255
_LARGE = range(20, 34)
_USUAL = (0, 1, 3, 4)  # untrained label ids of many labels: unlabelled, own car, margin, static

# reasons of labels that hold something else than label ids
_WRONG_FILES = (SceneReason.TRAIN_IDS, SceneReason.LABEL_FORM, SceneReason.UNKNOWN_LABEL)
_OTHER_FILES = (
    " The publisher's *_labelTrainIds.png, *_color.png and *_instanceIds.png hold something else "
    "than label ids and cannot be renamed: give the publisher's own files of label ids."
)

_log = logging.getLogger(__name__)


def fetch_scenes(
    tree: Path,
    manifest: Path,
    workers: int | None = None,
    source: Literal["local", "official"] = "local",
) -> SceneManifest:
    """Return the manifest of a tree's scenes, after decoding and hashing each file.

    The tree holds `leftImg8bit/<split>/<city>/*_leftImg8bit.png` and
    `gtFine/<split>/<city>/*_gtFine_labelIds.png`. Other folders are ignored: `train_extra` and
    `gtCoarse` have no fine labels. `workers` processes read files; by default one per processor.

    Raises
    ------
    ProbunetError
        If the tree does not exist or cannot be read, has no usable scene, or another process
        writes the same manifest.
    """
    advice = f"give the folder that holds Cityscapes' {PICTURES} and {LABELS}"
    check_folder(tree, advice)
    for part in (PICTURES, LABELS):
        if not (tree / part).is_dir():
            raise ProbunetError(f"{tree}: holds no folder {part}; {advice}.")
    with locked(manifest):
        listed = _list(tree.resolve(), workers)
        if source == "official":
            listed = listed.model_copy(update={"source": source, "root": root_of(tree, manifest)})
        log_left_out(tree, listed.left_out)
        _check_not_empty(tree, listed)
        listed.write(manifest)
    cities = {scene.city for scene in listed.scenes}
    _log.info("%s: %d scenes of %d cities", tree, len(listed.scenes), len(cities))
    return SceneManifest.read(manifest)


@dataclass(frozen=True)
class _Scene:
    """The files of a scene, found by name; paths are relative to the tree."""

    city: str
    frame: str
    split: str
    picture: str | None = None
    label: str | None = None


def _list(root: Path, processes: int | None) -> SceneManifest:
    """Return the manifest of the scenes below `root`."""
    found = _find(root)
    for one, next_one in pairwise(found):
        if (one.city, one.frame) == (next_one.city, next_one.frame):
            raise ProbunetError(
                f"{root}: {one.city}_{one.frame} is in {one.split} and in {next_one.split}, and "
                "would count twice; remove one of the two."
            )
    check = partial(_check, root)
    checked = in_processes(check, found, processes, "checking scenes", _SCENES_PER_PROCESS)
    entries = _without_train_ids(checked)
    scenes = tuple(entry for entry in entries if isinstance(entry, SceneFile))
    synthetic = any(_is_synthetic(root / scene.picture.path) for scene in scenes)
    return SceneManifest(
        dataset="cityscapes",
        source="local",
        synthetic=synthetic,
        root=str(root),
        licence=SYNTHETIC_LICENCE if synthetic else LICENCE,
        scenes=scenes,
        left_out=tuple(entry for entry in entries if isinstance(entry, SceneLeftOut)),
    )


def _find(root: Path) -> list[_Scene]:
    """Return the tree's scenes by city, frame and split, complete or not."""
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


@dataclass(frozen=True)
class _Checked:
    """A scene's entry of the manifest, and the number of its label's pixels by id."""

    entry: SceneFile | SceneLeftOut
    pixels: tuple[int, ...] = ()  # empty if the scene cannot be used

    @property
    def has_no_large_id(self) -> bool:
        """Whether the label is one of train ids, or of an unusual scene."""
        return bool(self.pixels) and not any(self.pixels[i] for i in _LARGE)


def _check(root: Path, scene: _Scene) -> _Checked:
    """Return the manifest's entry of a scene, after reading both files."""
    try:
        if scene.split == "test" and scene.city in UNLABELLED_CITIES:
            raise BadFileError(SceneReason.UNLABELLED, path=scene.picture or scene.label)
        if scene.label is None:
            raise BadFileError(SceneReason.NO_LABEL, path=scene.picture)
        if scene.picture is None:
            raise BadFileError(SceneReason.NO_PICTURE, path=scene.label)
        picture, image = _read(root, scene.picture, "8-bit RGB", SceneReason.PICTURE_FORM)
        label, ids = _read(root, scene.label, "8-bit grey", SceneReason.LABEL_FORM)
        _check_label(image, ids)
    except BadFileError as error:
        return _Checked(
            SceneLeftOut(city=scene.city, frame=scene.frame, **error.entry(scene.label))
        )
    size = image.height, image.width
    entry = SceneFile(city=scene.city, frame=scene.frame, picture=picture, label=label, size=size)
    return _Checked(entry, tuple(ids.histogram()))


def _without_train_ids(checked: list[_Checked]) -> list[SceneFile | SceneLeftOut]:
    """Return the entries; those of labels that hold train ids are left out.

    Labels without a large id are judged together, because a single one may be of an unusual scene.
    They hold train ids if most of their pixels have ids that are not trained, and not only ids
    that are usual: read as train ids, these pixels are road, buildings and sky.
    """
    suspected = [one for one in checked if one.has_no_large_id]
    totals = [sum(one.pixels[i] for one in suspected) for i in range(len(TRAIN_IDS))]
    untrained = {i: total for i, total in enumerate(totals) if total and i not in TRAIN_IDS}
    if 2 * sum(untrained.values()) <= sum(totals) or untrained.keys() <= {*_USUAL}:
        return [one.entry for one in checked]
    return [
        _refuse_train_ids(one.entry)
        if isinstance(one.entry, SceneFile) and one.has_no_large_id
        else one.entry
        for one in checked
    ]


def _refuse_train_ids(scene: SceneFile) -> SceneLeftOut:
    return SceneLeftOut(
        city=scene.city, frame=scene.frame, reason=SceneReason.TRAIN_IDS, path=scene.label.path
    )


def _read(root: Path, path: str, form: str, reason: SceneReason) -> tuple[RawFile, Image.Image]:
    """Return a file's entry and its image; `reason` is why it is unusable in another form."""
    data = read_content(root / path)
    with reading(path):
        png = decode(data)
        if png.form != form:
            raise BadFileError(reason, png.form)
    return RawFile.of(path, data), png.image


def _check_label(picture: Image.Image, label: Image.Image) -> None:
    """Raise BadFileError if the label differs from its picture in size or has unknown ids."""
    if picture.size != label.size:
        sizes = [f"{height} x {width}" for width, height in (picture.size, label.size)]
        raise BadFileError(SceneReason.SIZES_DIFFER, " and ".join(sizes))
    ids = (value for value, pixels in enumerate(label.histogram()) if pixels)
    unknown = [str(value) for value in ids if value not in LABEL_IDS and value != PLATE]
    if unknown:
        raise BadFileError(SceneReason.UNKNOWN_LABEL, ", ".join(unknown))


def _is_synthetic(picture: Path) -> bool:
    """Return whether a PNG file describes itself as synthetic."""
    with open_picture(read_content(picture), ("PNG",)) as image:
        return str(image.info.get("Description", "")).startswith(SYNTHETIC)


def _check_not_empty(tree: Path, listed: SceneManifest) -> None:
    if not listed.scenes:
        counts = count_reasons(listed.left_out)
        found = "; ".join(f"{reason}: {count}" for reason, count in counts.items())
        wrong_files = counts.keys() & {str(reason) for reason in _WRONG_FILES}
        raise ProbunetError(
            f"{tree}: no scene can be used ({found or 'none was found'}). Scenes are files "
            f"{PICTURES}/<split>/<city>/*{PICTURE} with {LABELS}/<split>/<city>/*{LABEL}, "
            f"where <split> is {', '.join(SPLITS)}.{_OTHER_FILES if wrong_files else ''}"
        )
