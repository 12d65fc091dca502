"""HTTP as a download of days needs it: tried again, resumed within a file, capped, and counted.

Threads and requests, not an asynchronous client: the server's words must be heard (Retry-After,
206 or 200, ETag), which S3 libraries keep to themselves, and one layer serves all publishers.
"""

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from probunet.config import Fetch
from probunet.errors import ProbunetError

CHUNK = 2**18  # bytes read at a time
FIRST_WAIT = 0.5  # seconds before the second try, at most; doubled from try to try
LONGEST_WAIT = 60.0  # seconds
LONGEST_ASKED = 600.0  # seconds that a server may ask for (Retry-After)
ENOUGH = 2**20  # bytes that a try must bring for the tries to be counted anew

_PASSING = {408, 425, 429, 500, 502, 503, 504}  # statuses that may be others soon

_log = logging.getLogger(__name__)


class StatusError(ProbunetError):
    """An answer that is no use, and will be none on another try."""

    def __init__(self, url: str, response: requests.Response) -> None:
        self.status = response.status_code
        super().__init__(f"{url}: the server answers {self.status} {response.reason}.")


@dataclass
class Body:
    """Bytes of a file from `first` on; `total` is the whole file's length as the server tells."""

    data: bytes
    first: int
    total: int | None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Client:
    """Requests of one process to one publisher; can be used by many threads at once.

    Attributes
    ----------
    received
        Bytes of bodies so far.
    ranges_ignored
        Whether a server has sent whole files where parts were asked for.
    """

    def __init__(self, settings: Fetch, session: requests.Session | None = None) -> None:
        self.settings = settings
        self.session = session or requests.Session()
        adapter = HTTPAdapter(pool_maxsize=settings.connections, pool_block=True)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, adapter)
        self.received = 0
        self.ranges_ignored = False
        self._lock = threading.Lock()
        self._throttle = _Throttle(settings.megabytes_per_second)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.close()

    def get(
        self,
        url: str,
        first: int = 0,
        last: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Body:
        """Return a file's bytes `first` up to `last` (not included), or to its end.

        Raises
        ------
        StatusError
            If the server refuses, and would again.
        ProbunetError
            If all tries fail.
        """
        got = bytearray()
        answer: dict[str, requests.Response] = {}

        def one_try() -> Iterator[int]:
            with self._ask(url, first + len(got), last, headers) as response:
                answer["last"] = response
                for piece in self._pieces(response, first + len(got), last):
                    got.extend(piece)
                    yield len(piece)

        self._until_done(url, one_try)
        response = answer["last"]
        return Body(bytes(got), first, _total(response), response.headers)

    def save(self, url: str, part: Path, headers: Mapping[str, str] | None = None) -> None:
        """Append to `part` what it lacks of a file; what is there already is not asked for again.

        Raises
        ------
        StatusError
            If the server refuses, and would again.
        ProbunetError
            If all tries fail. What has come by then stays in `part`.
        """

        def one_try() -> Iterator[int]:
            there = part.stat().st_size if part.exists() else 0
            with self._ask(url, there, None, headers) as response, part.open("ab") as file:
                if response.status_code == 416:  # nothing lies behind what is there
                    if _total(response) not in (None, there):
                        part.unlink()  # more than the file has: not of this file
                        raise _CutError("the part is longer than the file")
                    return
                for piece in self._pieces(response, there, None):
                    file.write(piece)
                    yield len(piece)
                file.flush()
                os.fsync(file.fileno())

        part.parent.mkdir(parents=True, exist_ok=True)
        self._until_done(url, one_try)

    def _ask(
        self, url: str, first: int, last: int | None, headers: Mapping[str, str] | None
    ) -> requests.Response:
        """Return an answer whose body is still to be read."""
        asked = {"Accept-Encoding": "identity", **(headers or {})}
        if first or last is not None:
            asked["Range"] = f"bytes={first}-{'' if last is None else last - 1}"
        timeout = self.settings.timeout
        response = self.session.get(url, headers=asked, stream=True, timeout=timeout)
        if response.ok or (response.status_code == 416 and first):
            return response
        response.close()
        if response.status_code in _PASSING:
            raise _PassingError(response)
        raise StatusError(url, response)

    def _pieces(self, response: requests.Response, first: int, last: int | None) -> Iterator[bytes]:
        """Yield the body from byte `first` up to `last` of the file; the body may begin before."""
        start = _start(response)
        if start != first and start != 0:
            raise _CutError(f"asked for byte {first}, the server sends from {start} on")
        length = response.headers.get("Content-Length")
        end = None if length is None else start + int(length)
        wanted = end if last is None else last if end is None else min(last, end)
        if (first or last is not None) and start == 0 and (end is None or end > (last or 0)):
            self._tell_of_ranges(response.url)
        at = start
        while wanted is None or at < wanted:
            size = CHUNK if wanted is None else min(CHUNK, wanted - at)
            self._throttle.take(size)
            piece = response.raw.read(size, decode_content=False)
            if not piece:
                break
            with self._lock:
                self.received += len(piece)
            yield piece[max(0, first - at) :]
            at += len(piece)
        if wanted is not None and at < wanted:
            raise _CutError(f"the connection ended {wanted - at} bytes early")
        if end is None or at < end:  # more would come: the connection cannot serve again
            response.close()

    def _tell_of_ranges(self, url: str) -> None:
        with self._lock:
            told, self.ranges_ignored = self.ranges_ignored, True
        if not told:
            _log.warning(
                "%s: the server ignores ranges and sends whole files; it works, and takes longer",
                url,
            )

    def _until_done(self, url: str, one_try: Callable[[], Iterator[int]]) -> None:
        """Make tries until one ends well; wait longer and longer between them."""
        failures = 0
        while True:
            brought = 0
            try:
                for count in one_try():
                    brought += count
                return
            except ProbunetError:
                raise
            except _PassingError as error:
                told, asked = str(error), error.asked
            except requests.exceptions.SSLError as error:
                raise ProbunetError(
                    f"{url}: the server's certificate is not trusted ({_told(error)}). If a proxy "
                    "stands between, name its certificates in REQUESTS_CA_BUNDLE."
                ) from None
            except _BROKEN as error:
                told, asked = _told(error), 0.0
            failures = 1 if brought >= ENOUGH else failures + 1
            if failures > self.settings.retries or asked > LONGEST_ASKED:
                wait = f"; it asks to wait {asked:.0f} s" if asked > LONGEST_ASKED else ""
                raise ProbunetError(
                    f"{url}: {told}{wait}; given up after {failures} tries. What has come so far "
                    "is kept: run the same command again to go on from there."
                )
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
            wait_for = max(asked, random.uniform(longest / 2, longest))  # spread over clients
            _log.info("%s: %s; trying again in %.1f s", url, told, wait_for)
            time.sleep(wait_for)


class _PassingError(Exception):
    """An answer that may be another on the next try; `asked`, the seconds to wait, if told."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"the server answers {response.status_code} {response.reason}")
        self.asked = Retry().get_retry_after(response.raw) or 0.0


class _CutError(Exception):
    """A body that is not what its head promised."""


# what the wire may do to an answer, each a reason to try again
_BROKEN = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    _CutError,
)


class _Throttle:
    """Keeps all threads together below a rate."""

    def __init__(self, megabytes_per_second: int) -> None:
        self._rate = megabytes_per_second * 1e6
        self._free = 0.0  # when the bytes let through so far have been paid for
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Return when so many more bytes may come."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + count / self._rate
            wait = self._free - now
        time.sleep(wait)


def _start(response: requests.Response) -> int:
    """Return the place in the file of the body's first byte.

    Some servers answer 200 and yet send the part that was asked for, as Content-Range tells.
    """
    unit, _, told = response.headers.get("Content-Range", "").partition(" ")
    first = told.partition("-")[0]
    return int(first) if unit == "bytes" and first.isdigit() else 0


def _total(response: requests.Response) -> int | None:
    """Return the whole file's length, as far as the server tells."""
    _, _, total = response.headers.get("Content-Range", "").partition("/")
    if total:
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length")
    return int(length) if length and response.status_code == 200 else None


def _told(error: Exception) -> str:
    """Return the innermost words of a chain of errors."""
    while (inner := error.__cause__ or error.__context__) and str(inner):
        error = inner  # type: ignore[assignment]
    return str(error) or type(error).__name__
