import errno
import logging
import os
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch import http
from probunet.fetch.http import Client, StatusError
from support.servers.misbehaving import Asked, Fault, Plan, Proxy, misbehaving, times
from support.servers.s3 import BUCKET, s3_server
from support.servers.serving import Handler, serving

LENGTH = 700_001  # more than two of Client's pieces
DATA = random.Random(0).randbytes(LENGTH)
OTHER = random.Random(1).randbytes(LENGTH)  # of the same length
Proxied = Callable[..., Proxy]


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    folder = tmp_path_factory.mktemp("http") / "buckets"
    (folder / BUCKET).mkdir(parents=True)
    for name, data in {"a": DATA, "b": OTHER, "short": DATA[:100], "empty": b""}.items():
        (folder / BUCKET / name).write_bytes(data)
    with s3_server(folder) as url:
        yield url


@pytest.fixture
def proxied(upstream):
    """Start the server that misbehaves; its plan can be changed later."""
    with misbehaving(upstream) as proxy:

        def start(plan: Plan | None = None) -> Proxy:
            proxy.plan = plan
            return proxy

        yield start


def client(**settings: Any) -> Client:
    return Client(Fetch(**{"retries": 3, "timeout": 5, **settings}))


def address(server: Proxy | str, name: str = "a") -> str:
    return f"{server.url if isinstance(server, Proxy) else server}/{BUCKET}/{name}"


def received(
    server: Proxy | str, first: int = 0, last: int | None = None, **settings: Any
) -> bytes:
    with client(**settings) as asking:
        return asking.get(address(server), first, last).data


def saved(server: Proxy, folder: Path, **settings: Any) -> bytes:
    with client(**settings) as asking:
        asking.save(address(server), folder / "part")
    return (folder / "part").read_bytes()


def first_asked(proxy: Proxy) -> list[int]:
    return [asked.range[0] if asked.range else 0 for asked in proxy.asked]


# ---- ranges -------------------------------------------------------------------------------------

SPANS = [(0, None), (0, 4096), (0, LENGTH), (5, 6), (1000, None), (LENGTH - 1, None), (9, 10**9)]


@pytest.mark.parametrize("fault", [Fault(), Fault(as_rclone=True), Fault(whole=True)])
@pytest.mark.parametrize(("first", "last"), SPANS)
def test_the_part_that_was_asked_for(proxied, fault, first, last):
    proxy = proxied(lambda asked: fault)
    with client() as asking:
        body = asking.get(address(proxy), first, last)
    assert (body.data, body.first, body.total) == (DATA[first:last], first, LENGTH)
    assert body.headers["ETag"]
    assert len(proxy.asked) == 1
    assert asking.ranges_ignored == (fault.whole and (first, last) != (0, None))


def test_a_header_costs_its_own_bytes(proxied):
    proxy = proxied()
    with client() as asking:
        asking.get(address(proxy), 0, 4096)
    assert proxy.sent == asking.received == 4096


@pytest.mark.parametrize("name", ["short", "empty"])
@pytest.mark.parametrize("fault", [Fault(), Fault(whole=True)])
def test_a_part_behind_the_end_is_empty(proxied, name, fault):
    proxy = proxied(lambda asked: fault)
    with client() as asking:
        assert asking.get(address(proxy, name), 101, 300).data == b""


def test_a_range_of_an_empty_file(proxied):
    proxy = proxied(lambda asked: Fault(truncated=0))
    with client() as asking:
        body = asking.get(address(proxy), 0, 4096)
    assert (body.data, body.total) == (b"", 0)


def test_ignored_ranges_are_logged_once(proxied, caplog):
    proxy = proxied(lambda asked: Fault(whole=True))
    with client() as asking:
        for first in (0, 10, 20):
            assert asking.get(address(proxy), first, first + 7).data == DATA[first : first + 7]
    told = [record for record in caplog.records if "ignores ranges" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING]
    assert "works" in told[0].message


def test_a_part_without_its_place_is_refused(proxied, waits):
    proxy = proxied(lambda asked: Fault(without=("Content-Range",)))
    with client() as asking, pytest.raises(ProbunetError, match="does not say which"):
        asking.get(address(proxy), 100, 200)


def test_another_part_than_the_one_asked_for_is_never_taken(proxied, waits):
    wrong = Fault(headers={"Content-Range": f"bytes 300-399/{LENGTH}"})
    with client() as asking:
        with pytest.raises(ProbunetError, match="asked for byte 100, the server sends from 300 on"):
            asking.get(address(proxied(lambda asked: wrong)), 100, 200)
        assert asking.get(address(proxied(times(2, wrong))), 100, 200).data == DATA[100:200]


