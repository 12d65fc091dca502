import hashlib
import random
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch import idc_plan
from probunet.fetch.http import Client
from probunet.fetch.lidc_series import read_series
from probunet.fetch.local import fetch_local
from probunet.fetch.tcia import fetch_tcia
from probunet.manifest import Manifest, Reason
from probunet.prepare import parts
from probunet.prepare.lidc import plan_crops
from probunet.store import open_crops

from .conftest import lesions, scans
from .servers.s3 import slice_bytes
from .servers.tcia import Answer, Archive, hashes_of, tcia_server, zip_of

OTHERS = 5  # slices of a series without outlines
SETTINGS = Fetch(retries=3, timeout=5)


def outlined(uid: str) -> list[float]:
    return sorted({lesion.z for lesion in lesions()[uid]})


def slices_of(uid: str, size: int = 16, pixels: Callable[[], bytes] | None = None) -> dict:
    """Return a series' files by name: all outlined slices, and a few others."""
    scan = scans()[uid]
    zs = outlined(uid)
    zs = sorted([*zs, *[z for z in scan.z.tolist() if z not in zs][:OTHERS]], reverse=True)
    more = (lambda: {"PixelData": pixels()}) if pixels else dict
    return {
        f"{number:08}.dcm": slice_bytes(scan, z, size, **more())
        for number, z in enumerate(zs, start=1)
    }


def name_at(archive: Archive, uid: str, z: float) -> str:
    return next(name for name, data in archive.series[uid].items() if f"{z:.6f}".encode() in data)


@pytest.fixture(scope="session")
def series() -> dict[str, dict[str, bytes]]:
    """The first two patients' series."""
    ids = sorted({scans()[uid].patient for uid in lesions()})[:2]
    return {
        uid: slices_of(uid)
        for uid in sorted(lesions(), key=lambda uid: scans()[uid].patient)
        if scans()[uid].patient in ids
    }


