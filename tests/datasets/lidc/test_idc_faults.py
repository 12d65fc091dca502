"""What goes wrong between the bucket and the store is mended, or found and named."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pydicom
import pytest

from probunet.config import Fetch
from probunet.datasets.lidc import idc
from probunet.datasets.lidc.config import LidcSource
from probunet.datasets.lidc.idc import fetch_idc
from probunet.datasets.lidc.idc_plan import HEADER, Slices, Wanted, wanted
from probunet.datasets.lidc.manifest import LeftOut, Manifest, Reason
from probunet.datasets.lidc.store import open_crops
from probunet.errors import ProbunetError
from probunet.files import sha256
from support.commands import PROBUNET, preparing, probunet, settings_of
from support.folders import files_of
from support.servers.misbehaving import Asked, Fault, Plan, Proxy, misbehaving, times
from support.servers.s3 import Laid, lay_series, s3_server, slice_bytes
from support.slices import PATIENT

Z = -115.0  # of an outline
OTHER_Z = -110.0
BESIDE = -102.5  # of a slice without outlines
FIRST, LAST = -127.5, BESIDE  # of the slices that most tests have in their bucket


@pytest.fixture(autouse=True)
def _wanted_once(monkeypatch):
    monkeypatch.setattr(idc, "wanted", cached)


cached = cache(wanted)


@pytest.fixture(scope="module")
def only():
    """The first patient's one series."""
    [series] = wanted(1)
    assert (series.row.patient, Z in series.zs, BESIDE in series.zs) == (PATIENT, True, False)
    return series


@pytest.fixture(scope="module")
def buckets(tmp_path_factory):
    """The folder that the server serves."""
    folder = tmp_path_factory.mktemp("s3") / "buckets"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def upstream(buckets):
    with s3_server(buckets) as url:
        yield url


def lay(folder: Path, series: Wanted, size: int = 16, **fields: Any) -> Laid:
    return lay_series(folder, series.scan, size, series.row.crdc_uuid, **fields)


def few_of(series: Wanted) -> Wanted:
    """The series as if it had just the slices around the outlines."""
    z = series.scan.z
    return replace(series, scan=replace(series.scan, z=z[(z >= FIRST) & (z <= LAST)]))


@dataclass
class Study:
    """A bucket of one's own, and where its slices are to go."""

    laid: Laid
    bucket: str
    endpoint: str
    folder: Path

    slices: Slices = "outlined"

    @property
    def manifest(self) -> Path:
        return self.folder.with_name("lidc.manifest.json")

    @property
    def section(self) -> dict[str, Any]:
        """`datasets.lidc` in the configuration."""
        keys = {"source": "idc", "patients": 1, "slices": self.slices}
        return keys | {"endpoint_url": self.endpoint, "bucket": self.bucket}

    def fetch(self, **options: Any) -> Manifest:
        how = Fetch(retries=3, timeout=options.pop("timeout", 5), connections=4)
        source = LidcSource(**self.section | options)
        return fetch_idc(self.folder, self.manifest, source, how)

    def files(self) -> dict[str, bytes]:
        """The manifest and what lies below the folder."""
        return files_of(self.folder) | {"manifest": self.manifest.read_bytes()}

    def fetch_whole(self, whole: dict[str, bytes], **options: Any) -> None:
        """Fetch, and assert that all is there; of whole series, more than `whole`."""
        self.fetch(**options)
        files, objects = self.files(), set(self.laid.paths.values())
        assert {name: data for name, data in files.items() if name in whole} == whole
        outlined = {Path(name).name for name in whole}
        more = [path for path in objects if self.slices == "all" and path.name not in outlined]
        extra = {path.name for path in set(self.laid.folder.iterdir()) - objects}
        found = {Path(name).name: data for name, data in files.items() if name not in whole}
        assert {name: data for name, data in found.items() if name not in extra} == {
            path.name: path.read_bytes() for path in more
        }

    def key(self, z: float) -> str:
        return f"{self.laid.crdc_uuid}/{self.laid.paths[z].name}"


