"""All readers of files: what is valid for each, and what it is called with."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import nibabel
import numpy as np
import pandas as pd
import tifffile
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

from probunet.errors import ProbunetError
from support.slices import SERIES, slice_bytes

Seeds = Callable[[Path], list[bytes]]


@dataclass(frozen=True)
class Reader:
    """A reader of files.

    `seeds` returns valid contents, for which it can use a folder; `read` reads a file; `pack`
    wraps a mutated content so that its damage lies behind a checksum or compression.
    """

    seeds: Seeds
    read: Callable[[Path], object]
    pack: Callable[[bytes], bytes] = bytes


def _pixels(*shape: int, dtype: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def _picture(kind: str, pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def _tiff(pixels: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _pictures(folder: Path) -> list[bytes]:
    grey, colour = _pixels(24, 32), _pixels(24, 32, 3)
    frames = [Image.fromarray(grey)] * 2
    return [
        _picture("PNG", grey),
        _picture("PNG", colour),
        _picture("PNG", _pixels(24, 32, dtype="uint16")),
        _picture("JPEG", colour),
        _picture("GIF", grey),
        _picture("GIF", grey, save_all=True, append_images=frames),
        _picture("BMP", colour),
        _picture("PPM", colour),
        b"P2 4 2 9\n1 2 3 4 5 6 7 8\n",
        _picture("TIFF", grey, compression="tiff_lzw"),
        _picture("TIFF", grey, save_all=True, append_images=frames),
        _tiff(_pixels(24, 32, 3, dtype="uint16"), photometric="rgb"),
        _tiff(_pixels(4, 24, 32), imagej=True),
        _tiff(_pixels(24, 32, dtype="float32"), tile=(16, 16)),
    ]


def _whole_chunks(content: bytes) -> bytes:
    """Return a PNG file with the right checksum for each chunk."""
    fixed, at = content[:8], 8
    while at + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + length]
        fixed += content[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return fixed


def _nifti(folder: Path) -> list[bytes]:
    volume = _pixels(6, 5, 4, dtype="int16")
    scaled = nibabel.Nifti1Image(volume, np.eye(4))
    scaled.header.set_slope_inter(0.5, -3)
    return [
        scaled.to_bytes(),
        nibabel.Nifti1Image(volume.astype("float64"), np.eye(4)).to_bytes(),
        nibabel.Nifti2Image(volume, np.eye(4)).to_bytes(),
    ]


def _read_image(path: Path) -> None:
    from probunet.datasets.folder.classes import Classes
    from probunet.datasets.folder.image_files import decode_image, decode_labels, decode_mask
    from probunet.datasets.folder.manifest import ClassTable
    from probunet.datasets.raw_file import BadFileError, read_content

    content = read_content(path)
    values = ClassTable(names=("a", "b"), values=(0, 1))
    colours = ClassTable(names=("a", "b"), values=("#000000", "#ffffff"))
    labels = [partial(decode_labels, classes=Classes(table)) for table in (values, colours)]
    for decode in (decode_image, *labels):
        try:
            decode(content)
        except BadFileError as error:
            error.entry()
    decode_mask(content, threshold=100)


def _read_scene(path: Path) -> None:
    from probunet.datasets.cityscapes.png import decode
    from probunet.datasets.raw_file import read_content

    decode(read_content(path))


def _dicom(folder: Path) -> list[bytes]:
    syntaxes = (ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian)
    return [
        slice_bytes(-1.5),
        *(slice_bytes(-1.5, syntax=syntax) for syntax in syntaxes),
        slice_bytes(-1.5, ImageComments="x" * 5000, NumberOfFrames=1),
    ]


def _read_dicom(path: Path) -> None:
    from probunet.datasets.lidc.dicom import read_slice
    from probunet.datasets.lidc.tree import look

    look(path)
    look(path, io.BytesIO(path.read_bytes()[:600]), truncated=True)
    read_slice(path)


def _deflate(content: bytes) -> bytes:
    """Return a DICOM file whose elements behind the file's own are deflated."""
    head = slice_bytes(-1.5, syntax=DeflatedExplicitVRLittleEndian)
    start = 144 + int.from_bytes(head[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return head[:start] + packer.compress(content[start:]) + packer.flush()


def _table(folder: Path) -> list[bytes]:
    return [
        b"image,subject,mask_a,mask_b\ni/1.png,P1,m/1.png,\ni/2.png,P2,m/2.png,m/3.png\n",
        b'image,subject,mask\n"a,b.png",P,"c ""d"".png"\n',
    ]


def _read_table(path: Path) -> None:
    from probunet.datasets.folder.table import read_table

    read_table(path)


def _image_manifest(folder: Path) -> list[bytes]:
    from probunet.datasets.folder.listing import fetch_folder
    from support.own_images import write_folder

    write_folder(folder / "own", subjects=2)
    fetch_folder(folder / "own", folder / "own.json", "own", workers=1)
    return [(folder / "own.json").read_bytes()]


def _scene_manifest(folder: Path) -> list[bytes]:
    from probunet.datasets.cityscapes.manifest import SceneFile, SceneManifest
    from probunet.datasets.raw_file import RawFile

    file = RawFile.of("a.png", b"content")
    scenes = [SceneFile(city="ulm", frame="1", picture=file, label=file, size=(4, 8))]
    about = {"dataset": "cityscapes", "source": "local", "synthetic": False, "licence": "none"}
    return [SceneManifest(root=".", scenes=tuple(scenes), **about).model_dump_json().encode()]


def _slice_manifest(folder: Path) -> list[bytes]:
    from probunet.datasets.lidc.manifest import Series
    from support.slices import entry, manifest_of

    listed = entry(folder / "none.dcm", folder, -1.5)
    series = Series(patient="P", series=SERIES, outlines_of=SERIES, slices=(listed,))
    return [manifest_of(folder, [series]).model_dump_json().encode()]


def _manifest(name: str, of: str) -> Callable[[Path], object]:
    def read(path: Path) -> object:
        import importlib

        return getattr(importlib.import_module(f"probunet.datasets.{of}.manifest"), name).read(path)

    return read


def _index(folder: Path) -> list[bytes]:
    from probunet.datasets.lidc.idc_index import IndexedObject, SeriesIndex

    one = IndexedObject(name="a.dcm", bytes=3, etag="0" * 32, series=SERIES, z=-1.5)
    return [SeriesIndex(series=SERIES, prefix="a/", objects=(one,)).model_dump_json().encode()]


def _read_index(path: Path) -> None:
    from probunet.datasets.lidc.idc_index import read_index

    read_index(path, "a/")


def _folds(folder: Path) -> list[bytes]:
    from support.folds import write_folds

    path = write_folds(folder / "folds.json", "discs", train="a b", validation="c", test="d")
    return [path.read_bytes()]


def _read_folds(path: Path) -> None:
    from probunet.folds import Folds

    Folds.read(path).subjects(0, "test")


def _answer(folder: Path) -> list[bytes]:
    space = b' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    entry = b"<Contents><Key>a/1.dcm</Key><Size>3</Size><ETag>&quot;0&quot;</ETag></Contents>"
    end = b"<IsTruncated>false</IsTruncated></ListBucketResult>"
    return [b'<?xml version="1.0"?><ListBucketResult' + space + b">" + entry * 3 + end]


def _read_answer(path: Path) -> None:
    from probunet.fetch.bucket import Bucket
    from probunet.fetch.http import Body

    class Client:
        def get(self, url: str, **_: object) -> Body:
            return Body(path.read_bytes(), 0, None)

    Bucket(Client(), "http://localhost", "bucket").list("a/")  # type: ignore[arg-type]


def _archive(folder: Path) -> list[bytes]:
    found = []
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as file:
            for name in ("a.txt", "deep/er/b.bin", "folder/"):
                file.writestr(name, b"" if name.endswith("/") else name.encode() * 50)
        found.append(buffer.getvalue())
    return found


def _read_archive(path: Path) -> None:
    from probunet.fetch.archive import unpack
    from probunet.files import remove

    try:
        unpack(path, path.parent / "unpacked", lambda name: name, 10**6)
    finally:
        remove(path.parent / "unpacked")


def _scores(folder: Path) -> list[bytes]:
    found = []
    for compression in ("snappy", "zstd"):
        rows = 6
        run = {"dataset": "d", "model": "unet", "beta": 1.0, "fold": 0, "seed": 0}
        columns = {"predictor": "model", "n": 2, "row": range(rows), "subject": list("aabbcc")}
        scores = {name: np.linspace(0, 1, rows) for name in ("ged", "hm_iou")}
        bins = {"bin_pixels": [[1.0, 2.0]] * rows}
        table = pd.DataFrame({**run, **columns, **scores, **bins})
        table.to_parquet(folder / "s.parquet", index=False, compression=compression)
        found.append((folder / "s.parquet").read_bytes())
    return found


def _read_scores(path: Path) -> None:
    from probunet.scores import read_scores

    read_scores(path)


def _weights(folder: Path) -> list[bytes]:
    from probunet.run import Run
    from support.crops import write_discs
    from support.settings import tiny_settings
    from support.weights import write_untrained

    store, run = write_discs(folder / "discs.zarr", 0), Run("discs", "probabilistic_unet", 1, 0, 0)
    return [write_untrained(folder / "w.pt", run, store, tiny_settings()).read_bytes()]


def _read_weights(path: Path) -> None:
    from probunet.models.weights import load_weights

    load_weights(path)


def _checkpoint(folder: Path) -> list[bytes]:
    import torch

    from probunet.train.average import Average
    from probunet.train.checkpoint import State, save_checkpoint

    model = _network()
    optimiser = torch.optim.Adam(model.parameters())
    save_checkpoint(folder / "c.pt", Average(model, 0), optimiser, State(), "digest")
    return [(folder / "c.pt").read_bytes()]


def _read_checkpoint(path: Path) -> None:
    import torch

    from probunet.train.average import Average
    from probunet.train.checkpoint import load_checkpoint

    model = _network()
    load_checkpoint(path, Average(model, 0), torch.optim.Adam(model.parameters()), "digest")


def _network() -> Any:
    from probunet.models import build
    from support.settings import tiny_settings

    shape = tiny_settings().architecture_of("probabilistic_unet")
    return build("probabilistic_unet", shape, in_channels=1, classes=1, seed=0)


def _tar(folder: Path) -> list[bytes]:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name in ("a.txt", "deep/er/b.bin", "a long name/" * 20):
            member = tarfile.TarInfo(name)
            member.size = 50
            file.addfile(member, io.BytesIO(b"x" * 50))
    return [buffer.getvalue()]


def _read_tar(path: Path) -> None:
    from probunet.fetch.tarball import unpack_tar
    from probunet.files import remove

    try:
        unpack_tar(path, path.with_name("unpacked"), str, 10**7)
    finally:
        remove(path.with_name("unpacked"))


def _pickle(folder: Path) -> list[bytes]:
    crop = {"image": _pixels(4, 4) / 200, "masks": [_pixels(4, 4)] * 4, "series_uid": SERIES}
    return [pickle.dumps({"a": crop, "b": crop}, protocol) for protocol in (2, 4, 5)]


def _hdf5(folder: Path) -> list[bytes]:
    contents = []
    for options in ({}, {"compression": "gzip", "shuffle": True}):
        with h5py.File(folder / "seed.hdf5", "w") as file:
            for part in ("train", "val", "test"):
                file[f"{part}/uids"] = np.arange(2)
                for name, pixels in (
                    ("images", _pixels(2, 128, 128) / 200 - 0.5),
                    ("labels", _pixels(2, 128, 128, 4) % 2),
                ):
                    file.create_dataset(f"{part}/{name}", data=pixels, **options)
        contents.append((folder / "seed.hdf5").read_bytes())
    return contents


def _read_hdf5(path: Path) -> None:
    from probunet.datasets.lidc.released.hdf5 import read_hdf5

    for _ in read_hdf5(path):
        pass


def _read_pickle(path: Path) -> None:
    from probunet.datasets.lidc.released.pickled import read_pickle

    read_pickle(path)


def _released(folder: Path) -> list[bytes]:
    from probunet.datasets.lidc.released.slices import fetch_slices
    from support.released import write_slices_crop

    write_slices_crop(folder / "set", "LIDC-IDRI-0001", 0, 0)
    fetch_slices(folder / "set", folder, folder / "manifest.json", workers=1)
    return [(folder / "manifest.json").read_bytes()]


def _mask(folder: Path) -> list[bytes]:
    return [_picture("PNG", (_pixels(24, 24) > 100).astype(np.uint8) * 255)]


def _read_crop(path: Path) -> None:
    from probunet.datasets.lidc.released.pictures import decode_crop

    decode_crop(dict.fromkeys("abcde", path.read_bytes()), 24)


def _arrays(folder: Path) -> list[bytes]:
    found = []
    for name in ("1.npy", "1.npz"):
        save = np.save if name.endswith("npy") else np.savez_compressed
        save(folder / name, _pixels(4, 24, 32) % 2)
        found.append((folder / name).read_bytes())
    return found


def _read_arrays(path: Path) -> None:
    from probunet.score.elsewhere import read_maps

    for ending in ("npy", "npz"):
        named = path.with_suffix(f".{ending}")
        named.write_bytes(path.read_bytes())
        with suppress(ProbunetError):
            read_maps(named, 4, (24, 32), 2)


READERS: dict[str, Reader] = {
    "table": Reader(_table, _read_table),
    "image manifest": Reader(_image_manifest, _manifest("ImageManifest", "folder")),
    "scene manifest": Reader(_scene_manifest, _manifest("SceneManifest", "cityscapes")),
    "slice manifest": Reader(_slice_manifest, _manifest("Manifest", "lidc")),
    "series index": Reader(_index, _read_index),
    "folds": Reader(_folds, _read_folds),
    "weights": Reader(_weights, _read_weights),
    "checkpoint": Reader(_checkpoint, _read_checkpoint),
    "scores": Reader(_scores, _read_scores),
    "samples of another code": Reader(_arrays, _read_arrays),
    "DICOM": Reader(_dicom, _read_dicom),
    "DICOM, deflated": Reader(lambda folder: [slice_bytes(-1.5)], _read_dicom, _deflate),
    "NIfTI": Reader(_nifti, _read_image),
    "NIfTI, gzip": Reader(_nifti, _read_image, gzip.compress),
    "pictures": Reader(_pictures, _read_image),
    "PNG": Reader(lambda folder: _pictures(folder)[:3], _read_image, _whole_chunks),
    "scene": Reader(lambda folder: _pictures(folder)[:3], _read_scene, _whole_chunks),
    "bucket": Reader(_answer, _read_answer),
    "archive": Reader(_archive, _read_archive),
    "tar": Reader(_tar, _read_tar, gzip.compress),
    "pickle": Reader(_pickle, _read_pickle),
    "hdf5": Reader(_hdf5, _read_hdf5),
    "released manifest": Reader(_released, _manifest("ReleasedManifest", "lidc.released")),
    "released crop": Reader(_mask, _read_crop, _whole_chunks),
}
