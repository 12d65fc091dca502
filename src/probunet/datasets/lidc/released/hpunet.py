"""List the crops released with the Hierarchical Probabilistic U-Net, and download them.

    [lidc_crops_<split>/]<split>/images/<patient>/z-<z>_c<lesion>.png
    [lidc_crops_<split>/]<split>/gt/<patient>/z-<z>_c<lesion>_l{0..3}.png

The first "-" is a separator: z can be negative, `z--105.0`. The splits are train, val and test.
"""

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import BaseModel, ValidationError

from probunet.config import Fetch
from probunet.datasets.lidc.released.listing import list_released
from probunet.datasets.lidc.released.manifest import CropLeftOut, CropReason, ReleasedManifest
from probunet.datasets.lidc.released.pictures import Files, check_pictures, find_pictures, is_png
from probunet.datasets.lidc.released.sets import LICENCE, SETS
from probunet.datasets.lidc.released.split import PARTS
from probunet.datasets.raw_file import RawFile, check_folder
from probunet.fetch.archive import ArchiveError
from probunet.fetch.download import Progress, check_space, root_of, write_licence
from probunet.fetch.http import Client
from probunet.fetch.tarball import unpack_tar
from probunet.files import locked, read_file, sha256, written_whole

ENDPOINT = "https://storage.googleapis.com"
PLACE = "hpunet-data/lidc_crops"  # of the archives on the server
ADVICE = "name the folder that holds train, val and test (datasets.lidc.path)"
_NAME = re.compile(
    r"(?:.*/)?(?:lidc_crops_)?(train|val|test)/(images|gt)/(LIDC-IDRI-\d{4})"
    r"/z-(-?\d{1,5}(?:\.\d{1,12})?)_c(\d{1,6})(?:_l(\d{1,6}))?\.png",
    re.ASCII,
)
_LARGEST = 2**31  # bytes of an unpacked archive; the largest has some 300 MB
_UNPACKED = 4  # times an archive's size: the space that its files take

_log = logging.getLogger(__name__)


class _Unpacked(BaseModel):
    """The record of an archive and its unpacked files: their sizes by path."""

    archive: RawFile
    files: dict[str, int]


def fetch_hpunet(
    path: Path | None,
    folder: Path,
    manifest: Path,
    how: Fetch | None = None,
    patients: int | None = None,
    *,
    endpoint_url: str | None = None,
    workers: int | None = None,
) -> ReleasedManifest:
    """Return the manifest of the crops at `path`; None: of a download to `folder`.

    `endpoint_url` is a server to use instead of the publisher's.

    Raises
    ------
    ProbunetError
        If the folder cannot be read or holds no crop, a download fails, an archive is damaged or
        another one than its name says, or another process writes here. What was downloaded is kept.
    """
    with locked(manifest):
        if path is None:
            root = folder / "hpunet"  # the folder can hold the files of another source
            archives = _download(root, endpoint_url or ENDPOINT, how or Fetch())
            listed_root = root_of(root, manifest)
        else:
            check_folder(path, ADVICE)
            root, listed_root, archives = path.resolve(), str(path.resolve()), []
        found, left_out = _arrange(find_pictures(root))
        crops, bad = check_pictures(root, SETS["hpunet"].side, found, workers)
        listed = list_released(
            "hpunet",
            path or root,
            listed_root,
            crops,
            [*left_out, *bad],
            patients=patients,
            archives=archives,
        )
        listed.write(manifest)
    return ReleasedManifest.read(manifest)


def _arrange(names: Iterable[str]) -> tuple[list[Files], list[CropLeftOut]]:
    """Return the files of each crop, ordered by patient, z and lesion; and other names."""
    crops: dict[tuple[str, float, int, str], Files] = {}
    others = []
    for name in sorted(names):
        match = _NAME.fullmatch(name)
        if match is None or (match[2] == "gt") != (match[6] is not None):
            others.append(CropLeftOut(patient="", name=name, path=name, reason=CropReason.NAME))
            continue
        split, _, patient, z, lesion, mask = match.groups()
        files = crops.setdefault(
            (patient, float(z), int(lesion), split),
            Files(patient, z=float(z), lesion=int(lesion), split=split),
        )
        if second := files.add(None if mask is None else int(mask), name):
            others.append(second)
    return [crops[key] for key in sorted(crops)], others


def _download(folder: Path, endpoint: str, how: Fetch) -> list[RawFile]:
    """Download and unpack what is missing of the three archives; return their entries."""
    urls = {split: f"{endpoint.rstrip('/')}/{PLACE}/{split}.tar.gz" for split in PARTS}
    records = {split: _record(folder, split) for split in PARTS}
    with locked(folder), Client(how) as client:
        missing = [split for split in PARTS if records[split] is None]
        sizes = {split: client.get(urls[split], 0, 1).total or 0 for split in missing}
        parts = {split: folder / f".{split}.tar.gz.part" for split in missing}
        left = sum(max(0, sizes[split] - _size(parts[split])) for split in missing)
        check_space(folder, left + _UNPACKED * sum(sizes.values()))
        with Progress("LIDC-IDRI crops", left) as progress:
            for split in missing:
                if _size(parts[split]) != sizes[split] or not sizes[split]:
                    client.save(
                        urls[split], parts[split], on_bytes=lambda n: progress.add(n, objects=0)
                    )
                records[split] = _unpack(parts[split], folder, split)
                progress.add(0)
        write_licence(folder, LICENCE)
    return [record.archive for record in records.values() if record is not None]


def _unpack(part: Path, folder: Path, split: str) -> _Unpacked:
    """Unpack the archive of a split, record it, and remove it."""
    _log.info("unpacking %s", part)

    def wanted(name: str) -> str | None:
        match = _NAME.fullmatch(name)
        if match is not None and match[1] != split:
            raise ArchiveError(part, f"the archive of {match[1]} instead of that of {split}")
        return name if is_png(name) else None

    files = unpack_tar(part, folder, wanted, _LARGEST)
    if not files:
        raise ArchiveError(part, f"holds no crop of {split}")
    archive = RawFile(path=f"{split}.tar.gz", bytes=_size(part), sha256=sha256(part))
    sizes = {str(file.relative_to(folder)): file.stat().st_size for file in files}
    record = _Unpacked(archive=archive, files=sizes)
    with written_whole(_record_file(folder, split)) as aside:
        aside.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    os.sync()  # so that a power cut cannot take the crops after the archive is removed
    part.unlink()
    return record


def _record(folder: Path, split: str) -> _Unpacked | None:
    """Return the record of an archive whose files all exist; None if it must be downloaded."""
    file = _record_file(folder, split)
    if not file.exists():
        return None
    try:
        record = _Unpacked.model_validate_json(read_file(file, "is gone"))
    except ValidationError:
        _log.warning("%s: is damaged; downloading %s again", file, split)
        return None
    lost = [path for path, size in record.files.items() if _size(folder / path) != size]
    if lost:
        _log.warning(
            "%s: %d of %d files of %s are missing or changed (first %s); downloading it again",
            folder,
            len(lost),
            len(record.files),
            split,
            lost[0],
        )
        return None
    return record


def _record_file(folder: Path, split: str) -> Path:
    return folder / f".{split}.json"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
