import base64
import errno
import hashlib
import io
import json
import logging
import multiprocessing
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch import cityscapes_download
from probunet.fetch.cityscapes_download import PACKAGES, check_login, fetch_official
from probunet.files import locked
from probunet.scene_manifest import SceneManifest

from .servers.cityscapes import Site, cityscapes_site
from .servers.misbehaving import Asked, Fault, Plan, Proxy, misbehaving, times
from .test_cityscapes import write_scene

USERNAME, PASSWORD = "a.reader@example.org", "pä ss/wörd&%+=7"
LABELS, PICTURES = PACKAGES
LICENCE_TEXT = "This is the publisher's licence, as it lies in the zips.\n"
ZIPS = "/file-handling/"

# what of the zips is needed
SCENES = (
    ("train", "aachen", "000000_000019"),
    ("train", "ulm", "000003_000019"),
    ("val", "munster", "000000_000019"),
)


@pytest.fixture(scope="module")
def needed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tree = tmp_path_factory.mktemp("needed")
    for scene in SCENES:
        write_scene(tree, *scene)
    return tree


@pytest.fixture(scope="module")
def packages(needed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Two zips with what is needed, and much that is not."""
    other = tmp_path_factory.mktemp("other")
    write_scene(other, "test", "berlin", "000000_000019")
    stem = other / "gtFine/train/ulm/ulm_000003_000019_gtFine_"
    stem.parent.mkdir(parents=True)
    for name in ("color.png", "instanceIds.png", "polygons.json"):
        Path(f"{stem}{name}").write_bytes(random.Random(name).randbytes(3000))
    for name in ("README", "license.txt"):
        (other / name).write_text(LICENCE_TEXT)
    (other / "trainextra").write_text("not needed")

    def zipped(part: str) -> bytes:
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w") as file:
            for tree in (other, needed):
                for path in sorted(tree.rglob("*")):
                    name = str(path.relative_to(tree))
                    if path.is_file() and (path.parent == tree or name.startswith(part)):
                        file.write(path, name)
        return data.getvalue()

    return {name: zipped(name.partition("_")[0]) for name in PACKAGES}


@pytest.fixture
def site(packages: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The publisher's site, and its account in the environment."""
    monkeypatch.setenv("CITYSCAPES_USERNAME", USERNAME)
    monkeypatch.setenv("CITYSCAPES_PASSWORD", PASSWORD)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    others = {"gtCoarse.zip": b"coarse labels, which nobody asks for"}
    with cityscapes_site(others | packages, USERNAME, PASSWORD) as running:
        yield running


@pytest.fixture
def proxied(site: Site) -> Iterator[Callable[[Plan | None], Proxy]]:
    with misbehaving(site.url) as proxy:

        def start(plan: Plan | None) -> Proxy:
            proxy.plan = plan
            return proxy

        yield start


def fetch(raw: Path, url: str, **settings: Any) -> SceneManifest:
    return fetch_official(
        raw / "cityscapes",
        raw / "cityscapes.manifest.json",
        Fetch(**{"retries": 3, "timeout": 5, **settings}),
        url,
        workers=1,
    )


def check(url: str, **settings: Any) -> None:
    check_login(url, Fetch(**{"retries": 3, "timeout": 5, **settings}))


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def assert_whole(raw: Path, needed: Path) -> None:
    """All that is needed has come, byte for byte, and no zip is left."""
    there = files(raw / "cityscapes")
    licence = {name: LICENCE_TEXT.encode() for name in ("README", "license.txt")}
    records = {f".{name}.json" for name in PACKAGES}
    assert {name: there[name] for name in there.keys() - records} == files(needed) | licence
    assert records <= there.keys()
    manifest = SceneManifest.read(raw / "cityscapes.manifest.json")
    assert (manifest.source, manifest.left_out) == ("official", ())
    listed = [(scene.city, scene.frame) for scene in manifest.scenes]
    assert listed == sorted((city, frame) for _, city, frame in SCENES)


def of_zips(proxy: Proxy) -> list[Asked]:
    """The requests for zips, without those that look at their first bytes."""
    return [asked for asked in proxy.of(ZIPS) if asked.headers.get("Range") != "bytes=0-3"]


# ---- what comes ---------------------------------------------------------------------------------


def test_just_what_is_needed(
    site: Site, needed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    manifest = fetch(tmp_path, site.url)
    assert_whole(tmp_path, needed)
    assert (manifest.dataset, manifest.synthetic) == ("cityscapes", False)
    written = json.loads((tmp_path / "cityscapes.manifest.json").read_text())
    assert written["root"] == "cityscapes"  # so that all can be moved
    licence = (tmp_path / "cityscapes.LICENCE.txt").read_text()
    assert "www.cityscapes-dataset.com/license" in licence
    assert LICENCE_TEXT in licence
    assert any("Cityscapes: 2 objects" in line for line in caplog.messages)


def test_path_with_spaces_and_letters(site: Site, needed: Path, tmp_path: Path) -> None:
    fetch(tmp_path / "Straßen und Plätze/данные", site.url)
    assert_whole(tmp_path / "Straßen und Plätze/данные", needed)


def test_the_next_run_asks_for_nothing(
    site: Site, needed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fetch(tmp_path, site.url)
    site.addresses.clear()
    monkeypatch.delenv("CITYSCAPES_PASSWORD")
    (tmp_path / "cityscapes.manifest.json").unlink()
    (tmp_path / f"cityscapes/.{LABELS}.part").touch()  # stopped just ahead of its removal
    assert fetch(tmp_path, site.url) == first
    assert site.addresses == []
    assert_whole(tmp_path, needed)


def test_what_was_lost_comes_again(
    proxied: Callable[..., Proxy], needed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    proxy = proxied(None)
    fetch(tmp_path, proxy.url)
    proxy.asked.clear()
    lost = next((tmp_path / "cityscapes/leftImg8bit/train/ulm").iterdir())
    lost.write_bytes(lost.read_bytes()[:-1])
    fetch(tmp_path, proxy.url)
    assert_whole(tmp_path, needed)
    assert len(of_zips(proxy)) == 1
    assert f"1 of 3 files of {PICTURES} are gone or of another size" in caplog.text


def test_space_is_looked_for_first(
    site: Site, packages: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(cityscapes_download, "check_space", lambda _, needed: asked.append(needed))
    (tmp_path / "cityscapes").mkdir()
    (tmp_path / f"cityscapes/.{LABELS}.part").write_bytes(packages[LABELS][:100])
    fetch(tmp_path, site.url)
    assert asked == [2 * sum(len(data) for data in packages.values()) - 100]
    asked.clear()
    tree = tmp_path / "cityscapes/leftImg8bit"
    there = sum(path.stat().st_size for path in tree.rglob("*.png"))
    (tmp_path / f"cityscapes/.{PICTURES}.json").unlink()  # as if stopped while it was unpacked
    (tmp_path / f"cityscapes/.{PICTURES}.part").write_bytes(packages[PICTURES])
    fetch(tmp_path, site.url)
    assert asked == [len(packages[PICTURES]) - there]


# ---- logging in ---------------------------------------------------------------------------------


def test_the_right_account(site: Site) -> None:
    check(site.url)
    assert site.refused == 0


@pytest.mark.parametrize("missing", ["CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"])
@pytest.mark.parametrize("empty", [False, True])
def test_no_account(site: Site, monkeypatch: pytest.MonkeyPatch, missing: str, empty: bool) -> None:
    if empty:
        monkeypatch.setenv(missing, "")
    else:
        monkeypatch.delenv(missing)
    told = r"set CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD .*/register/ makes one"
    with pytest.raises(ProbunetError, match=told):
        check(site.url)
    assert site.addresses == []


def test_the_publisher_s_address_is_told_without_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CITYSCAPES_USERNAME", raising=False)
    with pytest.raises(ProbunetError, match=r"https://www.cityscapes-dataset.com/register/"):
        check_login()


@pytest.mark.parametrize("answer", [200, 401, 403])
def test_a_wrong_password_is_said_at_once(
    proxied: Callable[..., Proxy],
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    waits: list[float],
    answer: int,
) -> None:
    monkeypatch.setenv("CITYSCAPES_PASSWORD", "wrong")

    def plan(asked: Asked) -> Fault | None:
        return Fault(status=answer) if asked.method == "POST" and answer != 200 else None

    proxy = proxied(plan)
    with pytest.raises(ProbunetError, match=r"the login is refused. Set CITYSCAPES_USERNAME and"):
        check(proxy.url)
    assert [asked.method for asked in proxy.asked] == ["GET", "POST"]
    assert waits == []


def test_a_wrong_password_leaves_no_data(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYSCAPES_PASSWORD", "wrong")
    with pytest.raises(ProbunetError, match="the login is refused"):
        fetch(tmp_path, site.url)
    assert [path.name for path in tmp_path.iterdir()] == [".cityscapes.lock"]


@pytest.mark.parametrize("kind", ["unlisted", "forbidden"])
def test_a_licence_that_was_not_accepted(site: Site, tmp_path: Path, kind: str) -> None:
    getattr(site, kind).add(PICTURES)
    told = rf"may not download {PICTURES}\. Log in at {site.url}/downloads/ .*accept the licence"
    with pytest.raises(ProbunetError, match=told):
        check(site.url)
    with pytest.raises(ProbunetError, match=told):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "cityscapes").exists()


def test_a_list_that_is_forbidden(proxied: Callable[..., Proxy]) -> None:
    proxy = proxied(times(9, Fault(status=403), "?list"))
    with pytest.raises(ProbunetError, match=r"may not download .* and .*accept the licence"):
        check(proxy.url)


@pytest.mark.parametrize("kind", ["list_page", "forgets", "pages", "md5s"])
def test_pages_in_place_of_answers(site: Site, tmp_path: Path, kind: str) -> None:
    value: Any = {"pages": {PICTURES}, "md5s": {PICTURES: "<html>"}}.get(kind, True)
    setattr(site, kind, value)
    told = {
        "list_page": "no list of packages comes",
        "forgets": "leads to another page, as if nobody were logged in",
        "pages": f"no zip of {PICTURES} comes",
        "md5s": f"no MD5 of {PICTURES} comes",
    }[kind]
    with pytest.raises(ProbunetError, match=rf"{told}.*can download from {site.url}/downloads/"):
        check(site.url)
    with pytest.raises(ProbunetError, match=told):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "cityscapes").exists()


def test_another_site_than_cityscapes(proxied: Callable[..., Proxy]) -> None:
    proxy = proxied(times(9, Fault(status=404)))
    with pytest.raises(ProbunetError, match=rf"{proxy.url}/login: the server answers 404"):
        check(proxy.url)
    proxy.plan = lambda asked: Fault(status=404) if asked.method == "POST" else None
    with pytest.raises(ProbunetError, match=rf"{proxy.url}/login: the server answers 404"):
        check(proxy.url)


def test_passwords_travel_encrypted() -> None:
    with pytest.raises(ProbunetError, match=r"unencrypted; give an address that begins with https"):
        check("http://mirror.example.org/cityscapes")


def test_no_account_in_the_address() -> None:
    with pytest.raises(ProbunetError, match=r"the address of mirror\.example\.org has") as caught:
        check("https://reader:hidden@mirror.example.org")
    assert "hidden" not in str(caught.value)


def test_netrc_is_not_asked(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login other password another\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    check(site.url)
    assert site.authorizations == []


def test_proxies_of_the_environment_are_used(
    proxied: Callable[..., Proxy], site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = proxied(None)
    monkeypatch.setenv("http_proxy", proxy.url)
    check(site.url)
    assert {asked.path.removeprefix(site.url).split("?")[0] for asked in proxy.asked} == {
        "/login", "/downloads/", "/md5-sum/", ZIPS
    }  # fmt: skip
    assert [asked.method for asked in proxy.asked].count("POST") == 1
    assert all(asked.path.startswith(site.url) for asked in proxy.asked)


# ---- what the network does ----------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(50))
def test_cut_at_a_random_byte(
    proxied: Callable[..., Proxy],
    packages: dict[str, bytes],
    needed: Path,
    tmp_path: Path,
    waits: list[float],
    seed: int,
) -> None:
    draw = random.Random(seed)
    left = {"login": 1, "?list": 1, "md5-sum": 1, ZIPS: 2}

    def plan(asked: Asked) -> Fault | None:
        for path in left:
            if path in asked.path and left[path] and asked.headers.get("Range") != "bytes=0-3":
                left[path] -= 1
                most = 8000 if path == ZIPS else 20
                return Fault(cut=draw.randrange(most), reset=draw.random() < 0.5)
        return None

    proxy = proxied(plan)
    fetch(tmp_path, proxy.url, retries=2)
    assert_whole(tmp_path, needed)
    # an orderly cut loses nothing that was sent; a reset, what the system had not handed over
    once = sum(len(data) for data in packages.values())
    assert once <= sum(asked.sent for asked in of_zips(proxy)) <= once + 2 * 8000
    assert len(waits) <= 2 * 4


def test_no_byte_comes_twice(
    proxied: Callable[..., Proxy],
    packages: dict[str, bytes],
    needed: Path,
    tmp_path: Path,
    waits: list[float],
) -> None:
    proxy = proxied(lambda asked: Fault(cut=1500) if ZIPS in asked.path else None)
    with pytest.raises(ProbunetError, match="is kept: run the same command again to go on"):
        fetch(tmp_path, proxy.url, retries=0)
    runs = 1
    while not (tmp_path / "cityscapes.manifest.json").exists() and runs < 100:
        runs += 1
        with suppress(ProbunetError):
            fetch(tmp_path, proxy.url, retries=0)
    assert_whole(tmp_path, needed)
    assert runs > 5
    once = sum(len(data) for data in packages.values())
    assert sum(asked.sent for asked in of_zips(proxy)) == once


def test_ranges_that_are_ignored(
    proxied: Callable[..., Proxy],
    needed: Path,
    tmp_path: Path,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cut = times(2, Fault(whole=True, cut=5000), ZIPS)
    proxy = proxied(
        lambda asked: (
            Fault(whole=True)
            if asked.headers.get("Range") == "bytes=0-3"
            else cut(asked) or Fault(whole=ZIPS in asked.path)
        )
    )
    fetch(tmp_path, proxy.url)
    assert_whole(tmp_path, needed)
    assert "ignores ranges" in caplog.text


@pytest.mark.parametrize("path", ["/login", "?list", "md5-sum", ZIPS])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_site(
    proxied: Callable[..., Proxy],
    needed: Path,
    tmp_path: Path,
    waits: list[float],
    status: int,
    path: str,
) -> None:
    proxy = proxied(times(2, Fault(status=status, headers={"Retry-After": "7"}), path))
    fetch(tmp_path, proxy.url)
    assert_whole(tmp_path, needed)
    assert [round(wait, 3) for wait in waits] == [7, 7]


def test_a_stall(
    proxied: Callable[..., Proxy], needed: Path, tmp_path: Path, waits: list[float]
) -> None:
    plan = times(1, Fault(stall=10, stall_after=3000), ZIPS)
    proxy = proxied(lambda asked: plan(asked) if asked.headers.get("Range") is None else None)
    fetch(tmp_path, proxy.url, timeout=1)
    assert_whole(tmp_path, needed)
    assert len(waits) == 1


@pytest.mark.parametrize("step", ["GET", "POST"])
def test_a_site_that_is_down(proxied: Callable[..., Proxy], waits: list[float], step: str) -> None:
    proxy = proxied(lambda asked: Fault(status=503) if asked.method == step else None)
    with pytest.raises(ProbunetError, match=r"/login: .*503.* given up after 4 tries"):
        check(proxy.url)
    assert len(waits) == 3


def test_nobody_listens(site: Site, waits: list[float]) -> None:
    with pytest.raises(ProbunetError, match=r"localhost:1/login: .*given up after 4 tries"):
        check("http://localhost:1")


def test_ranges_that_are_refused(
    proxied: Callable[..., Proxy], packages: dict[str, bytes], tmp_path: Path, waits: list[float]
) -> None:
    size = {"Content-Range": f"bytes */{len(packages[LABELS])}"}
    proxy = proxied(
        lambda asked: (
            Fault(status=416, headers=size)
            if asked.headers.get("Range") == "bytes=100-"
            else Fault(cut=100)
            if ZIPS in asked.path
            else None
        )
    )
    with pytest.raises(ProbunetError, match=r"nothing comes from byte 100 .* remove .*\.part"):
        fetch(tmp_path, proxy.url)


# ---- logins that end ----------------------------------------------------------------------------


@pytest.mark.parametrize("to_page", [False, True])
def test_a_login_that_expires(
    site: Site,
    packages: dict[str, bytes],
    needed: Path,
    tmp_path: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    to_page: bool,
) -> None:
    caplog.set_level(logging.DEBUG)
    site.expires_after, site.expires_to_page = 3000, to_page
    monkeypatch.setattr(cityscapes_download, "ENOUGH", 2000)
    fetch(tmp_path, site.url, connections=1)  # which must be free again for each login
    assert_whole(tmp_path, needed)
    logins = sum(len(data) for data in packages.values()) // 3000 + 1
    assert logins <= len(site.ever) <= logins + 1
    assert site.stale == 0
    assert_no_secret(site, caplog.text + "".join(capfd.readouterr()))


@pytest.mark.parametrize("to_page", [False, True])
def test_logins_that_expire_at_once(
    site: Site, packages: dict[str, bytes], tmp_path: Path, waits: list[float], to_page: bool
) -> None:
    site.expires_after, site.expires_to_page = 3000, to_page
    told = "A new login has not changed that. What has come so far is kept"
    with pytest.raises(ProbunetError, match=told):
        fetch(tmp_path, site.url)
    part = tmp_path / f"cityscapes/.{LABELS}.part"
    assert packages[LABELS].startswith(part.read_bytes())
    assert part.stat().st_size > 3000  # what both logins brought; no page is in it
    assert len(site.ever) == 2


# ---- what is not the publisher's file -----------------------------------------------------------


def test_damaged_once(
    site: Site, needed: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    site.damaged[PICTURES] = 1
    fetch(tmp_path, site.url)
    assert_whole(tmp_path, needed)
    assert f"{PICTURES}: not of the publisher's MD5; beginning anew" in caplog.text


def test_damaged_always(site: Site, tmp_path: Path) -> None:
    site.md5s[PICTURES] = hashlib.md5(b"something else").hexdigest()
    with pytest.raises(ProbunetError, match=rf"{PICTURES} has come twice, and not with the MD5"):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "cityscapes/leftImg8bit").exists()
    assert not (tmp_path / f"cityscapes/.{PICTURES}.part").exists()
    assert (tmp_path / "cityscapes/gtFine").exists()  # the other one has come well


@pytest.mark.parametrize("longer", [-10, 0, 10])
def test_a_part_of_another_file(
    site: Site,
    packages: dict[str, bytes],
    needed: Path,
    tmp_path: Path,
    waits: list[float],
    longer: int,
) -> None:
    (tmp_path / "cityscapes").mkdir()
    part = tmp_path / f"cityscapes/.{LABELS}.part"
    part.write_bytes(bytes(len(packages[LABELS]) + longer))
    fetch(tmp_path, site.url)
    assert_whole(tmp_path, needed)


def test_a_zip_that_leads_out_of_the_folder(site: Site, tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("gtFine/train/a/b_gtFine_labelIds.png", b"x")
        file.writestr("../outside", b"x")
    site.packages[LABELS] = data.getvalue()
    with pytest.raises(ProbunetError, match="would lie outside"):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "cityscapes/gtFine").exists()


def test_a_zip_without_scenes(site: Site, tmp_path: Path) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("gtFine/test/a/b_gtFine_labelIds.png", b"x")
    site.packages[LABELS] = data.getvalue()
    with pytest.raises(ProbunetError, match="holds no file of gtFine/train or /val"):
        fetch(tmp_path, site.url)


# ---- disks, and others that write ---------------------------------------------------------------


def test_a_small_disk_is_told_first(site: Site, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("size=16k")
    with pytest.raises(ProbunetError, match=r"are still to come, and the disk has"):
        fetch(disk, site.url)
    assert list((disk / "cityscapes").iterdir()) == []


def test_a_disk_that_fills_up(
    site: Site,
    needed: Path,
    small_disk: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    disk = small_disk("size=32k")
    monkeypatch.setattr(cityscapes_download, "check_space", lambda *_: None)
    with pytest.raises(ProbunetError, match=r"the disk or quota is full"):
        fetch(disk, site.url)
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    fetch(disk, site.url)
    assert_whole(disk, needed)


def test_a_folder_that_cannot_be_written(site: Site, small_disk: Callable[[str], Path]) -> None:
    disk = small_disk("ro")
    with pytest.raises(ProbunetError, match=r"cityscapes: cannot be written \(Read-only"):
        fetch(disk, site.url)
    assert site.addresses == []


def test_a_zip_that_cannot_be_written(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refused(path: Path, *options: Any, **more: Any) -> Any:
        if path.suffix == ".part" and "a" in str(options):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return opened(path, *options, **more)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(ProbunetError, match=r"\.part: cannot be written \(Permission denied\)"):
        fetch(tmp_path, site.url)


def test_two_writers_are_kept_apart(site: Site, tmp_path: Path) -> None:
    with (
        locked(tmp_path / "cityscapes"),
        pytest.raises(ProbunetError, match="another process is writing"),
    ):
        fetch(tmp_path, site.url)
    assert site.addresses == []


@pytest.mark.slow
def test_killed_at_random_moments(site: Site, needed: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["probunet.fetch.cityscapes_download"])
    draw = random.Random(0)

    def run(raw: Path, seconds: float | None) -> int | None:
        """Kill a run after so many seconds; return how it ended."""
        arguments = (raw / "cityscapes", raw / "cityscapes.manifest.json", None, site.url, 1)
        site.pause = 0.008
        process = context.Process(target=fetch_official, args=arguments)
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
        site.pause = 0
        return process.exitcode

    run(tmp_path / "first", None)  # it takes longer
    begun = time.monotonic()
    assert run(tmp_path / "whole", None) == 0
    took, killed = time.monotonic() - begun, 0
    while killed < 50:
        raw = tmp_path / str(killed)
        killed += run(raw, draw.uniform(0, took)) == -signal.SIGKILL
        if (raw / "cityscapes.manifest.json").exists():
            assert_whole(raw, needed)
        fetch(raw, site.url)
        assert_whole(raw, needed)
        shutil.rmtree(raw)


# ---- secrets ------------------------------------------------------------------------------------


def forms_of_secrets(site: Site) -> list[str]:
    """The password as it may be written down, and the cookies."""
    plain = PASSWORD.encode()
    forms = [PASSWORD, quote(PASSWORD), quote_plus(PASSWORD), repr(plain)[2:-1], ascii(PASSWORD)]
    forms += [
        base64.b64encode(data).decode() for data in (plain, f"{USERNAME}:{PASSWORD}".encode())
    ]
    return [*forms, *(form[:-1] for form in forms[:3]), *site.ever]


def assert_no_secret(site: Site, text: str) -> None:
    assert [secret for secret in forms_of_secrets(site) if secret in text] == []


def all_text(folder: Path) -> str:
    """The names and contents of all files."""
    there = files(folder)
    return "\n".join(f"{name}\n{data.decode('latin-1')}\n{data.decode(errors='replace')}"
                     for name, data in there.items())  # fmt: skip


ECHO = f"/login?username={quote(USERNAME)}&password={quote(PASSWORD)}"
FAULTS = {
    "refused": ("/login", Fault(status=200, body=f"{USERNAME}, {PASSWORD}: no".encode())),
    "down": ("/login", Fault(status=503)),
    "cut": ("/login", Fault(status=200, body=bytes(9), cut=5)),
    "reset": ("/login", Fault(status=200, body=bytes(9), cut=5, reset=True)),
    "redirected": ("/login", Fault(status=307, headers={"Location": ECHO})),
    "list redirected": ("?list", Fault(status=302, headers={"Location": ECHO})),
    "list echoed": ("?list", Fault(status=200, body=ECHO.encode())),
    "zip redirected": (ZIPS, Fault(status=302, headers={"Location": ECHO})),
    "zip cut": (ZIPS, Fault(cut=2)),
}


@pytest.mark.parametrize(("path", "fault"), FAULTS.values(), ids=FAULTS)
def test_no_secret_is_told_of_a_fault(
    proxied: Callable[..., Proxy],
    site: Site,
    tmp_path: Path,
    waits: list[float],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    path: str,
    fault: Fault,
) -> None:
    caplog.set_level(logging.DEBUG)
    asked_first = {"/login": ["GET"]}.get(path, [])  # the form is what is spoilt, not its page
    proxy = proxied(
        lambda asked: fault if path in asked.path and asked.method not in asked_first else None
    )
    with pytest.raises(ProbunetError) as caught:
        fetch(tmp_path, proxy.url, retries=1)
    assert_no_secret(site, f"{caught.value!s} {caught.value!r} {vars(caught.value)}")
    assert_no_secret(site, with_variables(caught.value))
    assert "POST /login" in caplog.text or path == "/login"  # the log is that of all libraries
    assert_no_secret(site, caplog.text)
    assert_no_secret(site, "".join(capfd.readouterr()))
    assert_no_secret(site, all_text(tmp_path))


def with_variables(error: BaseException) -> str:
    """An error as some handlers print it, with all variables from `fetch_official` on."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code is not fetch_official.__code__:
        trace = trace.tb_next
    assert trace is not None
    told = traceback.TracebackException(type(error), error, trace, capture_locals=True)
    return "".join(told.format())


def test_no_secret_is_kept(
    proxied: Callable[..., Proxy],
    site: Site,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    proxy = proxied(None)
    fetch(tmp_path, proxy.url)
    assert "POST /login" in caplog.text
    assert_no_secret(site, caplog.text)
    assert_no_secret(site, "".join(capfd.readouterr()))
    assert_no_secret(site, all_text(tmp_path))
    assert_no_secret(site, " ".join(site.addresses))
    assert [asked.path for asked in proxy.asked if asked.method == "POST"] == ["/login"]


def test_no_secret_in_the_list_of_processes(site: Site, tmp_path: Path) -> None:
    site.pause = 0.02
    raw = tmp_path / "raw"
    code = (
        "import logging, sys; from pathlib import Path\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from probunet.fetch.cityscapes_download import fetch_official\n"
        f"fetch_official(Path({str(raw / 'cityscapes')!r}), Path({str(raw / 'm.json')!r}),"
        f" None, {site.url!r}, 1)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    seen = ""
    while process.poll() is None:
        seen += subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True).stdout
        seen += Path(f"/proc/{process.pid}/cmdline").read_text(errors="replace")
        seen += all_text(raw) if raw.exists() else ""
    told = process.communicate()[0]
    assert process.returncode == 0
    assert "fetch_official" in seen  # it was looked at while it ran
    assert "POST /login" in told
    assert_no_secret(site, seen + told)
