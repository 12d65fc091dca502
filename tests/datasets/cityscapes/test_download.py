import base64
import hashlib
import io
import json
import logging
import multiprocessing
import random
import shutil
import signal
import subprocess
import sys
import time
import traceback
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from probunet.config import Fetch
from probunet.datasets.cityscapes import download as cityscapes_download
from probunet.datasets.cityscapes.download import PACKAGES, check_login, fetch_official
from probunet.datasets.cityscapes.manifest import SceneManifest
from probunet.errors import ProbunetError
from probunet.files import locked
from support.folders import files_of
from support.scene_trees import write_scene
from support.servers.cityscapes import Site, cityscapes_site
from support.servers.misbehaving import Asked, Fault, Plan, Proxy, misbehaving, times

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
def needed(tmp_path_factory):
    tree = tmp_path_factory.mktemp("needed")
    for scene in SCENES:
        write_scene(tree, *scene)
    return tree


@pytest.fixture(scope="module")
def packages(needed, tmp_path_factory):
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
def site(packages, monkeypatch):
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
def proxied(site):
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


def assert_whole(raw: Path, needed: Path) -> None:
    """All that is needed has come, byte for byte, and no zip is left."""
    there = files_of(raw / "cityscapes")
    licence = {name: LICENCE_TEXT.encode() for name in ("README", "license.txt")}
    records = {f".{name}.json" for name in PACKAGES}
    assert {name: there[name] for name in there.keys() - records} == files_of(needed) | licence
    assert records <= there.keys()
    manifest = SceneManifest.read(raw / "cityscapes.manifest.json")
    assert (manifest.source, manifest.left_out) == ("official", ())
    listed = [(scene.city, scene.frame) for scene in manifest.scenes]
    assert listed == sorted((city, frame) for _, city, frame in SCENES)


@pytest.fixture
def fetch_whole(tmp_path, needed):
    """Fetch into `tmp_path`, whole; return the manifest."""

    def fetching(url: str, **settings: Any) -> SceneManifest:
        manifest = fetch(tmp_path, url, **settings)
        assert_whole(tmp_path, needed)
        return manifest

    return fetching


def of_zips(proxy: Proxy) -> list[Asked]:
    """The requests for zips, without those that look at their first bytes."""
    return [asked for asked in proxy.of(ZIPS) if asked.headers.get("Range") != "bytes=0-3"]


# ---- what comes ---------------------------------------------------------------------------------