@pytest.fixture
def study(buckets, upstream, only, tmp_path):
    bucket = f"b{len(list(buckets.iterdir()))}"
    laid = lay(buckets / bucket, few_of(only))
    yield Study(laid, bucket, upstream, tmp_path / "data" / "raw" / "lidc")
    shutil.rmtree(buckets / bucket)
    (buckets / bucket).mkdir()


@pytest.fixture(params=["outlined", "all"])
def either(study, request):
    """A study of outlined slices, or of whole series."""
    study.slices = request.param
    return study


@pytest.fixture
def proxied(study):
    """Put the server that misbehaves between the study and its bucket."""
    with misbehaving(study.endpoint) as proxy:

        def start(plan: Plan | None = None) -> Proxy:
            proxy.plan, study.endpoint = plan, proxy.url
            return proxy

        yield start


@pytest.fixture(scope="module")
def whole(buckets, upstream, only, tmp_path_factory):
    """What an undisturbed download leaves."""
    laid = lay(buckets / "whole", few_of(only))
    made = Study(laid, "whole", upstream, tmp_path_factory.mktemp("whole") / "raw" / "lidc")
    manifest = made.fetch()
    assert manifest.left_out == ()
    assert [file.z for file in manifest.series[0].slices] == only.zs
    for file in manifest.series[0].slices:
        path = made.folder / file.path
        assert path.read_bytes() == laid.paths[file.z].read_bytes()
        assert (file.bytes, file.sha256) == (path.stat().st_size, sha256(path))
    assert len(made.files()) == len(only.zs) + 1
    return made.files()


def left_out_at(manifest: Manifest, z: float, zs: list[float]) -> LeftOut:
    """The one slice that was left out; the others are all there."""
    [left_out] = manifest.left_out
    assert (left_out.patient, left_out.z) == (PATIENT, z)
    assert [file.z for file in manifest.series[0].slices] == [one for one in zs if one != z]
    return left_out


# ---- the connection -----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(50))
def test_connections_cut_at_random_bytes(study, proxied, waits, whole, seed):
    drawn = random.Random(seed)
    cuts = {drawn.randrange(22): Fault(cut=drawn.randrange(1600)) for _ in range(3)}
    proxy = proxied(lambda asked: cuts.get(asked.number))
    study.fetch_whole(whole)
    assert len(waits) <= 3
    # headers and slices once each, and nothing more for all the cuts
    asked = [one for one in proxy.asked if "prefix" not in one.path]
    sizes = {path.name: path.stat().st_size for path in study.laid.paths.values()}
    got = {name for name in sizes if any(name in path for path in whole)}
    once = sum(min(HEADER, size) for size in sizes.values()) + sum(sizes[name] for name in got)
    assert sum(one.sent for one in asked) == once


@pytest.mark.parametrize(
    "fault",
    [
        Fault(status=503, body=b"<Error><Code>SlowDown</Code></Error>"),
        Fault(status=429, headers={"Retry-After": "3"}),
        Fault(cut=0, reset=True),
        Fault(stall=3, stall_after=700),
        Fault(stall=3),
    ],
)
@pytest.mark.parametrize("where", ["prefix", ".dcm"])
def test_temporary_errors_are_retried(study, proxied, waits, whole, fault, where):
    proxied(times(1 if fault.stall else 3, fault, where))
    study.fetch(timeout=1)
    assert study.files() == whole
    assert 1 <= len(waits) <= 3
    assert fault.status != 429 or min(waits) >= 3


@pytest.mark.parametrize("where", ["prefix", ".dcm"])
def test_a_lasting_error_is_raised_and_the_next_run_continues(study, proxied, waits, whole, where):
    proxy = proxied(lambda asked: Fault(status=503) if where in asked.path else None)
    with pytest.raises(ProbunetError, match=r"503.*run the same command again to continue"):
        study.fetch()
    assert not study.manifest.exists()
    proxy.plan = None
    study.fetch_whole(whole)