@pytest.fixture
def archive(series: dict, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """A server that holds two series, of which the table knows the right sizes."""
    monkeypatch.setattr(Client, "_wait", lambda self, seconds: None)
    rows = read_series()
    for uid, files in series.items():
        size = sum(map(len, files.values()))
        rows[uid] = replace(rows[uid], instances=len(files), bytes=size)
    monkeypatch.setattr(idc_plan, "read_series", lambda: rows)
    with tcia_server(Archive({uid: dict(files) for uid, files in series.items()})) as served:
        yield served


@pytest.fixture
def first(series: dict) -> str:
    return next(iter(series))


@pytest.fixture
def second(series: dict) -> str:
    return list(series)[1]


def fetch(archive: Archive, folder: Path, **options: Any) -> Manifest:
    options = {"patients": 2, "endpoint_url": archive.url, "settings": SETTINGS, **options}
    return fetch_tcia(folder / "lidc", folder / "lidc.manifest.json", **options)


def told(manifest: Manifest) -> list[tuple[str, float, Reason]]:
    return [(out.series, out.z, out.reason) for out in manifest.left_out]


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def assert_complete(archive: Archive, folder: Path, manifest: Manifest) -> None:
    """Assert that there is each outlined slice, as the server has it, and nothing else."""
    assert manifest.left_out == ()
    rows, expected = read_series(), {}
    for uid, files in archive.series.items():
        place = f"{rows[uid].patient}/{rows[uid].study}/{uid}"
        names = [name_at(archive, uid, z) for z in outlined(uid)]
        expected |= {f"{place}/{name}": files[name] for name in names}
    assert files_below(folder / "lidc") == expected
    listed = {file.path: file.sha256 for one in manifest.series for file in one.slices}
    assert listed == {path: hashlib.sha256(data).hexdigest() for path, data in expected.items()}
    assert {path.suffix for path in (folder / "lidc.index").iterdir()} == {".json"}


def test_outlined(archive: Archive, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = fetch(archive, tmp_path)
    assert_complete(archive, tmp_path, manifest)
    assert (manifest.source, manifest.synthetic) == ("tcia", False)
    assert [[file.z for file in one.slices] for one in manifest.series] == [
        outlined(uid) for uid in archive.series
    ]
    assert sorted(archive.asked) == sorted(archive.series)
    assert "CC BY 3.0" in (tmp_path / "lidc.LICENCE.txt").read_text()
    assert not caplog.records
    # the tree and its manifest can be moved together
    shutil.move(tmp_path, moved := tmp_path.with_name("moved"))
    assert Path(Manifest.read(moved / "lidc.manifest.json").root) == moved / "lidc"


def test_all(archive: Archive, tmp_path: Path) -> None:
    some = fetch(archive, tmp_path / "some")
    every = fetch(archive, tmp_path / "every", slices="all")
    assert every.series == some.series
    found = sorted(files_below(tmp_path / "every/lidc").values())
    assert found == sorted(data for files in archive.series.values() for data in files.values())


def test_the_second_time_nothing_is_asked(archive: Archive, tmp_path: Path) -> None:
    once = fetch(archive, tmp_path)
    archive.asked.clear()
    assert fetch(archive, tmp_path) == once
    assert archive.asked == []


@pytest.mark.parametrize("harm", ["lost", "other", "longer", "index", "garbage"])
def test_what_was_lost_or_changed_comes_again(
    archive: Archive, tmp_path: Path, first: str, harm: str
) -> None:
    once = fetch(archive, tmp_path)
    archive.asked.clear()
    path = Path(once.root) / once.series[0].slices[3].path
    index = tmp_path / f"lidc.index/{first}.json"
    if harm == "lost":
        path.unlink()
    elif harm == "index":
        index.unlink()
    elif harm == "garbage":
        index.write_text("{")
    else:
        data = path.read_bytes()
        path.write_bytes(data[:-1] + b"\1" if harm == "other" else data + b"\0")
    assert fetch(archive, tmp_path) == once
    assert_complete(archive, tmp_path, once)
    assert archive.asked == [first]


def test_all_after_outlined(archive: Archive, tmp_path: Path) -> None:
    fetch(archive, tmp_path)
    fetch(archive, tmp_path, slices="all")
    assert len(files_below(tmp_path / "lidc")) == sum(map(len, archive.series.values()))
    archive.asked.clear()
    fetch(archive, tmp_path)  # all holds the outlined
    assert archive.asked == []


@pytest.mark.parametrize("ending", ["chunked", "length", "close"])
def test_cut_at_any_byte_begins_the_zip_anew(
    archive: Archive, tmp_path: Path, first: str, second: str, ending: Any
) -> None:
    body = zip_of(archive.series[first])
    for seed in range(8):
        cut = random.Random(seed).randrange(len(body))
        archive.once[first] = deque([Answer(body, cut=cut, ending=ending)])
        archive.asked.clear()
        manifest = fetch(archive, tmp_path / str(seed))
        assert_complete(archive, tmp_path / str(seed), manifest)
        assert sorted(archive.asked) == sorted([first, first, second])
    assert archive.ranges == []


def test_a_connection_that_is_always_cut(archive: Archive, tmp_path: Path, first: str) -> None:
    archive.always[first] = Answer(zip_of(archive.series[first]), cut=2000)
    with pytest.raises(ProbunetError, match=r"given up after 4 tries.*run the same command again"):
        fetch(archive, tmp_path)
    assert archive.asked.count(first) == 4
    assert not (tmp_path / "lidc.manifest.json").exists()
    archive.always.clear()
    assert_complete(archive, tmp_path, fetch(archive, tmp_path))


def test_a_server_that_is_busy(archive: Archive, tmp_path: Path, first: str) -> None:
    archive.once[first] += [Answer(status=503, headers={"Retry-After": "7"}), Answer(status=429)]
    assert_complete(archive, tmp_path, fetch(archive, tmp_path))
    archive.always[first] = Answer(status=503)
    with pytest.raises(ProbunetError, match="503 Service Unavailable; given up after 4 tries"):
        fetch(archive, tmp_path / "other")


PAGE = Answer(b"<html><title>Down for maintenance</title></html>", ending="length")
UNSOUND = {
    "page": (PAGE, 'a web page "Down for maintenance" instead of a zip file'),
    "truncated": (Answer(zip_of({"1.dcm": b"1" * 999})[:-30]), "not a whole zip file"),
    "evil": (Answer(zip_of({"../../1.dcm": b"evil"})), "would lie outside of the folder"),
    "bomb": (Answer(zip_of({"1.dcm": bytes(10**6)})), "as a zip bomb does"),
    "large": (Answer(zip_of({"1.dcm": random.Random(0).randbytes(2**25)})), "bytes, and .* come"),
}


@pytest.mark.parametrize("kind", UNSOUND)
def test_no_zip_or_an_evil_one(
    archive: Archive, tmp_path: Path, first: str, second: str, kind: str
) -> None:
    answer, message = UNSOUND[kind]
    archive.once[first].append(answer)
    assert_complete(archive, tmp_path / "once", fetch(archive, tmp_path / "once"))
    archive.always[first] = answer
    with pytest.raises(ProbunetError, match=message) as error:
        fetch(archive, tmp_path / "always")
    assert f"SeriesInstanceUID={first}" in str(error.value)
    assert "`endpoint_url`" in str(error.value)
    assert all(f"/{second}/" in path for path in files_below(tmp_path / "always/lidc"))
    assert {path.name for path in tmp_path.iterdir()} == {"once", "always"}
    left = {path.name for path in (tmp_path / "always/lidc.index").iterdir()}
    assert left <= {f"{second}.json"}


def test_wrong_md5(archive: Archive, tmp_path: Path, first: str, second: str) -> None:
    files, zs = archive.series[first], outlined(first)
    name, other = name_at(archive, first, zs[2]), name_at(archive, first, zs[4])
    wrong = Answer(zip_of(files | {name: files[other]}, hashes=hashes_of(files)))
    archive.once[first].append(wrong)
    assert_complete(archive, tmp_path / "once", fetch(archive, tmp_path / "once"))

    archive.always[first] = wrong
    archive.asked.clear()
    manifest = fetch(archive, tmp_path / "always")
    assert archive.asked.count(first) == 2
    assert told(manifest) == [(first, zs[2], Reason.DAMAGED)]
    assert Path(manifest.left_out[0].path).name == name
    assert "MD5" in manifest.left_out[0].detail
    assert not (tmp_path / "always/lidc" / manifest.left_out[0].path).exists()

    del archive.always[first]  # the fault is not kept
    assert_complete(archive, tmp_path / "always", fetch(archive, tmp_path / "always"))


def test_pixels_that_changed_behind_a_good_header(
    archive: Archive, tmp_path: Path, first: str
) -> None:
    files, z = archive.series[first], outlined(first)[1]
    name = name_at(archive, first, z)
    changed = files | {name: files[name][:-1] + b"\1"}
    archive.always[first] = Answer(zip_of(changed, hashes=hashes_of(files)))
    manifest = fetch(archive, tmp_path)
    assert told(manifest) == [(first, z, Reason.DAMAGED)]
    assert hashlib.md5(files[name]).hexdigest() in manifest.left_out[0].detail
    assert manifest.left_out[0].path.endswith(name)


def test_a_slice_that_is_listed_and_not_sent(
    archive: Archive, tmp_path: Path, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    files, z = archive.series[first], outlined(first)[1]
    name = name_at(archive, first, z)
    less = {one: data for one, data in files.items() if one != name}
    archive.always[first] = Answer(zip_of(less, hashes=hashes_of(files)))
    assert told(fetch(archive, tmp_path)) == [(first, z, Reason.MISSING)]
    assert f"{name}: in the list of MD5s, not in the zip" in caplog.text


def test_a_zip_that_an_error_of_the_server_ended(
    archive: Archive, tmp_path: Path, first: str, second: str
) -> None:
    """It looks whole, and lacks the list of MD5s."""
    few = dict(list(archive.series[first].items())[:4])
    ended = Answer(zip_of(few, listed=False))
    archive.once[first].append(ended)
    assert_complete(archive, tmp_path / "once", fetch(archive, tmp_path / "once"))
    archive.always[first] = ended
    manifest = fetch(archive, tmp_path / "always")
    assert told(manifest) == [(first, z, Reason.MISSING) for z in outlined(first)]
    assert f"beside it 00000001.dcm: {Reason.DAMAGED}" in manifest.left_out[0].detail
    assert all(f"/{second}/" in path for path in files_below(tmp_path / "always/lidc"))


UNKNOWN = {
    "refused": None,
    "empty answer": Answer(ending="length"),
    "empty zip": Answer(zip_of({}, listed=False)),
    "just a list": Answer(zip_of({})),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_an_unknown_series(
    archive: Archive,
    tmp_path: Path,
    first: str,
    second: str,
    caplog: pytest.LogCaptureFixture,
    kind: str,
) -> None:
    archive.series.pop(first)
    if answer := UNKNOWN[kind]:
        archive.always[first] = answer
    manifest = fetch(archive, tmp_path)
    assert told(manifest) == [(first, z, Reason.MISSING) for z in outlined(first)]
    assert f"SeriesInstanceUID={first}: " in caplog.text
    assert "no such" in caplog.text
    assert f"left out {len(outlined(first))}: no slice at the outline's z" in caplog.text

    archive.series.pop(second)
    if answer:
        archive.always[second] = answer
    with pytest.raises(ProbunetError, match="not one slice"):
        fetch(archive, tmp_path / "other")


def test_another_server_altogether(archive: Archive, tmp_path: Path) -> None:
    with pytest.raises(ProbunetError, match=r"404 Not Found.*`endpoint_url`"):
        fetch(archive, tmp_path, endpoint_url=f"{archive.url}/v9")


LISTS = {
    "other titles": lambda text: text.replace("Filename,MD5Hash", "SOPInstanceUID,MD5 digest"),
    "capitals": lambda text: text.upper().replace(".DCM", ".dcm"),
    "a mark and carriage returns": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "quotes and blanks": lambda text: text.replace(",", '", "').replace("\n", '"\n"')[:-1],
    "folders": lambda text: text.replace("\n0", "\na/b/0"),
    "MD5 first": lambda text: "\n".join(",".join(reversed(x.split(","))) for x in text.split()),
    "more columns": lambda text: "\n".join(f"{x},more" for x in text.split()),
    "blank lines": lambda text: text.replace("\n", "\n\n"),
    "no MD5 known": lambda text: "\n".join(f"{x.split(',')[0]}," for x in text.split()[1:]),
}


@pytest.mark.parametrize("kind", sorted(LISTS.keys() - {"no MD5 known"}))
@pytest.mark.parametrize("right", [True, False])
def test_lists_of_md5s(
    archive: Archive, tmp_path: Path, first: str, kind: str, right: bool
) -> None:
    files = archive.series[first]
    hashes = hashes_of(files)
    if not right:
        at = hashes.index(name_at(archive, first, outlined(first)[0])) + 13
        hashes = f"{hashes[:at]}{'0' * 32}{hashes[at + 32 :]}"
    list_ = LISTS[kind](hashes)
    archive.always[first] = Answer(zip_of(files, hashes=list_))
    manifest = fetch(archive, tmp_path)
    wrong = [] if right else [(first, outlined(first)[0], Reason.DAMAGED)]
    assert told(manifest) == wrong


def test_md5s_that_the_publisher_does_not_know(
    archive: Archive, tmp_path: Path, first: str, caplog: pytest.LogCaptureFixture
) -> None:
    hashes = "Filename,MD5Hash\n" + LISTS["no MD5 known"](hashes_of(archive.series[first]))
    archive.always[first] = Answer(zip_of(archive.series[first], hashes=hashes))
    assert_complete(archive, tmp_path, fetch(archive, tmp_path))
    count = len(archive.series[first])
    assert f"{count} of {count} slices have no MD5 in the publisher's list" in caplog.text


def test_disk_without_room(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    with pytest.raises(ProbunetError, match="still to come, and the disk has"):
        fetch(archive, tmp_path)
    assert archive.asked == []


def test_disk_that_fills_up(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", full)
        with pytest.raises(ProbunetError, match="disk or quota is full"):
            fetch(archive, tmp_path)
    assert_complete(archive, tmp_path, fetch(archive, tmp_path))


def test_parts_share_the_series(archive: Archive, tmp_path: Path, series: dict) -> None:
    found = []
    for number in range(2):
        archive.asked.clear()
        made = fetch_tcia(
            tmp_path / "lidc",
            tmp_path / f"{number}.json",
            patients=2,
            endpoint_url=archive.url,
            part=(number, 2),
        )
        found += [one.series for one in made.series]
        assert archive.asked == [one.series for one in made.series]
    assert sorted(found) == sorted(series)


def test_few_connections(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    archive.pause = 0.2
    for uid in list(lesions()):
        archive.series.setdefault(uid, {"1.dcm": b"no slice"})
    fetch(archive, tmp_path, patients=9)
    assert archive.most_at_once == 4
    archive.most_at_once = 0
    fetch(archive, tmp_path / "one", settings=Fetch(connections=1))
    assert archive.most_at_once == 1


def test_paths_with_blanks_and_letters_of_any_kind(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "Köln Süd 名"
    assert_complete(archive, folder, fetch(archive, folder))


def test_what_a_killed_run_left_does_no_harm(archive: Archive, tmp_path: Path, first: str) -> None:
    index = tmp_path / "lidc.index"
    (index / f"{first}.unpacked").mkdir(parents=True)
    (index / f"{first}.unpacked/00000099.dcm").write_bytes(b"old")
    (index / f"{first}.zip.part").write_bytes(b"PK\3\4 old")
    assert_complete(archive, tmp_path, fetch(archive, tmp_path))


@pytest.mark.slow
def test_killed_at_any_moment(archive: Archive, tmp_path: Path) -> None:
    archive.pause = 0.2
    run = (
        "import sys; from pathlib import Path; from probunet.fetch.tcia import fetch_tcia;"
        "folder = Path(sys.argv[1]); print('begun', flush=True);"
        "fetch_tcia(folder / 'lidc', folder / 'lidc.manifest.json', 2, endpoint_url=sys.argv[2])"
    )
    killed = 0
    for seed in range(6):
        folder = tmp_path / str(seed)
        command = [sys.executable, "-c", run, folder, archive.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with suppress(subprocess.TimeoutExpired):
                process.wait(random.Random(seed).uniform(0.1, 1.5))
            process.kill()
            killed += process.wait() == -signal.SIGKILL
        assert_complete(archive, folder, fetch(archive, folder))
    assert killed > 0


def test_the_store_is_that_of_the_same_files_at_hand(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    noise = np.random.default_rng(0)
    pixels = lambda: noise.integers(0, 500, (512, 512), "<i2").tobytes()  # noqa: E731
    archive.series = {first: slices_of(first, 512, pixels)}
    tree = tmp_path / "tree"
    tree.mkdir()
    for name, data in archive.series[first].items():
        (tree / name).write_bytes(data)
    rows = idc_plan.read_series()
    rows[first] = replace(rows[first], bytes=sum(map(len, archive.series[first].values())))

    fetched = fetch(archive, tmp_path, patients=1)
    at_hand = fetch_local(tree, tmp_path / "local.json", workers=1)
    assert [replace_path(file) for file in fetched.series[0].slices] == [
        replace_path(file) for file in at_hand.series[0].slices
    ]
    monkeypatch.setattr(parts, "run_tasks", lambda client, f, tasks, label: map(f, tasks))
    stores = []
    for manifest in ("lidc.manifest.json", "local.json"):
        store = tmp_path / f"{manifest}.zarr"
        parts.fill_store(None, plan_crops(tmp_path / manifest), store, "stop")
        assert len(open_crops(store)) > 0
        stores.append(files_below(store))
    assert stores[0].keys() == stores[1].keys()
    # but for the attributes, which name the source
    assert {name for name in stores[0] if stores[0][name] != stores[1][name]} == {"zarr.json"}


def replace_path(file: Any) -> tuple[float, int, str]:
    return file.z, file.bytes, file.sha256
