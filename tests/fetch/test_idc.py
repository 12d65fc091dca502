"""What a download of LIDC-IDRI brings, from a real S3 server and with nothing going wrong."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch import idc, idc_plan
from probunet.fetch.idc import fetch_idc
from probunet.fetch.idc_plan import Slices, Wanted, describe_plan, index_of, wanted
from probunet.fetch.join import join_manifests
from probunet.manifest import Manifest

from .servers.misbehaving import Asked, misbehaving
from .servers.s3 import BUCKET, lay_series, s3_server

PROBUNET = Path(sys.executable).with_name("probunet")
PATIENTS = 3  # with a series each
Fetching = partial[Manifest]


@pytest.fixture(scope="module")
def series() -> list[Wanted]:
    """The first patients' series, as if they had just the slices around the outlines."""
    return [
        replace(item, scan=replace(item.scan, z=z[(z >= min(item.zs) - 5) & (z <= max(item.zs))]))
        for item in wanted(PATIENTS)
        for z in [item.scan.z]
    ]


@pytest.fixture(scope="module")
def bucket(series: list[Wanted], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("s3") / "buckets" / BUCKET
    for item in series:
        lay_series(folder, item.scan, crdc_uuid=item.row.crdc_uuid)
    return folder


@pytest.fixture(scope="module")
def endpoint(bucket: Path) -> Iterator[str]:
    with s3_server(bucket.parent) as url:
        yield url


@pytest.fixture
def fetch(
    series: list[Wanted], endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Fetching:
    """Fetch into `tmp_path`, as if there were no series but these."""

    def of_these(patients: int | None, part: tuple[int, int] | None = None) -> list[Wanted]:
        return idc_plan.share_of(series[:patients], part)

    for module in (idc, idc_plan):
        monkeypatch.setattr(module, "wanted", of_these)
    manifest = tmp_path / "raw/lidc.manifest.json"
    return partial(fetch_idc, tmp_path / "raw/lidc", manifest, endpoint_url=endpoint)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_outlined_slices_come_and_no_others(
    fetch: Fetching, series: list[Wanted], bucket: Path, tmp_path: Path
) -> None:
    manifest = fetch()
    assert (manifest.source, manifest.synthetic, manifest.left_out) == ("idc", False, ())
    assert [one.series for one in manifest.series] == [item.row.series for item in series]
    listed = {file.path for one in manifest.series for file in one.slices}
    got = files(tmp_path / "raw/lidc")
    assert set(got) == listed
    assert len(listed) == sum(len(item.zs) for item in series)
    for item, one in zip(series, manifest.series, strict=True):
        assert [file.z for file in one.slices] == item.zs
        for file in one.slices:
            assert Path(file.path).parts[:3] == (item.row.patient, item.row.study, item.row.series)
            original = bucket / item.row.crdc_uuid / Path(file.path).name
            assert got[file.path] == original.read_bytes()
    assert "3.0" in (tmp_path / "raw/lidc.LICENCE.txt").read_text()


def test_all_slices_of_the_series(
    fetch: Fetching, series: list[Wanted], bucket: Path, tmp_path: Path
) -> None:
    outlined = fetch()
    manifest = fetch(slices="all")
    assert manifest == outlined
    there = {Path(path).name for path in files(tmp_path / "raw/lidc")}
    assert there == {path.name for path in bucket.rglob("*.dcm")}
    assert len(there) > sum(len(item.zs) for item in series)


@pytest.mark.slow
def test_stores_of_outlined_and_of_all_slices_are_identical(
    series: list[Wanted], bucket: Path, endpoint: str, fetch: Fetching, tmp_path: Path
) -> None:
    for item in series:
        lay_series(bucket.parent / "big", item.scan, size=512, crdc_uuid=item.row.crdc_uuid)
    stores = []
    for slices in ("outlined", "all"):
        raw = tmp_path / slices / "raw"
        where = {"endpoint_url": endpoint, "bucket": "big"}
        fetch_idc(raw / "lidc", raw / "manifest.json", slices=slices, **where)
        command = ["prepare", "lidc", "--manifest", raw / "manifest.json", "--output"]
        subprocess.run([PROBUNET, *command, raw / "lidc.zarr"], check=True)
        stores.append(files(raw / "lidc.zarr"))
    assert stores[0] == stores[1]
    assert len(stores[0]) > 1


def test_all_slices_without_s5cmd(
    fetch: Fetching, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(idc.sys, "executable", str(tmp_path / "python"))
    fetch(slices="all")
    there = {Path(path).name for path in files(tmp_path / "raw/lidc")}
    assert there == {path.name for path in bucket.rglob("*.dcm")}


def test_headers_are_read_once(fetch: Fetching, series: list[Wanted], tmp_path: Path) -> None:
    fetch()
    lost = next((tmp_path / "raw/lidc").rglob("*.dcm"))
    before = files(tmp_path)
    lost.unlink()
    asked: list[Asked] = []
    with misbehaving(fetch.keywords["endpoint_url"]) as proxy:
        fetch(endpoint_url=proxy.url)
        asked += proxy.asked
    assert [Path(one.path).name for one in asked] == [lost.name]
    after = files(tmp_path)
    for changing in (name for name in before if "rate" in name):
        after[changing] = before[changing]
    assert after == before


def test_a_file_that_was_changed_comes_again(fetch: Fetching, tmp_path: Path) -> None:
    fetch()
    before = files(tmp_path / "raw/lidc")
    file = next((tmp_path / "raw/lidc").rglob("*.dcm"))
    file.write_bytes(file.read_bytes()[:-2] + b"xx")
    fetch()
    assert files(tmp_path / "raw/lidc") == before


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_make_the_manifest_of_the_whole(fetch: Fetching, tmp_path: Path, parts: int) -> None:
    fetch()
    whole = (tmp_path / "raw/lidc.manifest.json").read_bytes()
    shutil.rmtree(tmp_path / "raw/lidc")
    names = [tmp_path / f"raw/{number}.json" for number in range(parts)]
    for number, name in enumerate(names):
        fetch_idc(tmp_path / "raw/lidc", name, part=(number, parts), **fetch.keywords)
    join_manifests(names, tmp_path / "raw/joined.json")
    assert (tmp_path / "raw/joined.json").read_bytes() == whole


def test_a_bandwidth_cap_holds_for_all_slices_too(
    fetch: Fetching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    monkeypatch.setattr(idc.subprocess, "run", lambda *words, **options: started.append(words))
    fetch(slices="all", settings=Fetch(megabytes_per_second=1000))
    assert not started


@pytest.mark.parametrize("slices", ["outlined", "all"])
def test_the_plan_tells_what_is_to_come_and_what_is_there(
    fetch: Fetching,
    series: list[Wanted],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    slices: Slices,
) -> None:
    folder = tmp_path / "raw/lidc"
    monkeypatch.setattr(idc_plan, "_ENOUGH", 1)
    outlined = sum(len(item.zs) for item in series)
    instances = sum(item.row.instances for item in series)
    count = outlined if slices == "outlined" else instances
    plan = describe_plan(folder, None, slices, "there")
    assert f"headers to read: {instances if slices == 'outlined' else 0:,} " in plan
    assert f"slices to get: {count:,} of {count:,}" in plan
    assert "not known" in plan
    assert not folder.exists()
    fetch(slices=slices)
    # the bucket holds but the slices around the outlines
    there = len(list(folder.rglob("*.dcm")))
    plan = describe_plan(folder, None, slices, "there")
    assert "headers to read: 0 " in plan
    assert f"slices to get: {count - there:,} of {count:,}" in plan
    kept = json.loads(index_of(folder, f"rate-{slices}").read_text())
    assert kept["objects"] == there + (instances if slices == "outlined" else 0)
    rate = kept["objects"] / kept["seconds"]
    assert f"about {(count - there) / rate / 60:.0f} min at the last download's {rate:.0f}" in plan


def test_an_index_that_is_damaged_is_made_anew(
    fetch: Fetching, series: list[Wanted], tmp_path: Path
) -> None:
    manifest = fetch()
    index = index_of(tmp_path / "raw/lidc", series[0].row.series)
    content = index.read_text()
    index.write_text(content[:100])
    assert fetch() == manifest
    assert index.read_text() == content


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"bucket": "elsewhere"}, "404"),
        ({"endpoint_url": "http://127.0.0.1:9/"}, "refused"),
    ],
)
def test_a_wrong_address(fetch: Fetching, options: dict[str, str], told: str) -> None:
    with pytest.raises(ProbunetError, match=told):
        fetch(**options, settings=Fetch(retries=0))