def test_a_download_that_ends_half_way_goes_on_where_it_was(study, proxied, waits, whole):
    slices: list[str] = []

    def plan(asked: Asked) -> Fault | None:
        if "prefix" in asked.path or asked.range is not None:
            return None
        slices.append(asked.path)
        return Fault(status=500) if len(slices) > 4 else None

    proxy = proxied(plan)
    with pytest.raises(ProbunetError, match="500"):
        study.fetch()
    there = {path.name for path in study.folder.rglob("*.dcm")}
    assert len(there) == 4
    proxy.plan = None
    proxy.asked.clear()
    study.fetch_whole(whole)
    again = {asked.path.rpartition("/")[2] for asked in proxy.asked}
    assert len(proxy.asked) == len(whole) - 1 - 4  # no list, no header, no slice again
    assert not again & there


@pytest.mark.parametrize("url", ["http://no-such-host.invalid", "http://127.0.0.1:9"])
def test_nobody_at_the_address(study, waits, url):
    with pytest.raises(ProbunetError, match="run the same command again") as error:
        study.fetch(endpoint_url=url)
    assert url in str(error.value)


def test_a_server_that_ignores_ranges(study, proxied, whole, caplog):
    proxied(lambda asked: Fault(whole=True))
    study.fetch_whole(whole)
    assert sum("ignores ranges" in record.message for record in caplog.records) == 1


@pytest.mark.parametrize("page", [b"<html>Log in to the hotel's network</html>", b""])
@pytest.mark.parametrize("where", ["prefix", ".dcm"])
def test_a_page_in_place_of_an_object_is_not_kept(study, proxied, whole, page, where):
    portal = Fault(status=200, body=page)
    proxy = proxied(lambda asked: portal if where in asked.path else None)
    if where == "prefix":
        with pytest.raises(ProbunetError, match="not an S3 server"):
            study.fetch()
    else:
        assert {left.z for left in study.fetch().left_out} == set(study.laid.paths) - {FIRST, LAST}
    proxy.plan = None
    study.fetch_whole(whole)


# ---- the objects --------------------------------------------------------------------------------


def referenced(number: int) -> pydicom.Dataset:
    """Return an item of a sequence, some 70 bytes."""
    item = pydicom.Dataset()
    item.ReferencedSOPInstanceUID = f"2.25.{10**30 + number}"
    item.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    return item


@pytest.mark.parametrize(
    "fields",
    [
        {"ImageComments": "x" * 9000},
        {"ImageComments": "x" * 4096, "TextComments": "y" * 9000},
        {"ReferencedImageSequence": [referenced(number) for number in range(1000)]},
    ],
)
def test_a_header_longer_than_the_range(either, buckets, only, fields):
    shutil.rmtree(buckets / either.bucket)
    either.laid = lay(buckets / either.bucket, few_of(only), **fields)
    manifest = either.fetch()
    assert manifest.left_out == ()
    for file in manifest.series[0].slices:
        assert (either.folder / file.path).read_bytes() == either.laid.paths[file.z].read_bytes()


def test_a_long_header_is_logged(study, caplog, only):
    study.laid.paths[Z].write_bytes(slice_bytes(only.scan, Z, ImageComments="x" * 9000))
    with caplog.at_level("INFO"):
        assert study.fetch().left_out == ()
    told = [record.message for record in caplog.records if "first 4096 bytes" in record.message]
    assert told == [f"{study.key(Z)}: no complete header in the first 4096 bytes; reading on"]


@pytest.mark.parametrize("size", [0, 60, 400, -100])
def test_a_truncated_object(either, only, size):
    path = either.laid.paths[Z]
    path.write_bytes(path.read_bytes()[:size])
    left_out = left_out_at(either.fetch(), Z, only.zs)
    assert left_out.reason in (Reason.EMPTY, Reason.NOT_DICOM, Reason.TRUNCATED)
    assert path.name in (left_out.path or "") + left_out.detail


