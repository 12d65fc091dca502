"""A server on this machine that answers as The Cancer Imaging Archive does, or worse.

As the archive's own (CBIIT/NBIA-TCIA on GitHub, V1_getImageWithMD5Hash.java) it makes a zip while
it sends it: chunked, without a length, deaf to ranges, and never twice the same bytes, for its
members bear the time.
"""

import hashlib
import io
import threading
import time
import zipfile
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from .serving import Handler, serving

PATH = "/nbia-api/services/v1"
_PIECE = 2**12


@dataclass(frozen=True)
class Answer:
    """What comes instead of a series' zip."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int | None = None  # the connection ends after so many bytes of the body
    ending: Literal["chunked", "length", "close"] = "chunked"  # how the body's end is told


@dataclass
class Archive:
    """The series, and what to answer in their place: once each, or always."""

    series: dict[str, dict[str, bytes]] = field(default_factory=dict)  # by UID: names, contents
    once: dict[str, deque[Answer]] = field(default_factory=lambda: defaultdict(deque))
    always: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)  # series' UIDs
    ranges: list[str] = field(default_factory=list)  # asked for
    most_at_once: int = 0
    pause: float = 0.0  # seconds before each answer
    url: str = ""
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, uid: str) -> Answer:
        """Return the next answer for a series."""
        if waiting := self.once[uid]:
            return waiting.popleft()
        if uid in self.always:
            return self.always[uid]
        if uid not in self.series:
            return Answer(f"Image with given SeriesInstanceUID,{uid}, is not public".encode(), 400)
        return Answer(zip_of(self.series[uid], count=len(self.asked)))


def zip_of(
    files: Mapping[str, bytes], hashes: str | None = None, listed: bool = True, count: int = 0
) -> bytes:
    """Return a series' zip; `hashes` is its list of MD5s if that is not to be the right one."""
    buffer = io.BytesIO()
    stamp = time.gmtime(1_600_000_000 + 60 * count)[:6]
    members = {"LICENSE": b"CC BY 3.0", **files}
    if listed:
        members["md5hashes.csv"] = (hashes_of(files) if hashes is None else hashes).encode()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, data in members.items():
            info = zipfile.ZipInfo(name, stamp)
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, data)
    return buffer.getvalue()


def hashes_of(files: Mapping[str, bytes]) -> str:
    """Return the list of MD5s as the archive writes it."""
    rows = [f"{name},{hashlib.md5(data).hexdigest()}" for name, data in files.items()]
    return "\n".join(["Filename,MD5Hash", *rows, ""])


@contextmanager
def tcia_server(archive: Archive) -> Iterator[Archive]:
    """Serve the archive on a free port of this machine; its `url` is what a client is given."""

    class OfArchive(_Handler):
        asked_of = archive

    with serving(OfArchive) as url:
        archive.url = url + PATH
        yield archive


class _Handler(Handler):
    asked_of: Archive

    def do_GET(self) -> None:
        archive, address = self.asked_of, urlsplit(self.path)
        [uid] = parse_qs(address.query).get("SeriesInstanceUID", [""])
        with archive.lock:
            archive.at_once += 1
            archive.most_at_once = max(archive.most_at_once, archive.at_once)
            archive.asked.append(uid)
            archive.ranges += [self.headers["Range"]] if "Range" in self.headers else []
            right = address.path == f"{PATH}/getImageWithMD5Hash"
            answer = archive.answer(uid) if right else Answer(status=404)
        try:
            threading.Event().wait(archive.pause)  # tests patch time.sleep
            self._send(answer)
        finally:
            with archive.lock:
                archive.at_once -= 1

    def _send(self, answer: Answer) -> None:
        chunked = answer.ending == "chunked"
        self.send_response(answer.status)
        for key, value in answer.headers.items():
            self.send_header(key, value)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif answer.ending == "length":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        body = answer.body[: answer.cut]
        for at in range(0, len(body), _PIECE):
            piece = body[at : at + _PIECE]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        if answer.cut is not None or answer.ending == "close":
            self.close_connection = True
        elif chunked:
            self.wfile.write(b"0\r\n\r\n")
