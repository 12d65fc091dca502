"""Time and data volume of a download of LIDC-IDRI from a local S3 server (rclone).

The slices are noise of 512 x 512 with the UIDs and z of real series, in the publisher's layout.
Client and server share the processors. Rates of `fetch` and `s5cmd` are of the same objects, in
turn; ratios are of the shortest times.
"""

import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from common import parser, seconds, write
from probunet.config import Fetch
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.idc import fetch_idc
from probunet.datasets.lidc.idc_index import read_header_of
from probunet.datasets.lidc.idc_plan import Wanted, wanted
from probunet.fetch.bucket import Bucket
from probunet.fetch.http import Client

PATIENTS = 10  # with one series each; 7.4 % of their slices have outlines (all series: 6.8 %)
BUCKET = "idc-open-data"
HEADERS = 5_000
GIGABIT = 125_000_000  # bytes a second
BIN = Path(sys.executable).parent


def main() -> None:
    options = parser(__doc__)
    options.add_argument("--repeats", type=int, default=3)
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="probunet-") as scratch:
        folder = Path(scratch)
        series = wanted(PATIENTS)
        for item in series:
            write_series(folder / "s3" / BUCKET, item, side=512)
        many = folder / "s3" / "headers"
        write_headers(many)
        repeats = arguments.repeats
        with s3_server(folder / "s3") as endpoint:
            figures = {
                "outlined": outlined(folder, endpoint, series),
                "headers": headers(endpoint),
                "whole": whole(folder, endpoint, series, repeats),
            }
        with s3_server(folder / "s3", "--bwlimit", f"{GIGABIT}B") as endpoint:
            figures["whole at 1 Gbit/s"] = whole(folder, endpoint, series, repeats)
    write(figures, arguments.json)


def source_of(endpoint: str, **keys: str) -> LidcSource:
    """Return the data set's section for the local server."""
    return LidcSource(patients=PATIENTS, endpoint_url=endpoint, bucket=BUCKET, **keys)


def outlined(folder: Path, endpoint: str, series: list[Wanted]) -> dict[str, float]:
    """Return the share of the series' bytes that a download of outlined slices transfers."""
    all_bytes = sum(size_of(folder / "s3" / BUCKET / item.prefix) for item in series)
    received: list[int] = []
    close = Client.__exit__

    def count(client: Client, *error: object) -> None:
        received.append(client.received)
        close(client, *error)

    Client.__exit__ = count
    source, manifest = source_of(endpoint), folder / "manifest.json"
    duration = seconds(lambda: fetch_idc(folder / "raw", manifest, source, Fetch()))
    Client.__exit__ = close
    return {
        "series": len(series),
        "slices": sum(len(item.scan.z) for item in series),
        "outlined_slices": sum(len(item.zs) for item in series),
        "series_mb": all_bytes / 1e6,
        "moved_mb": received[0] / 1e6,
        "moved_share": received[0] / all_bytes,
        "seconds": duration,
    }


def headers(endpoint: str) -> dict[str, float]:
    """Return the headers read per second, and the additional memory."""
    with Client(Fetch()) as client, ThreadPoolExecutor(Fetch().connections) as requests:
        bucket = Bucket(client, endpoint, "headers")
        start = time.perf_counter()
        objects = bucket.list("")
        listed = time.perf_counter()
        before = peak_mib()
        found = list(requests.map(lambda one: read_header_of(bucket, one, Path(one.key)), objects))
        duration = time.perf_counter() - listed
    assert len(found) == HEADERS
    assert all(one.reason is None for one, _ in found)
    return {
        "objects": len(objects),
        "list_s": listed - start,
        "headers_per_second": len(objects) / duration,
        "more_memory_mib": peak_mib() - before,
    }


def whole(
    folder: Path, endpoint: str, series: list[Wanted], repeats: int
) -> dict[str, float | list[float]]:
    """Return the rates of whole series with `fetch` and with `s5cmd cp`."""
    size = sum(size_of(folder / "s3" / BUCKET / item.prefix) for item in series)
    source = source_of(endpoint, slices="all")
    copies = "\n".join(f"cp 's3://{BUCKET}/{item.prefix}*' {folder}/s5cmd/" for item in series)
    s5cmd = [BIN / "s5cmd", "--no-sign-request", "--endpoint-url", endpoint, "run"]

    def fetch() -> None:
        fetch_idc(folder / "raw", folder / "m.json", source, Fetch())

    def copy() -> None:
        subprocess.run(s5cmd, input=copies, text=True, check=True, stdout=subprocess.DEVNULL)

    ours, theirs = [], []
    for _ in range(repeats):
        for name in ("raw.index", "raw", "s5cmd"):
            shutil.rmtree(folder / name, ignore_errors=True)
        ours.append(seconds(fetch))
        theirs.append(seconds(copy))
    return {
        "mb": size / 1e6,
        "fetch_s": ours,
        "s5cmd_s": theirs,
        "rate_over_s5cmd": min(theirs) / min(ours),
        "mb_per_second": size / 1e6 / min(ours),
    }


def write_series(bucket: Path, item: Wanted, side: int) -> None:
    random = np.random.default_rng(0)
    for z in item.scan.z:
        name = f"{uuid.uuid5(uuid.NAMESPACE_OID, f'{item.row.series}/{z}')}.dcm"
        write_slice(bucket / item.prefix / name, item.row.series, float(z), side, random)


def write_headers(bucket: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(HEADERS):
        write_slice(bucket / f"{number:05}.dcm", "1.2.3", float(number), 64, random)


def write_slice(path: Path, series: str, z: float, side: int, random: np.random.Generator) -> None:
    slice_ = pydicom.Dataset()
    slice_.SOPClassUID, slice_.SOPInstanceUID = CTImageStorage, f"2.25.{abs(hash(path))}"
    slice_.SeriesInstanceUID, slice_.SliceLocation = series, f"{z:.6f}"
    slice_.ImagePositionPatient = [0, 0, f"{z:.6f}"]
    slice_.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    slice_.PixelSpacing = [0.7, 0.7]
    slice_.ImageComments = " " * 1000  # real headers are longer than this one
    slice_.SamplesPerPixel, slice_.PhotometricInterpretation = 1, "MONOCHROME2"
    slice_.Rows = slice_.Columns = side
    slice_.BitsAllocated = slice_.BitsStored = 16
    slice_.HighBit, slice_.PixelRepresentation = 15, 1
    slice_.PixelData = random.bytes(2 * side * side)
    slice_.file_meta = FileMetaDataset()
    slice_.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    path.parent.mkdir(parents=True, exist_ok=True)
    slice_.save_as(path, enforce_file_format=True)


@contextmanager
def s3_server(folder: Path, *options: str) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [BIN / "rclone", "serve", "s3", "--addr", f"127.0.0.1:{port}", *options]
    # without this, rclone reads all objects for each listing, to compute their MD5
    command += ["--etag-hash", "", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def size_of(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