@pytest.mark.parametrize("header_as_well", [False, True])
def test_an_object_truncated_on_its_way(
    either, proxied, only,
    whole, header_as_well,
):  # fmt: skip
    key = either.key(Z)

    def plan(asked: Asked) -> Fault | None:
        here = key in asked.path and (header_as_well or asked.range != (0, HEADER))
        return Fault(truncated=1000) if here else None

    proxy = proxied(plan)
    left_out = left_out_at(either.fetch(), Z, only.zs)
    assert left_out.reason is Reason.DAMAGED
    assert either.laid.paths[Z].name in (left_out.path or "")
    assert not (either.folder / (left_out.path or "")).exists()
    proxy.plan = None
    either.fetch_whole(whole)


@pytest.mark.parametrize("data", [b"no DICOM", b"", None])
def test_an_extra_object(either, whole, only, caplog, data):
    extra = either.laid.folder / "extra.dcm"
    extra.write_bytes(slice_bytes(only.scan, -999.0) if data is None else data)
    either.fetch_whole(whole)
    assert any("extra.dcm" in record.message for record in caplog.records)


@pytest.mark.parametrize("z", [OTHER_Z, BESIDE])
def test_an_object_swapped_for_another_of_the_same_size(either, only, z):
    either.laid.paths[Z].write_bytes(either.laid.paths[z].read_bytes())
    manifest = either.fetch()
    assert {left.z: left.reason for left in manifest.left_out} == {Z: Reason.MISSING}
    assert {file.z for file in manifest.series[0].slices} == set(only.zs) - {Z}


def test_an_object_swapped_for_that_of_another_series(either, only):
    other = wanted(2)[1]
    assert other.row.series != only.row.series
    either.laid.paths[Z].write_bytes(slice_bytes(other.scan, Z))
    left_out = left_out_at(either.fetch(), Z, only.zs)
    assert left_out.reason is Reason.WRONG_SERIES
    assert other.row.series in left_out.detail


@pytest.mark.parametrize("etag", [None, "of-several-parts-2"])
def test_an_object_swapped_on_its_way(study, proxied, only, etag):
    """Headers are those of the slice, and the whole object is another; its ETag may hide it."""
    key, other = study.key(Z), f"/{study.bucket}/{study.key(OTHER_Z)}"
    honest = f'"{md5_of(study.laid.paths[Z])}"'

    def plan(asked: Asked) -> Fault | None:
        if key in asked.path and asked.range is None:
            return Fault(swapped=other, headers={"ETag": etag or honest})
        return None

    proxied(plan)
    if etag:  # another ETag than the list's: the object is a new one, again and again
        with pytest.raises(ProbunetError, match="another ETag than in the list"):
            study.fetch()
        return
    left_out = left_out_at(study.fetch(), Z, only.zs)
    assert left_out.reason is Reason.DAMAGED
    assert "MD5" in left_out.detail


def test_an_object_hurt_once_on_its_way_comes_again(study, proxied, whole):
    key, hurt = study.key(Z), Fault(truncated=1000)
    seen: list[int] = []

    def plan(asked: Asked) -> Fault | None:
        if key in asked.path and asked.range is None:
            seen.append(asked.number)
            return hurt if len(seen) == 1 else None
        return None

    proxied(plan)
    study.fetch()
    assert len(seen) == 2
    assert study.files() == whole


def test_what_was_said_of_an_object_that_is_no_slice_is_not_kept(study, proxied, whole):
    """Even if it carries no outlines: another protocol may want it."""
    portal = Fault(status=200, body=b"<html>Log in to the hotel's network</html>")
    proxy = proxied(lambda asked: portal if study.key(BESIDE) in asked.path else None)
    study.fetch_whole(whole)
    proxy.plan = None
    proxy.asked.clear()
    study.fetch()
    assert proxy.of(study.key(BESIDE))
    proxy.asked.clear()
    study.fetch()
    assert not proxy.asked


