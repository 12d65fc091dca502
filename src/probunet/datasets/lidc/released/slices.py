"""List LIDC-IDRI-slices, the set of crops that people know from Kaggle: a folder or a zip.

LIDC-IDRI-slices/<patient>/nodule-<n>/images/slice-<k>.png
LIDC-IDRI-slices/<patient>/nodule-<n>/mask-{0,1,2,3}/slice-<k>.png
"""

import re
from collections.abc import Iterable
from pathlib import Path

from probunet.datasets.lidc.released.listing import list_released
from probunet.datasets.lidc.released.manifest import CropLeftOut, CropReason, ReleasedManifest
from probunet.datasets.lidc.released.pictures import Files, check_pictures, find_pictures, is_png
from probunet.datasets.lidc.released.sets import SETS
from probunet.datasets.raw_file import RawFile, check_folder
from probunet.fetch.archive import unpack
from probunet.fetch.download import root_of
from probunet.files import locked, sha256

ADVICE = "name the folder or the zip of LIDC-IDRI-slices (datasets.lidc.path)"
_NAME = re.compile(
    r"(?:.*/)?(LIDC-IDRI-\d{4})/nodule-(\d{1,6})/(?:images|mask-(\d{1,6}))/slice-(\d{1,6})\.png",
    re.ASCII,
)
_LARGEST = 2**32  # bytes of all unpacked files; the whole set has 200 MB


def fetch_slices(
    path: Path,
    folder: Path,
    manifest: Path,
    patients: int | None = None,
    workers: int | None = None,
) -> ReleasedManifest:
    """Return the manifest of the crops at `path`, a folder, or a zip that is unpacked in `folder`.

    Raises
    ------
    ProbunetError
        If the path cannot be read or holds no crop, or another process writes the same manifest.
    """
    with locked(manifest):
        archives = []
        if path.is_file():
            root = folder / path.stem
            files = unpack(path, root, lambda name: name if is_png(name) else None, _LARGEST)
            names = [file.relative_to(root).as_posix() for file in files]
            size, digest = path.stat().st_size, sha256(path)
            archives = [RawFile(path=path.name, bytes=size, sha256=digest)]
            listed_root = root_of(root, manifest)
        else:
            check_folder(path, ADVICE)
            root, listed_root = path.resolve(), str(path.resolve())
            names = find_pictures(root)
        found, left_out = _arrange(names)
        crops, bad = check_pictures(root, SETS["slices"].side, found, workers)
        listed = list_released(
            "slices",
            path,
            listed_root,
            crops,
            [*left_out, *bad],
            patients=patients,
            archives=archives,
        )
        listed.write(manifest)
    return ReleasedManifest.read(manifest)


def _arrange(names: Iterable[str]) -> tuple[list[Files], list[CropLeftOut]]:
    """Return the files of each crop, ordered by patient, lesion and slice; and other names."""
    crops: dict[tuple[str, int, int], Files] = {}
    others = []
    for name in sorted(names):
        match = _NAME.fullmatch(name)
        if match is None:
            others.append(CropLeftOut(patient="", name=name, path=name, reason=CropReason.NAME))
            continue
        patient, lesion, mask, place = match.groups()
        key = patient, int(lesion), int(place)
        files = crops.setdefault(key, Files(patient, lesion=int(lesion)))
        if second := files.add(None if mask is None else int(mask), name):
            others.append(second)
    return [crops[key] for key in sorted(crops)], others