def test_a_part_shorter_than_its_head_says(proxied, waits):
    short = Fault(truncated=60, chunked=True, headers={"Content-Range": f"bytes 0-99/{LENGTH}"})
    assert received(proxied(times(1, short)), 0, 100) == DATA[:100]
    assert len(waits) == 1


# ---- cuts ---------------------------------------------------------------------------------------


def cuts(seed: int) -> Plan:
    """The plan of two connections that are cut at random bytes."""
    drawn = random.Random(seed)
    faults = [Fault(cut=drawn.randrange(LENGTH), chunked=drawn.random() < 0.3) for _ in range(2)]
    return lambda asked: faults[asked.number] if asked.number < len(faults) else None


@pytest.mark.parametrize("seed", range(50))
def test_a_cut_at_a_random_byte(proxied, waits, tmp_path, seed):
    drawn = random.Random(-seed)
    first = drawn.choice([0, drawn.randrange(LENGTH)])
    last = drawn.choice([None, drawn.randrange(first, LENGTH) + 1])
    proxy = proxied(cuts(seed))
    with client() as asking:
        assert asking.get(address(proxy), first, last).data == DATA[first:last]
        assert len(waits) <= 2
        assert proxy.sent == asking.received == len(DATA[first:last])  # no byte twice
        proxy.asked.clear()
        asking.save(address(proxy), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA
    assert proxy.sent == LENGTH
    sent = [asked.sent for asked in proxy.asked]
    assert first_asked(proxy) == [sum(sent[:number]) for number in range(len(sent))]


@pytest.mark.parametrize("fault", [Fault(cut=300_000, reset=True), Fault(cut=0), Fault(cut=1)])
def test_other_cuts(proxied, waits, tmp_path, fault):
    proxy = proxied(times(1, fault))
    assert saved(proxy, tmp_path) == DATA
    assert len(waits) == 1


def test_cuts_by_a_server_that_ignores_ranges(proxied, waits, tmp_path):
    def plan(asked: Asked) -> Fault:
        return Fault(whole=True, cut=[200_000, 100_000, 400_000, None][asked.number % 4])

    with client() as asking:
        assert asking.get(address(proxied(plan))).data == DATA
        asking.save(address(proxied(plan)), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == DATA


def test_tries_that_bring_much_are_not_counted(proxied, waits, monkeypatch):
    monkeypatch.setattr(http, "ENOUGH", 50_000)
    with client(retries=2) as asking:
        assert asking.get(address(proxied(lambda asked: Fault(cut=50_000)))).data == DATA
        with pytest.raises(ProbunetError, match=r"more expected.*given up after 3 tries"):
            asking.get(address(proxied(lambda asked: Fault(cut=40_000))))


# ---- a part that is there already ---------------------------------------------------------------


@pytest.mark.parametrize("there", [0, 1, 300_000, LENGTH - 1])
def test_what_is_there_is_not_asked_for_again(proxied, tmp_path, there):
    (tmp_path / "part").write_bytes(DATA[:there])
    proxy = proxied()
    assert saved(proxy, tmp_path) == DATA
    assert proxy.sent == LENGTH - there


@pytest.mark.parametrize("fault", [Fault(), Fault(truncated=LENGTH), Fault(whole=True)])
@pytest.mark.parametrize("there", [DATA, OTHER + b"more"])
def test_a_part_that_is_whole_or_longer_than_the_file(proxied, waits, tmp_path, fault, there):
    (tmp_path / "part").write_bytes(there)
    assert saved(proxied(lambda asked: fault), tmp_path) == DATA


def test_a_file_that_changes_between_two_tries_is_not_mixed(proxied, waits, tmp_path):
    def plan(asked: Asked) -> Fault:
        return Fault(cut=300_000) if asked.number % 3 == 0 else Fault(swapped=f"/{BUCKET}/b")

    proxy = proxied(plan)
    with client() as asking:
        assert asking.get(address(proxy)).data == OTHER
        asking.save(address(proxy), tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == OTHER


def test_a_file_that_shrinks_between_two_tries(proxied, waits):
    def plan(asked: Asked) -> Fault:
        return Fault(cut=300_000) if asked.number == 0 else Fault(truncated=200_000)

    assert received(proxied(plan)) == DATA[:200_000]


def test_a_server_can_be_asked_for_one_version(proxied, tmp_path):
    proxy = proxied(times(1, Fault(status=412)))
    with client() as asking, pytest.raises(StatusError, match="412") as error:
        asking.save(address(proxy), tmp_path / "part", headers={"If-Match": '"0"'})
    assert error.value.status == 412
    assert proxy.asked[0].headers["If-Match"] == '"0"'


# ---- answers that pass --------------------------------------------------------------------------


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_temporary_status(proxied, waits, status):
    proxy = proxied(times(3, Fault(status=status, body=b"<html>not now</html>")))
    assert received(proxy) == DATA
    assert len(waits) == 3
    for number, wait in enumerate(waits):  # doubled from try to try, and never quite the same
        assert http.FIRST_WAIT * 2**number / 2 <= wait <= http.FIRST_WAIT * 2**number


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("asked", ["7", " 7 ", None])
def test_a_server_that_says_how_long_to_wait(proxied, waits, status, asked):
    asked = asked or formatdate(time.time() + 8, usegmt=True)  # a date counts whole seconds
    proxy = proxied(times(2, Fault(status=status, headers={"Retry-After": asked})))
    assert received(proxy) == DATA
    assert len(waits) == 2
    assert all(6.5 <= wait <= 8 for wait in waits)


@pytest.mark.parametrize("asked", ["soon", "-3", ""])
def test_a_wait_that_makes_no_sense(proxied, waits, asked):
    proxy = proxied(times(1, Fault(status=503, headers={"Retry-After": asked})))
    assert received(proxy) == DATA
    assert len(waits) == 1


def test_a_wait_of_hours_is_an_error_at_once(proxied, waits):
    proxy = proxied(times(1, Fault(status=503, headers={"Retry-After": "7200"})))
    with client() as asking, pytest.raises(ProbunetError) as error:
        asking.get(address(proxy))
    for words in (address(proxy), "503", "it asks to wait 7200 s", "run the same command again"):
        assert words in str(error.value)
    assert not waits


def test_waits_do_not_grow_without_end(proxied, waits):
    with client(retries=20) as asking, pytest.raises(ProbunetError, match="after 21 tries"):
        asking.get(address(proxied(lambda asked: Fault(status=503))))
    assert len(waits) == 20
    assert max(waits) <= http.LONGEST_WAIT


# ---- answers that are final ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_is_an_error_at_once(proxied, waits, tmp_path, status):
    proxy = proxied(lambda asked: Fault(status=status))
    with client() as asking:
        for ask in (asking.get, lambda url: asking.save(url, tmp_path / "part")):
            with pytest.raises(StatusError, match=f"the server answers {status}") as error:
                ask(address(proxy))
            assert error.value.status == status
            assert address(proxy) in str(error.value)
    assert not waits
    assert len(proxy.asked) == 2
    assert not (tmp_path / "part").exists()


def test_no_such_object(upstream, waits):
    with client() as asking, pytest.raises(StatusError, match="404"):
        asking.get(address(upstream, "none"), 0, 4096)


# ---- no answer ----------------------------------------------------------------------------------


def resumable(error: "pytest.ExceptionInfo[ProbunetError]", *words: str) -> None:
    for part in (*words, "given up after", "run the same command again to continue"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stall_after", [None, 300_000])
def test_a_stall_is_a_broken_connection(proxied, waits, stall_after):
    stall = Fault(stall=10, stall_after=stall_after)
    proxy = proxied(times(1, stall))
    begun = time.monotonic()
    with client(timeout=1) as asking:
        assert asking.get(address(proxy)).data == DATA
    assert 1 <= time.monotonic() - begun < 4
    assert first_asked(proxy) == [0, stall_after or 0]
    assert asking.received == LENGTH


def test_a_stall_shorter_than_the_timeout_is_waited_for(proxied):
    proxy = proxied(times(1, Fault(stall=1.2, stall_after=300_000)))
    assert received(proxy, timeout=3) == DATA
    assert len(proxy.asked) == 1


def test_a_server_that_never_answers(proxied, waits):
    proxy = proxied(lambda asked: Fault(stall=10))
    with client(timeout=1, retries=1) as asking, pytest.raises(ProbunetError) as error:
        asking.get(address(proxy))
    resumable(error, address(proxy), "timed out", "after 2 tries")
    assert len(waits) == 1


def test_nobody_listens(waits):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/a"
        with client() as asking, pytest.raises(ProbunetError) as error:
            asking.get(url)
    resumable(error, url, "Connection refused", "after 4 tries")
    assert len(waits) == 3


def test_a_name_that_is_not_resolved(waits):
    with client() as asking, pytest.raises(ProbunetError) as error:
        asking.get("http://no-such-host.invalid/a")
    resumable(error, "no-such-host.invalid", "ame")


@pytest.mark.parametrize("url", ["s3.example.org/a", "s3://bucket/a", "http://", "http://a:b/c"])
def test_an_address_that_is_none(url, waits):
    with (
        client() as asking,
        pytest.raises(ProbunetError, match="invalid address or proxy") as error,
    ):
        asking.get(url)
    assert url in str(error.value)
    assert not waits


@pytest.fixture
def hangs_up():
    """The port of a server that ends each connection as soon as the client has spoken."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(2**16)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_hangs_up(hangs_up, waits, scheme):
    with client() as asking, pytest.raises(ProbunetError) as error:
        asking.get(f"{scheme}://127.0.0.1:{hangs_up}/a")
    resumable(error)
    assert "certificate" not in str(error.value)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_certificate_that_is_not_trusted(tmp_path, waits):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=localhost", "-keyout", "key.pem", "-out", "certificate.pem"],
        cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "certificate.pem", tmp_path / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection, pytest.raises((ssl.SSLError, OSError)):
                context.wrap_socket(connection, server_side=True)

        thread = threading.Thread(target=serve)
        thread.start()
        url = f"https://localhost:{listening.getsockname()[1]}/a"
        with client() as asking, pytest.raises(ProbunetError, match="is not trusted") as error:
            asking.get(url)
        thread.join()
    assert "REQUESTS_CA_BUNDLE" in str(error.value)
    assert not waits


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_certificates_that_are_not_there(monkeypatch, name):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(name, "/none/bundle.pem")
    with pytest.raises(ProbunetError, match=rf"^/none/bundle.pem: no such.*{name}"):
        client()


@pytest.mark.parametrize("fault", [Fault(status=503, headers={"Retry-After": "300"}), Fault()])
def test_no_thread_goes_on_when_all_is_to_stop(proxied, fault):
    begun = time.monotonic()
    with client(megabytes_per_second=1) as asking, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(asking.get, address(proxied(lambda asked: fault)))
        time.sleep(0.2)
        asking.stop()
        with pytest.raises(ProbunetError, match="stopped; run the same command again"):
            waiting.result()
        with pytest.raises(ProbunetError, match="stopped"):
            asking.get(address(proxied()))
    assert time.monotonic() - begun < 0.7  # what it would take at that rate


# ---- caps ---------------------------------------------------------------------------------------


def test_no_more_connections_than_allowed_and_all_used_again(proxied):
    proxy = proxied(lambda asked: Fault(stall=0.02))
    with client(connections=3) as asking, ThreadPoolExecutor(12) as pool:
        bodies = list(pool.map(lambda n: asking.get(address(proxy), n, n + 10), range(60)))
    assert [body.data for body in bodies] == [DATA[n : n + 10] for n in range(60)]
    assert proxy.most_at_once == 3
    assert proxy.connections == 3


def test_many_threads_stay_below_the_rate_together(proxied):
    begun = time.monotonic()
    with client(megabytes_per_second=1) as asking, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: asking.get(address(proxied()), 0, 300_000), range(5)))
    assert 1.5 <= time.monotonic() - begun < 3


def test_the_environment_names_a_proxy(proxied, upstream, monkeypatch):
    proxy = proxied()
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", proxy.url)
    assert received(upstream, 0, 10) == DATA[:10]
    assert [asked.path for asked in proxy.asked] == [address(upstream)]


# ---- disks --------------------------------------------------------------------------------------


def test_a_full_disk_is_not_the_networks_fault(proxied, waits, small_disk):
    part = small_disk("size=128k") / "part"
    with client() as asking, pytest.raises(ProbunetError, match="disk or quota is full") as told:
        asking.save(address(proxied()), part)
    assert str(part) in str(told.value)
    assert len(part.read_bytes()) > 100_000
    assert DATA.startswith(part.read_bytes())
    assert not waits


@pytest.mark.parametrize(
    "fault", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EIO]
)
def test_a_part_that_cannot_be_written(proxied, waits, tmp_path, monkeypatch, fault):
    def refuse(*_: object) -> None:
        raise OSError(fault, os.strerror(fault))

    monkeypatch.setattr(http.os, "fsync", refuse)
    with client() as asking, pytest.raises(ProbunetError, match=r"full|cannot be written") as told:
        asking.save(address(proxied()), tmp_path / "part")
    assert str(tmp_path / "part") in str(told.value)
    assert not waits


def test_a_folder_that_is_a_file(proxied, tmp_path):
    (tmp_path / "folder").touch()
    with client() as asking, pytest.raises(ProbunetError, match="cannot be written"):
        asking.save(address(proxied()), tmp_path / "folder" / "part")


@pytest.mark.parametrize("status", [200, 302])
def test_answers_without_an_end_are_not_read_to_it(status):
    sent = [0]

    class Endless(Handler):
        protocol_version = "HTTP/1.0"

        def do_GET(self) -> None:  # noqa: N802
            self.send_response(status)
            self.send_header("Location", "/elsewhere")
            self.end_headers()
            while sent[0] < 10**9:  # where a client without a limit ends
                sent[0] += self.wfile.write(bytes(2**16))

        do_POST = do_GET  # noqa: N815

    with serving(Endless) as url, client(retries=0) as asking:
        with pytest.raises(ProbunetError, match=r"more than 4,194,304 bytes|redirects"):
            asking.get(f"{url}/page")
        assert asking.post(f"{url}/login", {"a": "b"}).status_code == status
    assert sent[0] < 5 * 10**8  # nearly all of it is in the buffers of the system