def test_a_file_swapped_after_the_download(either, whole, buckets):
    either.fetch()
    paths = {path.name: path for path in either.folder.rglob("*.dcm")}
    mine, other = paths[either.laid.paths[Z].name], paths[either.laid.paths[OTHER_Z].name]
    mine.write_bytes(other.read_bytes())
    either.fetch_whole(whole)


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def test_an_outlined_slice_that_is_nowhere_is_looked_for_again(either, only, whole):
    data = either.laid.paths[Z].read_bytes()
    either.laid.paths[Z].unlink()
    left_out = left_out_at(either.fetch(), Z, only.zs)
    assert (left_out.reason, left_out.path) == (Reason.MISSING, None)
    either.laid.paths[Z].write_bytes(data)
    either.fetch_whole(whole)


def test_a_bucket_without_the_series(either, whole):
    aside = either.laid.folder.with_name("aside")
    either.laid.folder.rename(aside)
    manifest = either.fetch()
    assert {left.reason for left in manifest.left_out} == {Reason.MISSING}
    aside.rename(either.laid.folder)
    either.fetch_whole(whole)


@pytest.mark.parametrize(
    "fields",
    [{"SOPInstanceUID": "2.25.7"}, {"RescaleIntercept": -1000}, {"PixelData": b"\1" * 512}],
)
def test_two_slices_at_one_z(either, only, fields):
    twin = either.laid.folder / "twin.dcm"
    twin.write_bytes(slice_bytes(only.scan, Z, **fields))
    left_out = left_out_at(either.fetch(), Z, only.zs)
    assert left_out.reason is Reason.DUPLICATE_Z
    for name in ("twin.dcm", either.laid.paths[Z].name):
        assert name in left_out.detail


@pytest.mark.parametrize("fields", [{}, {"InstanceNumber": 7}])
def test_a_slice_in_two_objects_counts_once(either, only, fields):
    twin = either.laid.folder / "twin.dcm"
    twin.write_bytes(slice_bytes(only.scan, Z, **fields))
    manifest = either.fetch()
    assert manifest.left_out == ()
    assert [file.z for file in manifest.series[0].slices] == only.zs


@pytest.mark.parametrize("field", ["RescaleSlope", "RescaleIntercept"])
def test_a_slice_without_rescaling(either, only, field):
    either.laid.paths[Z].write_bytes(slice_bytes(only.scan, Z, **{field: None}))
    left_out = left_out_at(either.fetch(), Z, only.zs)
    assert left_out.reason is Reason.RESCALE
    assert field in left_out.detail


def test_an_object_replaced_in_the_middle_of_the_download(study, proxied, whole, only):
    new = slice_bytes(only.scan, Z, RescaleIntercept=-1000)

    def plan(asked: Asked) -> None:
        if study.key(Z) in asked.path and asked.range is None:
            study.laid.paths[Z].write_bytes(new)

    proxied(plan)
    manifest = study.fetch()
    assert manifest.left_out == ()
    [path] = [study.folder / one.path for one in manifest.series[0].slices if one.z == Z]
    assert path.read_bytes() == new


@pytest.mark.slow
def test_what_was_found_never_enters_the_store(study, buckets, only, tmp_path):
    shutil.rmtree(buckets / study.bucket)
    study.laid = lay(buckets / study.bucket, few_of(only), size=512)
    paths = study.laid.paths
    bad = dict(zip(only.zs, ("cut", "swapped", "gone", "twice"), strict=False))
    cut, swapped, gone, twice = bad
    paths[cut].write_bytes(paths[cut].read_bytes()[:-1000])
    shutil.copy(paths[BESIDE], paths[swapped])
    paths[gone].unlink()
    twin = slice_bytes(only.scan, twice, 512, RescaleIntercept=0)
    (study.laid.folder / "twin.dcm").write_bytes(twin)
    manifest = study.fetch()
    assert {left.z for left in manifest.left_out} == set(bad)
    store = tmp_path / "lidc.zarr"
    assert probunet(*preparing("lidc", study.manifest, store, source="idc")).returncode == 0
    crops = open_crops(store)
    assert set(crops.columns.z.tolist()) == set(only.zs) - set(bad)
    left_out = crops.attributes.left_out
    assert sum(left_out.values()) == len(bad)