def test_just_what_is_needed(site, fetch_whole, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    manifest = fetch_whole(site.url)
    assert (manifest.dataset, manifest.synthetic) == ("cityscapes", False)
    written = json.loads((tmp_path / "cityscapes.manifest.json").read_text())
    assert written["root"] == "cityscapes"  # so that all can be moved
    licence = (tmp_path / "cityscapes.LICENCE.txt").read_text()
    assert "www.cityscapes-dataset.com/license" in licence
    assert LICENCE_TEXT in licence
    assert any("Cityscapes: 2 objects" in line for line in caplog.messages)


def test_path_with_spaces_and_letters(site, needed, tmp_path):
    fetch(tmp_path / "Straßen und Plätze/данные", site.url)
    assert_whole(tmp_path / "Straßen und Plätze/данные", needed)


def test_the_next_run_asks_for_nothing(site, needed, tmp_path, monkeypatch):
    first = fetch(tmp_path, site.url)
    site.addresses.clear()
    monkeypatch.delenv("CITYSCAPES_PASSWORD")
    (tmp_path / "cityscapes.manifest.json").unlink()
    (tmp_path / f"cityscapes/.{LABELS}.part").touch()  # stopped just ahead of its removal
    assert fetch(tmp_path, site.url) == first
    assert site.addresses == []
    assert_whole(tmp_path, needed)


def test_what_was_lost_comes_again(proxied, fetch_whole, tmp_path, caplog):
    proxy = proxied(None)
    fetch(tmp_path, proxy.url)
    proxy.asked.clear()
    lost = next((tmp_path / "cityscapes/leftImg8bit/train/ulm").iterdir())
    lost.write_bytes(lost.read_bytes()[:-1])
    fetch_whole(proxy.url)
    assert len(of_zips(proxy)) == 1
    assert f"1 of 3 files of {PICTURES} are missing or changed" in caplog.text


def test_space_is_looked_for_first(site, packages, tmp_path, monkeypatch):
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


def test_the_right_account(site):
    check(site.url)
    assert site.refused == 0


@pytest.mark.parametrize("missing", ["CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"])
@pytest.mark.parametrize("empty", [False, True])
def test_no_account(site, monkeypatch, missing, empty):
    if empty:
        monkeypatch.setenv(missing, "")
    else:
        monkeypatch.delenv(missing)
    told = r"set CITYSCAPES_USERNAME and CITYSCAPES_PASSWORD .*create one at .*/register/"
    with pytest.raises(ProbunetError, match=told):
        check(site.url)
    assert site.addresses == []


def test_the_default_address_is_the_publisher_s(monkeypatch):
    monkeypatch.delenv("CITYSCAPES_USERNAME", raising=False)
    with pytest.raises(ProbunetError, match=r"https://www.cityscapes-dataset.com/register/"):
        check_login()


@pytest.mark.parametrize("answer", [200, 401, 403])
def test_a_wrong_password_is_said_at_once(proxied, site, monkeypatch, waits, answer):
    monkeypatch.setenv("CITYSCAPES_PASSWORD", "wrong")

    def plan(asked: Asked) -> Fault | None:
        return Fault(status=answer) if asked.method == "POST" and answer != 200 else None

    proxy = proxied(plan)
    with pytest.raises(ProbunetError, match=r"the login is refused. Set CITYSCAPES_USERNAME and"):
        check(proxy.url)
    assert [asked.method for asked in proxy.asked] == ["GET", "POST"]
    assert waits == []


def test_a_wrong_password_leaves_no_data(site, tmp_path, monkeypatch):
    monkeypatch.setenv("CITYSCAPES_PASSWORD", "wrong")
    with pytest.raises(ProbunetError, match="the login is refused"):
        fetch(tmp_path, site.url)
    assert [path.name for path in tmp_path.iterdir()] == [".cityscapes.lock"]


def test_a_list_that_is_forbidden(proxied):
    proxy = proxied(times(9, Fault(status=403), "?list"))
    with pytest.raises(ProbunetError, match=r"may not download .* and .*accept the licence"):
        check(proxy.url)


NO_LICENCE = rf"may not download {PICTURES}\. Log in at .*accept the licence"
ANSWERS = {
    "unlisted": ({PICTURES}, NO_LICENCE),
    "forbidden": ({PICTURES}, NO_LICENCE),
    "list_page": (True, "not a list of packages"),
    "forgets": (True, "redirects to another page"),
    "pages": ({PICTURES}, f"not a zip of {PICTURES}"),
    "md5s": ({PICTURES: "<html>"}, f"not an MD5 of {PICTURES}"),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_an_account_may_not_download(site, tmp_path, kind):
    value, message = ANSWERS[kind]
    setattr(site, kind, value)
    with pytest.raises(ProbunetError, match=message) as told:
        check(site.url)
    assert f"{site.url}/downloads/" in str(told.value)
    with pytest.raises(ProbunetError, match=message):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "cityscapes").exists()


def test_another_site_than_cityscapes(proxied):
    proxy = proxied(times(9, Fault(status=404)))
    with pytest.raises(ProbunetError, match=rf"{proxy.url}/login: the server answers 404"):
        check(proxy.url)
    proxy.plan = lambda asked: Fault(status=404) if asked.method == "POST" else None
    with pytest.raises(ProbunetError, match=rf"{proxy.url}/login: the server answers 404"):
        check(proxy.url)


def test_passwords_travel_encrypted():
    with pytest.raises(ProbunetError, match=r"unencrypted; use an address that begins with https"):
        check("http://mirror.example.org/cityscapes")


def test_no_account_in_the_address():
    with pytest.raises(ProbunetError, match="contains a user name or password") as caught:
        check("https://reader:hidden@mirror.example.org")
    assert "hidden" not in str(caught.value)


def test_netrc_is_not_asked(site, tmp_path, monkeypatch):
    netrc = tmp_path / ".netrc"
    netrc.write_text("machine 127.0.0.1 login other password another\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    check(site.url)
    assert site.authorizations == []


def test_proxies_of_the_environment_are_used(proxied, site, monkeypatch):
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
def test_cut_at_a_random_byte(proxied, fetch_whole, packages, waits, seed):
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
    fetch_whole(proxy.url, retries=2)
    # an orderly cut loses nothing that was sent; a reset, what the system had not handed over
    once = sum(len(data) for data in packages.values())
    assert once <= sum(asked.sent for asked in of_zips(proxy)) <= once + 2 * 8000
    assert len(waits) <= 2 * 4


def test_no_byte_comes_twice(proxied, fetch_whole, packages, tmp_path, waits):
    proxy = proxied(lambda asked: Fault(cut=1500) if ZIPS in asked.path else None)
    with pytest.raises(ProbunetError, match="are kept: run the same command again to continue"):
        fetch(tmp_path, proxy.url, retries=0)
    runs = 1
    while not (tmp_path / "cityscapes.manifest.json").exists() and runs < 100:
        runs += 1
        with suppress(ProbunetError):
            fetch_whole(proxy.url, retries=0)
    assert runs > 5
    once = sum(len(data) for data in packages.values())
    assert sum(asked.sent for asked in of_zips(proxy)) == once


def test_ranges_that_are_ignored(proxied, fetch_whole, waits, caplog):
    cut = times(2, Fault(whole=True, cut=5000), ZIPS)
    proxy = proxied(
        lambda asked: (
            Fault(whole=True)
            if asked.headers.get("Range") == "bytes=0-3"
            else cut(asked) or Fault(whole=ZIPS in asked.path)
        )
    )
    fetch_whole(proxy.url)
    assert "ignores ranges" in caplog.text


@pytest.mark.parametrize("path", ["/login", "?list", "md5-sum", ZIPS])
@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_site(proxied, fetch_whole, waits, status, path):
    proxy = proxied(times(2, Fault(status=status, headers={"Retry-After": "7"}), path))
    fetch_whole(proxy.url)
    assert [round(wait, 3) for wait in waits] == [7, 7]


def test_a_stall(proxied, fetch_whole, waits):
    plan = times(1, Fault(stall=10, stall_after=3000), ZIPS)
    proxy = proxied(lambda asked: plan(asked) if asked.headers.get("Range") is None else None)
    fetch_whole(proxy.url, timeout=1)
    assert len(waits) == 1


@pytest.mark.parametrize("step", ["GET", "POST"])
def test_a_site_that_is_down(proxied, waits, step):
    proxy = proxied(lambda asked: Fault(status=503) if asked.method == step else None)
    with pytest.raises(ProbunetError, match=r"/login: .*503.* given up after 4 tries"):
        check(proxy.url)
    assert len(waits) == 3


def test_nobody_listens(site, waits):
    with pytest.raises(ProbunetError, match=r"localhost:1/login: .*given up after 4 tries"):
        check("http://localhost:1")


def test_ranges_that_are_refused(proxied, packages, tmp_path, waits):
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
    with pytest.raises(ProbunetError, match=r"nothing from byte 100 of .* remove .*\.part"):
        fetch(tmp_path, proxy.url)


# ---- logins that end ----------------------------------------------------------------------------


@pytest.mark.parametrize("to_page", [False, True])
def test_a_login_that_expires(
    site, fetch_whole, packages, waits, monkeypatch, caplog, capfd, to_page
):
    caplog.set_level(logging.DEBUG)
    site.expires_after, site.expires_to_page = 3000, to_page
    monkeypatch.setattr(cityscapes_download, "ENOUGH", 2000)
    fetch_whole(site.url, connections=1)  # which must be free again for each login
    logins = sum(len(data) for data in packages.values()) // 3000 + 1
    assert logins <= len(site.ever) <= logins + 1
    assert site.stale == 0
    assert_no_secret(site, caplog.text + "".join(capfd.readouterr()))


@pytest.mark.parametrize("to_page", [False, True])
def test_logins_that_expire_at_once(site, packages, tmp_path, waits, to_page):
    site.expires_after, site.expires_to_page = 3000, to_page
    told = "A new login did not help. The files received so far are kept"
    with pytest.raises(ProbunetError, match=told):
        fetch(tmp_path, site.url)
    part = tmp_path / f"cityscapes/.{LABELS}.part"
    assert packages[LABELS].startswith(part.read_bytes())
    assert part.stat().st_size > 3000  # what both logins brought; no page is in it
    assert len(site.ever) == 2


# ---- what is not the publisher's file -----------------------------------------------------------


def test_damaged_once(site, fetch_whole, caplog):
    site.damaged[PICTURES] = 1
    fetch_whole(site.url)
    assert f"{PICTURES}: differs from the publisher's MD5; downloading it again" in caplog.text


def test_damaged_always(site, tmp_path):
    site.md5s[PICTURES] = hashlib.md5(b"something else").hexdigest()
    with pytest.raises(ProbunetError, match=rf"{PICTURES} was downloaded twice, and its MD5"):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "cityscapes/leftImg8bit").exists()
    assert not (tmp_path / f"cityscapes/.{PICTURES}.part").exists()
    assert (tmp_path / "cityscapes/gtFine").exists()  # the other one has come well


@pytest.mark.parametrize("longer", [-10, 0, 10])
def test_a_part_of_another_file(site, fetch_whole, packages, tmp_path, waits, longer):
    (tmp_path / "cityscapes").mkdir()
    part = tmp_path / f"cityscapes/.{LABELS}.part"
    part.write_bytes(bytes(len(packages[LABELS]) + longer))
    fetch_whole(site.url)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["gtFine/train/a/b_gtFine_labelIds.png", "../outside"], "would lie outside"),
        (["gtFine/test/a/b_gtFine_labelIds.png"], "holds no file of gtFine/train or /val"),
    ],
)
def test_zips_that_are_not_the_publisher_s(site, tmp_path, names, message):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name in names:
            file.writestr(name, b"x")
    site.packages[LABELS] = data.getvalue()
    with pytest.raises(ProbunetError, match=message):
        fetch(tmp_path, site.url)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "cityscapes/gtFine").exists()


