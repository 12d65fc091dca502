"""How much a download of LIDC-IDRI moves, and how much memory it takes."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from probunet.config import Fetch
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.idc import fetch_idc
from probunet.datasets.lidc.idc_plan import wanted
from probunet.datasets.lidc.outlines import read_scans
from probunet.datasets.lidc.series import read_series
from support.servers.misbehaving import Fault, misbehaving
from support.servers.s3 import BUCKET, lay_series, s3_server

SERIES = 10  # of as many patients


@pytest.mark.slow
def test_a_tenth_of_the_series_bytes_at_most(tmp_path):
    """And connections that are cut now and then cost no byte."""
    series = wanted(SERIES)
    assert len(series) == SERIES
    outlined = sum(len(item.zs) for item in series)
    share = outlined / sum(len(item.scan.z) for item in series)
    assert 0.065 < share < 0.075  # of all 883 series with outlines: 14,627 of 215,909
    laid = [
        lay_series(tmp_path / "buckets" / BUCKET, item.scan, 512, item.row.crdc_uuid)
        for item in series
    ]
    with s3_server(tmp_path / "buckets") as upstream, misbehaving(upstream) as proxy:
        cut = Fault(cut=200_000)
        proxy.plan = lambda asked: cut if asked.range is None and asked.number % 7 == 0 else None
        manifest = fetch_idc(
            tmp_path / "raw",
            tmp_path / "m.json",
            LidcSource(source="idc", patients=SERIES, endpoint_url=proxy.url),
            Fetch(),
        )
    assert sum(len(one.slices) for one in manifest.series) == outlined
    assert manifest.left_out == ()
    assert proxy.sent <= sum(one.bytes for one in laid) / 10


@pytest.mark.slow
def test_memory_does_not_grow_with_the_series(tmp_path):
    """All 1018 series, of three tiny slices each, take hardly more memory than fifty."""
    bucket = tmp_path / "buckets" / BUCKET
    scans, rows = read_scans(), read_series()
    for uid, row in rows.items():
        few = replace(scans[uid], z=scans[uid].z[:3])
        lay_series(bucket, few, crdc_uuid=row.crdc_uuid)
    with s3_server(tmp_path / "buckets") as endpoint:
        peaks = [peak(tmp_path / str(count), endpoint, count) for count in (50, len(rows))]
    assert len(rows) == 1018
    assert peaks[1] - peaks[0] < 12e6


def peak(folder: Path, endpoint: str, count: int) -> int:
    """Return the most bytes of memory that a download of so many series takes."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from probunet.config import Fetch\n"
        "from probunet.datasets.lidc import idc\n"
        "from probunet.datasets.lidc.idc_plan import Wanted\n"
        "from probunet.datasets.lidc.outlines import read_scans\n"
        "from probunet.datasets.lidc.series import read_series\n"
        "folder, endpoint, count = sys.argv[1:]\n"
        "scans, rows = read_scans(), read_series()\n"
        "items = [Wanted(row, scans[uid], [scans[uid].z[1]]) for uid, row in rows.items()]\n"
        "idc.wanted = lambda patients, part: items[:int(count)]\n"
        "idc.check_space = lambda *_: None\n"
        "Path('/proc/self/clear_refs').write_text('5')\n"  # the peak of memory begins anew
        "raw = Path(folder, 'lidc')\n"
        "source = idc.LidcSource(source='idc', endpoint_url=endpoint)\n"
        "made = idc.fetch_idc(raw, Path(folder, 'm.json'), source, Fetch())\n"
        "assert sum(len(one.slices) for one in made.series) == int(count), made.left_out\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(status.partition('VmHWM:')[2].split()[0])\n"
    )
    arguments = [sys.executable, "-c", script, str(folder), endpoint, str(count)]
    told = subprocess.run(arguments, check=True, capture_output=True).stdout
    return 1024 * int(told)