# ---- this machine -------------------------------------------------------------------------------


def test_a_folder_with_spaces_and_other_letters(study, whole, tmp_path):
    study.folder = tmp_path / "Daten für Röntgen 肺" / "raw" / "lidc"
    study.fetch_whole(whole)


def test_a_small_disk_is_an_error_before_the_download(study, proxied, small_disk):
    proxy = proxied(None)
    study.folder = small_disk("size=1m") / "raw" / "lidc"
    with pytest.raises(ProbunetError, match=r"GB more, and the disk has"):
        study.fetch()
    assert not proxy.asked


def test_a_disk_that_is_full_half_way(study, whole, small_disk, monkeypatch):
    study.folder = small_disk("size=48k") / "raw" / "lidc"
    with monkeypatch.context() as patched:
        patched.setattr(idc, "check_space", lambda *_: None)
        with pytest.raises(ProbunetError, match="the disk or quota is full"):
            study.fetch()
    subprocess.run(["mount", "-o", "remount,size=2m", str(study.folder.parents[1])], check=True)
    monkeypatch.setattr(idc, "check_space", lambda *_: None)
    study.fetch_whole(whole)


def test_a_disk_that_cannot_be_written(study, small_disk):
    study.folder = small_disk("ro") / "raw" / "lidc"
    with pytest.raises(ProbunetError, match="cannot be written"):
        study.fetch()


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_cannot_be_written(study):
    study.folder.mkdir(parents=True)
    study.folder.chmod(0o555)
    with pytest.raises(ProbunetError, match="cannot be written"):
        study.fetch()


@pytest.mark.slow
def test_killed_at_random_moments(study, proxied, whole):
    """Fifty downloads are killed; each goes on where the one before it was, or begins anew."""
    proxy = proxied(lambda asked: Fault(stall=0.02))  # long enough to be killed in
    drawn = random.Random(0)
    killed = 0
    for _ in range(50):
        if drawn.random() < 0.5:
            shutil.rmtree(study.folder.parent, ignore_errors=True)
        process = fetch_in_a_process(study)
        last = len(proxy.asked) + drawn.randrange(1, 21)
        while len(proxy.asked) < last and process.poll() is None:
            time.sleep(0.001)
        time.sleep(drawn.random() * 0.03)
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        if study.manifest.exists():
            assert study.manifest.read_bytes() == whole["manifest"]
    assert killed > 25
    proxy.plan = None
    study.fetch_whole(whole)


@pytest.mark.slow
def test_the_user_stops_it(study, proxied, whole):
    busy = Fault(status=503, headers={"Retry-After": "300"})
    proxy = proxied(lambda asked: busy if ".dcm" in asked.path else None)
    process = fetch_in_a_process(study)
    while not proxy.of(".dcm"):
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=10) != 0
    proxy.plan = None
    study.fetch_whole(whole)


@pytest.mark.slow
def test_killed_while_whole_series_come(study, proxied, whole):
    """The program that copies whole series is killed, too."""
    study.slices = "all"
    stall = Fault(stall=20, stall_after=700)
    proxy = proxied(lambda asked: stall if asked.range and study.key(Z) in asked.path else None)
    process = fetch_in_a_process(study)
    while not any(asked.range for asked in proxy.of(study.key(Z))):
        time.sleep(0.001)
    time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert list(study.folder.rglob("*.dcm[0-9]*"))
    proxy.plan = None
    study.fetch_whole(whole)


def fetch_in_a_process(study: Study) -> "subprocess.Popen[bytes]":
    words = ["fetch", "--dataset", "lidc", "--settings", settings_of("lidc", **study.section)]
    words += ["--folder", str(study.folder), "--manifest", str(study.manifest)]
    # a shell's background jobs are started deaf to SIGINT
    hearing = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    *python, code = PROBUNET
    return subprocess.Popen(
        [*python, hearing + code, *words], stderr=subprocess.DEVNULL, start_new_session=True
    )
