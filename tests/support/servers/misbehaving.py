"""An HTTP proxy before a server, which misbehaves as it is told and keeps a record.

By itself it makes the server behind it answer ranges as Amazon does: rclone sends the part that
was asked for with Content-Range, yet with status 200.
"""

# ruff: noqa: N802 (do_GET and the like)

import http.client
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from .serving import Handler, serving

_PIECE = 2**14


@dataclass(frozen=True)
class Fault:
    """What is done to an answer; several at once are possible."""

    cut: int | None = None  # the connection ends after so many bytes of the body
    reset: bool = False  # the cut is a reset, not an orderly end
    status: int | None = None  # answered in place of the server
    body: bytes = b""  # that of `status`
    headers: Mapping[str, str] = field(default_factory=dict)  # put over the answer's own
    without: tuple[str, ...] = ()  # headers that are left out
    stall: float = 0.0  # seconds
    stall_after: int | None = None  # bytes of the body before the stall; None: before the head
    whole: bool = False  # Range is ignored: 200 and everything
    as_rclone: bool = False  # 200 with Content-Range, as it comes
    chunked: bool = False  # no Content-Length
    truncated: int | None = None  # the object has but so many bytes, and all headers say so
    swapped: str | None = None  # the path of the object that is sent instead


@dataclass
class Asked:
    """A request, and what was sent of the answer's body."""

    number: int
    method: str
    path: str  # with the query; the whole address if the client takes this for its proxy
    headers: Mapping[str, str]
    sent: int = 0

    @property
    def range(self) -> tuple[int, int | None] | None:
        """First byte and the one behind the last, as asked for."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found is None:
            return None
        return int(found[1]), int(found[2]) + 1 if found[2] else None


# the fault of a request, if any
Plan = Callable[[Asked], Fault | None]


def times(count: int, fault: Fault, path: str = "") -> Plan:
    """Return the plan of a fault that happens to the first so many requests for such paths."""
    lock, left = threading.Lock(), [count]

    def plan(asked: Asked) -> Fault | None:
        with lock:
            if path not in asked.path or not left[0]:
                return None
            left[0] -= 1
        return fault

    return plan


class Proxy:
    """The record, and the plan, which can be changed at any time."""

    def __init__(self, upstream: str, plan: Plan | None = None) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.plan = plan
        self.asked: list[Asked] = []
        self.connections = 0  # made so far
        self.most_at_once = 0  # requests
        self.url = ""
        self.stopped = threading.Event()
        self.lock = threading.Lock()
        self.at_once = 0

    @property
    def sent(self) -> int:
        """Bytes of bodies so far."""
        return sum(asked.sent for asked in self.asked)

    def of(self, path: str) -> list[Asked]:
        """Return the requests for paths with this in them."""
        return [asked for asked in self.asked if path in asked.path]


@contextmanager
def misbehaving(upstream: str, plan: Plan | None = None) -> Iterator[Proxy]:
    """Yield a proxy before `upstream`, http://host:port, on a free port of this machine."""
    proxy = Proxy(upstream, plan)

    class OfProxy(_Handler):
        asked_of = proxy

    with serving(OfProxy) as proxy.url:
        try:
            yield proxy
        finally:
            proxy.stopped.set()


class _Handler(Handler):
    asked_of: Proxy

    def setup(self) -> None:
        super().setup()
        with self.asked_of.lock:
            self.asked_of.connections += 1

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        proxy = self.asked_of
        with proxy.lock:
            asked = Asked(len(proxy.asked), self.command, self.path, dict(self.headers))
            proxy.asked.append(asked)
            proxy.at_once += 1
            proxy.most_at_once = max(proxy.most_at_once, proxy.at_once)
        try:
            fault = (proxy.plan and proxy.plan(asked)) or Fault()
            status, headers, body = self._from_upstream(asked, fault)
            other = {key.lower() for key in (*fault.without, *fault.headers)}
            headers = {key: value for key, value in headers.items() if key.lower() not in other}
            headers.update(fault.headers)
            self._send(asked, fault, status, headers, body)
        finally:
            with proxy.lock:
                proxy.at_once -= 1

    def _from_upstream(self, asked: Asked, fault: Fault) -> tuple[int, dict[str, str], bytes]:
        form = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if fault.status is not None:
            return fault.status, {"Content-Length": str(len(fault.body))}, fault.body
        address = urlsplit(asked.path)
        path = fault.swapped or address.path + (f"?{address.query}" if address.query else "")
        passed = dict(asked.headers)
        passed.pop("Host", None)
        own_range = fault.whole or fault.truncated is not None
        if own_range:
            passed.pop("Range", None)
        connection = http.client.HTTPConnection(self.asked_of.upstream, timeout=60)
        try:
            connection.request(asked.method, path, form or None, passed)
            response = connection.getresponse()
            status, headers = response.status, dict(response.getheaders())
            body = response.read()
        finally:
            connection.close()
        for name in ("Connection", "Date", "Server", "Transfer-Encoding"):
            headers.pop(name, None)
        if fault.truncated is not None:
            status, headers, body = _part(asked, headers, body[: fault.truncated], fault.whole)
        elif fault.whole:
            headers.pop("Accept-Ranges", None)
        elif "Content-Range" in headers and status == 200 and not fault.as_rclone:
            status = 206
        if asked.method != "HEAD":
            headers["Content-Length"] = str(len(body))
        return status, headers, body

    def _send(
        self, asked: Asked, fault: Fault, status: int, headers: Mapping[str, str], body: bytes
    ) -> None:
        if fault.stall and fault.stall_after is None:
            self.asked_of.stopped.wait(fault.stall)
        self.send_response(status)
        for key, value in headers.items():
            if not (fault.chunked and key == "Content-Length"):
                self.send_header(key, value)
        if fault.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if asked.method == "HEAD":
            return
        end = len(body) if fault.cut is None else min(len(body), fault.cut)
        at = 0
        while at < end:
            stop = min(end, at + _PIECE)
            if fault.stall_after is not None and at <= fault.stall_after < stop:
                stop = max(at + 1, fault.stall_after)
            piece = body[at:stop]
            asked.sent += len(piece)  # first: who has read it may look
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if fault.chunked else piece)
            at = stop
            if fault.stall and fault.stall_after is not None and at == max(1, fault.stall_after):
                self.asked_of.stopped.wait(fault.stall)
        if fault.cut is not None:
            self._cut(fault.reset)
        elif fault.chunked:
            self.wfile.write(b"0\r\n\r\n")

    def _cut(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
        else:
            self.connection.shutdown(socket.SHUT_RDWR)


def _part(
    asked: Asked, headers: dict[str, str], body: bytes, whole: bool
) -> tuple[int, dict[str, str], bytes]:
    """Return the answer of a server whose object has just this body."""
    headers = {key: value for key, value in headers.items() if key != "Content-Range"}
    if asked.range is None or whole:
        return 200, headers, body
    first, last = asked.range
    if first >= len(body):
        return 416, headers | {"Content-Range": f"bytes */{len(body)}"}, b""
    part = body[first:last]
    told = f"bytes {first}-{first + len(part) - 1}/{len(body)}"
    return 206, headers | {"Content-Range": told}, part
