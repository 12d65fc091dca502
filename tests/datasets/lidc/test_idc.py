"""What a download of LIDC-IDRI brings, from a real S3 server and with nothing going wrong."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probunet.config import Fetch
from probunet.datasets.lidc import idc, idc_plan
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.idc import fetch_idc
from probunet.datasets.lidc.idc_plan import Wanted, describe_plan, index_of, wanted
from probunet.datasets.lidc.join import join_manifests
from probunet.datasets.lidc.manifest import Manifest
from probunet.errors import ProbunetError
from support.commands import preparing, probunet
from support.folders import files_of
from support.servers.misbehaving import Asked, misbehaving
from support.servers.s3 import BUCKET, lay_series, s3_server

PATIENTS = 3  # with a series each


@pytest.fixture(scope="module")
def series():
    """The first patients' series, as if they had just the slices around the outlines."""
    return [
        replace(item, scan=replace(item.scan, z=z[(z >= min(item.zs) - 5) & (z <= max(item.zs))]))
        for item in wanted(PATIENTS)
        for z in [item.scan.z]
    ]


@pytest.fixture(scope="module")
def bucket(series, tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3") / "buckets" / BUCKET
    for item in series:
        lay_series(folder, item.scan, crdc_uuid=item.row.crdc_uuid)
    return folder


@pytest.fixture(scope="module")
def endpoint(bucket):
    with s3_server(bucket.parent) as url:
        yield url


@pytest.fixture
def fetch(series, endpoint, tmp_path, monkeypatch):
    """Fetch into `tmp_path`, as if there were no series but these."""

    def of_these(patients: int | None, part: tuple[int, int] | None = None) -> list[Wanted]:
        return idc_plan.share_of(series[:patients], part)

    for module in (idc, idc_plan):
        monkeypatch.setattr(module, "wanted", of_these)

    def fetch(
        name: str = "lidc.manifest.json",
        how: Fetch | None = None,
        part: tuple[int, int] | None = None,
        **section: Any,
    ) -> Manifest:
        source = LidcSource(source="idc", **{"endpoint_url": endpoint, **section})
        raw = tmp_path / "raw"
        return fetch_idc(raw / "lidc", raw / name, source, how or Fetch(), part)

    return fetch


def test_outlined_slices_come_and_no_others(fetch, series, bucket, tmp_path):
    manifest = fetch()
    assert (manifest.source, manifest.synthetic, manifest.left_out) == ("idc", False, ())
    assert [one.series for one in manifest.series] == [item.row.series for item in series]
    listed = {file.path for one in manifest.series for file in one.slices}
    got = files_of(tmp_path / "raw/lidc")
    assert set(got) == listed
    assert len(listed) == sum(len(item.zs) for item in series)
    for item, one in zip(series, manifest.series, strict=True):
        assert [file.z for file in one.slices] == item.zs
        for file in one.slices:
            assert Path(file.path).parts[:3] == (item.row.patient, item.row.study, item.row.series)
            original = bucket / item.row.crdc_uuid / Path(file.path).name
            assert got[file.path] == original.read_bytes()
    assert "3.0" in (tmp_path / "raw/lidc.LICENCE.txt").read_text()


def test_all_slices_of_the_series(fetch, series, bucket, tmp_path):
    outlined = fetch()
    manifest = fetch(slices="all")
    assert manifest == outlined
    there = {Path(path).name for path in files_of(tmp_path / "raw/lidc")}
    assert there == {path.name for path in bucket.rglob("*.dcm")}
    assert len(there) > sum(len(item.zs) for item in series)


@pytest.mark.slow
def test_stores_of_outlined_and_of_all_slices_are_identical(
    series, bucket, endpoint, fetch, tmp_path
):
    for item in series:
        lay_series(bucket.parent / "big", item.scan, size=512, crdc_uuid=item.row.crdc_uuid)
    stores = []
    for slices in ("outlined", "all"):
        raw = tmp_path / slices / "raw"
        where = {"endpoint_url": endpoint, "bucket": "big", "slices": slices}
        source = LidcSource(source="idc", **where)
        fetch_idc(raw / "lidc", raw / "manifest.json", source, Fetch())
        words = preparing("lidc", raw / "manifest.json", raw / "lidc.zarr", source="idc")
        assert probunet(*words).returncode == 0
        stores.append(files_of(raw / "lidc.zarr"))
    assert stores[0] == stores[1]
    assert len(stores[0]) > 1


def test_all_slices_without_s5cmd(fetch, bucket, tmp_path, monkeypatch):
    monkeypatch.setattr(idc.sys, "executable", str(tmp_path / "python"))
    fetch(slices="all")
    there = {Path(path).name for path in files_of(tmp_path / "raw/lidc")}
    assert there == {path.name for path in bucket.rglob("*.dcm")}


def test_headers_are_read_once(fetch, endpoint, tmp_path):
    fetch()
    lost = next((tmp_path / "raw/lidc").rglob("*.dcm"))
    before = files_of(tmp_path)
    lost.unlink()
    asked: list[Asked] = []
    with misbehaving(endpoint) as proxy:
        fetch(endpoint_url=proxy.url)
        asked += proxy.asked
    assert [Path(one.path).name for one in asked] == [lost.name]
    after = files_of(tmp_path)
    for changing in (name for name in before if "rate" in name):
        after[changing] = before[changing]
    assert after == before


def test_a_file_that_was_changed_comes_again(fetch, tmp_path):
    fetch()
    before = files_of(tmp_path / "raw/lidc")
    file = next((tmp_path / "raw/lidc").rglob("*.dcm"))
    file.write_bytes(file.read_bytes()[:-2] + b"xx")
    fetch()
    assert files_of(tmp_path / "raw/lidc") == before


@pytest.mark.parametrize("parts", [2, 4])
def test_parts_make_the_manifest_of_the_whole(fetch, tmp_path, parts):
    fetch()
    whole = (tmp_path / "raw/lidc.manifest.json").read_bytes()
    shutil.rmtree(tmp_path / "raw/lidc")
    names = [f"{number}.json" for number in range(parts)]
    for number, name in enumerate(names):
        fetch(name, part=(number, parts))
    join_manifests([tmp_path / "raw" / name for name in names], tmp_path / "raw/joined.json")
    assert (tmp_path / "raw/joined.json").read_bytes() == whole


def test_a_bandwidth_cap_holds_for_all_slices_too(fetch, tmp_path, monkeypatch):
    started: list[Any] = []
    monkeypatch.setattr(idc.subprocess, "run", lambda *words, **options: started.append(words))
    fetch(slices="all", how=Fetch(megabytes_per_second=1000))
    assert not started


@pytest.mark.parametrize("slices", ["outlined", "all"])
def test_the_plan_tells_what_is_to_come_and_what_is_there(
    fetch, series, tmp_path, monkeypatch, slices
):
    folder = tmp_path / "raw/lidc"
    monkeypatch.setattr(idc_plan, "_ENOUGH", 1)
    outlined = sum(len(item.zs) for item in series)
    instances = sum(item.row.instances for item in series)
    count = outlined if slices == "outlined" else instances
    plan = describe_plan(folder, LidcSource(source="idc", slices=slices))
    assert f"headers to read: {instances if slices == 'outlined' else 0:,} " in plan
    assert f"slices to get: {count:,} of {count:,}" in plan
    assert "not known" in plan
    assert not folder.exists()
    fetch(slices=slices)
    # the bucket holds but the slices around the outlines
    there = len(list(folder.rglob("*.dcm")))
    plan = describe_plan(folder, LidcSource(source="idc", slices=slices))
    assert "headers to read: 0 " in plan
    assert f"slices to get: {count - there:,} of {count:,}" in plan
    kept = json.loads(index_of(folder, f"rate-{slices}").read_text())
    assert kept["objects"] == there + (instances if slices == "outlined" else 0)
    rate = kept["objects"] / kept["seconds"]
    assert f"about {(count - there) / rate / 60:.0f} min at the last download's {rate:.0f}" in plan


def test_a_damaged_index_is_created_again(fetch, series, tmp_path):
    manifest = fetch()
    index = index_of(tmp_path / "raw/lidc", series[0].row.series)
    content = index.read_text()
    index.write_text(content[:100])
    assert fetch() == manifest
    assert index.read_text() == content


@pytest.mark.parametrize(
    ("options", "told"),
    [({"bucket": "elsewhere"}, "404"), ({"endpoint_url": "http://127.0.0.1:9/"}, "refused")],
)
def test_a_wrong_address(fetch, options, told):
    with pytest.raises(ProbunetError, match=told):
        fetch(**options, how=Fetch(retries=0))
