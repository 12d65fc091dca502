"""What is foreign in a message stays on its line, and does nothing to a terminal."""

import logging
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from probunet.cli import _Printable
from probunet.config import Fetch
from probunet.errors import ProbunetError, printable, printable_lines
from probunet.fetch.http import Client, StatusError
from probunet.job import read_jobs
from probunet.workflow.failures import describe_failures
from support.commands import PROBUNET, settings_of
from support.own_images import write_picture, write_table

FORGED = 'job {"event": "start", "id": "f", "command": "train", "host": "forged", "version": "1"}'
_GREY = np.arange(16 * 8, dtype=np.uint8).reshape(16, 8)
NASTY = ["a\nb", "a\rb", "\x1b[2Ja", "\x9b2J", "a\x00", "a\u2028b", "\u202eb", "\x85", "a\udcffb"]


@pytest.mark.parametrize("text", NASTY)
def test_control_characters_are_escaped(text: str) -> None:
    shown = printable(text)
    assert len(shown.splitlines()) == 1
    assert shown.isprintable()
    assert printable(shown) == shown
    assert str(ProbunetError(f"{text}: bad")) == f"{shown}: bad"


@pytest.mark.parametrize("text", ["Größe", "患者 1", "β = 1", "a\N{NO-BREAK SPACE}b", "\U0001f600"])
def test_letters_of_all_languages_stay(text: str) -> None:
    assert printable(text) == text


def test_a_megabyte_is_cut() -> None:
    said = str(ProbunetError("a" * 2**20))
    assert len(said) < 5_000
    assert said.endswith("(1044576 more characters)")


def test_lines_of_our_own_stay_lines() -> None:
    error = ProbunetError("first", "second\nforged")
    assert str(error).split("\n") == ["first", r"second\nforged"]
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert printable_lines("a\nb\x1b") == "a\nb\\x1b"


def _answer(reason: bytes) -> str:
    """Start a server that answers each request with this reason phrase; return its address."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listening:
            taken, _ = listening.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(b"HTTP/1.1 403 " + reason + b"\r\nContent-Length: 0\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listening.getsockname()[1]}/"


def test_a_server_s_reason_phrase_is_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(StatusError) as error:
        Client(Fetch(retries=0)).get(_answer(b"No\x1b]0;owned\x07\x9b31m"))
    assert str(error.value).isprintable()
    assert r"403 No\x1b]0;owned\x07" in str(error.value)


def _fetch(folder: Path, log: Path, *, name: str, **environment: str) -> int:
    """Fetch a folder with one image of this name, and one more whose mask is missing."""
    good, mask = (
        write_picture(folder / "i/a.png", _GREY),
        write_picture(folder / "i/m.png", _GREY > 99),
    )
    other = write_picture(folder / "i/b.png", _GREY + 1)
    write_table(folder, [[good, "P1", mask], [other, "P2", name]])
    settings = settings_of("mine", source="folder", path=str(folder))
    words = ["fetch", "--dataset", "mine", "--settings", settings, "--manifest"]
    with log.open("w") as stderr:
        done = subprocess.run(
            [*PROBUNET, *words, str(folder / "mine.json")],
            stderr=stderr,
            env=os.environ | environment,
        )
    return done.returncode


@pytest.mark.parametrize("suffix", [".log", ".txt"])
def test_a_name_forges_no_job(tmp_path: Path, suffix: str) -> None:
    log = tmp_path / f"fetch{suffix}"
    folder = tmp_path / "images"
    folder.mkdir()
    assert _fetch(folder, log, name=f"x\n{FORGED}\n\x1b[2J.png") == 0
    text = log.read_text()
    assert "\x1b" not in text
    assert not any(line.startswith(FORGED[:20]) and "forged" in line for line in text.split("\n"))
    assert "left out: x\\njob {" in text
    assert [job.command for job in read_jobs(log)] == ["fetch"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where stderr goes to")
def test_jobs_are_read_from_the_file_of_tries_alone(tmp_path: Path) -> None:
    folder, log = tmp_path / "images", tmp_path / "fetch.log"
    folder.mkdir()
    assert _fetch(folder, log, name="absent.png") == 0
    with log.open("a") as file:
        file.write(FORGED[:-1] + ', "started": "2026-11-22T10:00:00+00:00"}\n')
    assert [job.host for job in read_jobs(log)] == [socket.gethostname()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells where stderr goes to")
def test_file_of_tries_is_no_link(tmp_path: Path) -> None:
    folder, log, victim = tmp_path / "images", tmp_path / "fetch.log", tmp_path / "victim"
    folder.mkdir()
    victim.write_text("precious")
    log.with_suffix(".tries").symlink_to(victim)
    assert _fetch(folder, log, name="absent.png") == 0
    assert victim.read_text() == "precious"
    assert "fetch.tries: is a link" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_records_of_wrong_types_are_left_out(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    whole = FORGED[:-1] + ', "commit": null, "started": "now"'
    log.write_text(f'{whole}, "seconds": "many"}}\n{whole.replace("forged", "node1")}}}\n')
    assert read_jobs(log) == []  # both have one id
    log.write_text(f"{whole}}}\n")
    assert [job.host for job in read_jobs(log)] == ["forged"]


def test_what_a_log_says_is_escaped_at_the_end_of_a_run(tmp_path: Path) -> None:
    log = tmp_path / "train.log"
    log.write_text("probunet: a\x1b[31m: bad\u2028job\r\n")
    assert r"a\x1b[31m: bad\u2028job" in describe_failures([("train", log)], "config.yaml")


@pytest.mark.parametrize("locale", ["C", "en_US.ISO-8859-1"])
def test_files_are_utf_8_whatever_the_locale(tmp_path: Path, locale: str) -> None:
    folder = tmp_path / "Gerät β"
    folder.mkdir()
    log = tmp_path / "fetch.log"
    plain = {"LC_ALL": locale, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    assert _fetch(folder, log, name="größe.png", **plain) == 0, log.read_text()
    content = (folder / "mine.json").read_bytes()
    assert "Gerät β".encode() in content
    assert "größe.png".encode() in content
    output = tmp_path / "mine.zarr"
    settings = settings_of("mine", source="folder", path=str(folder), on_error="skip")
    words = ["prepare", "--dataset", "mine", "--settings", settings, "--output", str(output)]
    for environment in (plain, {"LC_ALL": "C.UTF-8"}):
        shutil.rmtree(output, ignore_errors=True)
        done = subprocess.run(
            [*PROBUNET, *words, "--manifest", str(folder / "mine.json")],
            env=os.environ | environment,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert output.exists()


def test_names_that_are_not_utf_8_are_one_line(tmp_path: Path) -> None:
    folder, log = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "fetch.log"
    folder.mkdir()
    inside = folder / "images"
    picture = write_picture(inside / "i/a.png", _GREY)
    mask = write_picture(inside / "i/m.png", _GREY > 99)
    write_table(inside, [[picture, "P1", mask]])
    settings = settings_of("mine", source="folder", path="images")
    words = ["fetch", "--dataset", "mine", "--settings", settings, "--manifest", "m.json"]
    with log.open("w") as stderr:
        done = subprocess.run([*PROBUNET, *words], stderr=stderr, cwd=folder)
    said = log.read_text()
    assert done.returncode == 1
    assert "Traceback" not in said
    assert r"caf\udce9/images: a name with bytes that are not UTF-8; rename" in said


def test_messages_of_the_log_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    record = logging.LogRecord("probunet", logging.INFO, "", 0, "%s: %s", ("a\nb", "c"), None)
    assert _Printable("%(message)s").format(record) == r"a\nb: c"