# ---- disks, and others that write ---------------------------------------------------------------


def test_a_small_disk_is_an_error_before_the_download(site, small_disk):
    disk = small_disk("size=16k")
    with pytest.raises(ProbunetError, match=r" GB more, and the disk has"):
        fetch(disk, site.url)
    assert list((disk / "cityscapes").iterdir()) == []


def test_a_disk_that_fills_up(site, needed, small_disk, monkeypatch):
    disk = small_disk("size=32k")
    monkeypatch.setattr(cityscapes_download, "check_space", lambda *_: None)
    with pytest.raises(ProbunetError, match=r"the disk or quota is full"):
        fetch(disk, site.url)
    subprocess.run(["mount", "-o", "remount,size=1m", str(disk)], check=True)
    fetch(disk, site.url)
    assert_whole(disk, needed)


def test_a_folder_that_cannot_be_written(site, small_disk):
    disk = small_disk("ro")
    with pytest.raises(ProbunetError, match=r"cityscapes: cannot be written \(Read-only"):
        fetch(disk, site.url)
    assert site.addresses == []


def test_two_writers_are_kept_apart(site, tmp_path):
    with (
        locked(tmp_path / "cityscapes"),
        pytest.raises(ProbunetError, match="another process is writing"),
    ):
        fetch(tmp_path, site.url)
    assert site.addresses == []


@pytest.mark.slow
def test_killed_at_random_moments(site, needed, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["probunet.datasets.cityscapes.download"])
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
    there = files_of(folder)
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
def test_no_error_contains_a_secret(proxied, site, tmp_path, waits, caplog, capfd, path, fault):
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


def test_no_secret_is_kept(proxied, site, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    proxy = proxied(None)
    fetch(tmp_path, proxy.url)
    assert "POST /login" in caplog.text
    assert_no_secret(site, caplog.text)
    assert_no_secret(site, "".join(capfd.readouterr()))
    assert_no_secret(site, all_text(tmp_path))
    assert_no_secret(site, " ".join(site.addresses))
    assert [asked.path for asked in proxy.asked if asked.method == "POST"] == ["/login"]


def test_no_secret_in_the_list_of_processes(site, tmp_path):
    site.pause = 0.02
    raw = tmp_path / "raw"
    code = (
        "import logging, sys; from pathlib import Path\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from probunet.datasets.cityscapes.download import fetch_official\n"
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
