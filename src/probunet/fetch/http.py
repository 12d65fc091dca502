"""HTTP client for long downloads: retries, resumes within a file, limits the rate, counts bytes.

It uses threads and `requests` because S3 libraries hide what resuming needs (Retry-After, 206 or
200, ETag), and because one client then serves all publishers.
"""

import errno
import logging
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.util import Retry

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.files import flush, open_own
from probunet.limits import LARGEST_PAGE

CHUNK = 2**18  # bytes per read
FIRST_WAIT = 0.5  # seconds, the longest wait before the second try; doubles with each try
LONGEST_WAIT = 60.0  # seconds
LONGEST_ASKED = 600.0  # seconds, the longest Retry-After that is followed
ENOUGH = 2**20  # bytes; a try that receives as many resets the count of failures

_TEMPORARY = {408, 425, 429, 500, 502, 503, 504}  # status codes worth a retry

_log = logging.getLogger(__name__)


class StatusError(ProbunetError):
    """A permanent error status; do not retry."""

    def __init__(self, url: str, response: requests.Response) -> None:
        self.status = response.status_code
        super().__init__(f"{url}: the server answers {self.status} {response.reason}.")


class _TemporaryError(Exception):
    """A temporary error status; retry after `retry_after` seconds."""

    def __init__(self, response: requests.Response) -> None:
        super().__init__(f"the server answers {response.status_code} {response.reason}")
        self.retry_after = Retry().get_retry_after(response.raw) or 0.0


class _BodyError(Exception):
    """A body that differs from what its headers promise."""


_NETWORK_ERRORS = (OSError, HTTPException, urllib3.exceptions.HTTPError)
_RETRIED = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
    urllib3.exceptions.HTTPError,
    _BodyError,
)


@dataclass
class Body:
    """Bytes of a file from `first` on; `total` is the file's length if the server sends it."""

    data: bytes
    first: int
    total: int | None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Client:
    """HTTP client of one publisher; safe for use by many threads.

    Attributes
    ----------
    received
        Bytes of bodies received so far.
    ranges_ignored
        Whether a server has sent whole files in answer to Range requests.
    """

    def __init__(self, settings: Fetch, session: requests.Session | None = None) -> None:
        self.settings = settings
        self.session = session or requests.Session()
        # reads the environment once instead of per request, and ignores passwords in .netrc
        self.session.trust_env = False
        certificates = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
        if certificates and not Path(certificates).exists():
            raise ProbunetError(
                f"{certificates}: no such file of certificates; correct REQUESTS_CA_BUNDLE or "
                "CURL_CA_BUNDLE."
            )
        self.session.verify = certificates or True
        adapter = HTTPAdapter(pool_maxsize=settings.connections, pool_block=True)
        for scheme in ("http://", "https://"):
            self.session.mount(scheme, adapter)
        self.session.hooks["response"].append(_close_redirect)
        self.received = 0
        self.ranges_ignored = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._throttle = _Throttle(settings.megabytes_per_second)
        self._proxies_of: dict[tuple[str, str], dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()

    def stop(self) -> None:
        """Cancel all downloads: requests in progress end with an error."""
        self._stopped.set()

    def get(
        self, url: str, first: int = 0, last: int | None = None, most: int = LARGEST_PAGE
    ) -> Body:
        """Return bytes `first` to `last` (excluded) of a file; to its end if `last` is None.

        Raises
        ------
        StatusError
            If the server answers with a permanent error status.
        ProbunetError
            If all tries fail, or the answer has more than `most` bytes.
        """
        received = bytearray()
        responses: list[requests.Response] = []

        def attempt() -> Iterator[int]:
            start = first + len(received)
            with self._request(url, start, last) as response:
                responses.append(response)
                if received and _file_changed(responses, start):
                    received.clear()
                    raise _BodyError("the file changed during the download")
                for piece in self._pieces(response, start, last):
                    received.extend(piece)
                    if len(received) > most:
                        raise ProbunetError(
                            f"{url}: the server sends more than {most:,} bytes, and its right "
                            "answer is shorter; check the address."
                        )
                    yield len(piece)

        self._retry(url, attempt)
        return Body(bytes(received), first, total_of(responses[-1]), responses[-1].headers)

    def save(
        self,
        url: str,
        part: Path,
        headers: Mapping[str, str] | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        """Append to `part` the bytes of a file that it lacks.

        A part longer than the file is downloaded again. To check that the part of an earlier
        run belongs to the same file, pass its ETag as `If-Match` (status 412 if not). `on_bytes` is
        called with the number of bytes after each write.

        Raises
        ------
        StatusError
            If the server answers with a permanent error status.
        ProbunetError
            If all tries fail, or the disk is full. `part` keeps the bytes received so far.
        """
        responses: list[requests.Response] = []

        def attempt() -> Iterator[int]:
            start = part.stat().st_size if part.exists() else 0
            with self._request(url, start, None, headers) as response:
                responses.append(response)
                if start and _file_changed(responses, start):
                    part.unlink()
                    raise _BodyError("the partial file belongs to another file")
                with open_own(part, "ab") as file:
                    for piece in self._pieces(response, start, None):
                        file.write(piece)
                        if on_bytes:
                            on_bytes(len(piece))
                        yield len(piece)
                    file.flush()
                    flush(file, part)

        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            self._retry(url, attempt)
        except OSError as error:  # of the disk: `_retry` handles those of the network
            raise _disk_error(part, error) from error

    def post(self, url: str, form: Mapping[str, str]) -> requests.Response:
        """Return the response to a form, whatever its status; do not follow redirects.

        The response's body is not read. The form is sent to `url` alone, and appears in no address
        and no message.

        Raises
        ------
        ProbunetError
            If all tries fail.
        """
        responses: list[requests.Response] = []

        def attempt() -> Iterator[int]:
            response = self.session.post(
                url,
                data=form,
                allow_redirects=False,
                stream=True,
                timeout=self.settings.timeout,
                proxies=self._proxies(url),
            )
            response.close()
            if response.status_code in _TEMPORARY:
                raise _TemporaryError(response)
            responses.append(response)
            yield 0

        self._retry(url, attempt)
        return responses[-1]

    def _request(
        self, url: str, first: int, last: int | None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Return a response whose body is not read yet."""
        sent = {"Accept-Encoding": "identity", **(headers or {})}
        if first or last is not None:
            sent["Range"] = f"bytes={first}-{'' if last is None else last - 1}"
        timeout, proxies = self.settings.timeout, self._proxies(url)
        response = self.session.get(
            url, headers=sent, stream=True, timeout=timeout, proxies=proxies
        )
        if response.ok or (response.status_code == 416 and "Range" in sent):
            return response
        response.close()
        if response.status_code in _TEMPORARY:
            raise _TemporaryError(response)
        raise StatusError(url, response)

    def _proxies(self, url: str) -> dict[str, str]:
        """Return the proxies that the environment (`https_proxy`, `no_proxy`) sets for a URL."""
        scheme, host = urlsplit(url)[:2]
        if (scheme, host) not in self._proxies_of:
            self._proxies_of[scheme, host] = get_environ_proxies(f"{scheme}://{host}/")
        return self._proxies_of[scheme, host]

    def _pieces(self, response: requests.Response, first: int, last: int | None) -> Iterator[bytes]:
        """Yield bytes `first` to `last` of the file; the response may start before `first`."""
        if response.status_code == 416:  # the file ends before `first`
            return
        start, end = _span(response)
        if start not in (0, first):
            raise _BodyError(f"asked for byte {first}, the server sends from {start} on")
        ranged = first or last is not None
        if ranged and response.status_code == 200 and "Content-Range" not in response.headers:
            self._warn_ranges_ignored(response.url)
        stop = end if last is None else last if end is None else min(last, end)
        position = start
        while stop is None or position < stop:
            self._check_stopped(response.url)
            # read1 returns what has arrived, so that a broken connection loses nothing of it
            size = CHUNK if stop is None else min(CHUNK, stop - position)
            piece = response.raw.read1(size, decode_content=False)
            if not piece:
                break
            with self._lock:
                self.received += len(piece)
            yield piece[max(0, first - position) :]
            position += len(piece)
            self._throttle.take(len(piece))
        if stop is not None and position < stop:
            raise _BodyError(f"the connection ended {stop - position} bytes early")

    def _warn_ranges_ignored(self, url: str) -> None:
        with self._lock:
            warned, self.ranges_ignored = self.ranges_ignored, True
        if not warned:
            _log.warning(
                "%s: the server ignores ranges and sends whole files; the download works, but "
                "takes longer",
                url,
            )

    def _retry(self, url: str, attempt: Callable[[], Iterator[int]]) -> None:
        """Call `attempt`, which yields numbers of bytes, until it succeeds; wait between tries."""
        failures = 0
        while True:
            self._check_stopped(url)
            received = 0
            try:
                for count in attempt():
                    received += count
                return
            except ProbunetError:
                raise
            except _TemporaryError as error:
                reason, retry_after = str(error), error.retry_after
            except _RETRIED as error:
                cause = _innermost(error)
                if isinstance(cause, ssl.SSLCertVerificationError):
                    raise ProbunetError(
                        f"{url}: the server's certificate is not trusted ({cause}). Behind a "
                        "proxy, set REQUESTS_CA_BUNDLE to the file of its certificates."
                    ) from None
                reason, retry_after = str(cause) or type(cause).__name__, 0.0
            except requests.RequestException as error:  # an invalid address or proxy
                raise ProbunetError(f"{url}: invalid address or proxy: {error}.") from None
            failures = 1 if received >= ENOUGH else failures + 1
            if failures > self.settings.retries or retry_after > LONGEST_ASKED:
                asked = f"; it asks to wait {retry_after:.0f} s" * (retry_after > LONGEST_ASKED)
                raise ProbunetError(
                    f"{url}: {reason}{asked}; given up after {failures} tries. The files received "
                    "so far are kept: run the same command again to continue."
                )
            longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (failures - 1))
            wait = max(retry_after, random.uniform(longest / 2, longest))  # spread over clients
            _log.info("%s: %s; retrying in %.1f s", url, reason, wait)
            self._wait(wait)

    def _wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _check_stopped(self, url: str) -> None:
        if self._stopped.is_set():
            raise ProbunetError(f"{url}: stopped; run the same command again to continue.")


class _Throttle:
    """Limits the rate of all threads together."""

    def __init__(self, megabytes_per_second: int) -> None:
        self._rate = megabytes_per_second * 1e6
        self._free = 0.0  # time at which the bytes received so far fit the rate
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Sleep until `count` more bytes fit the rate."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + count / self._rate
            wait = self._free - now
        time.sleep(wait)


def _span(response: requests.Response) -> tuple[int, int | None]:
    """Return the body's first byte and end within the file; the end is None if unknown.

    Some servers answer a Range request with status 200 and yet a Content-Range.
    """
    unit, _, span = response.headers.get("Content-Range", "").partition(" ")
    first, _, last = span.partition("/")[0].partition("-")
    if unit == "bytes" and first.isdigit() and last.isdigit():
        return int(first), int(last) + 1
    if response.status_code == 206:
        raise _BodyError("the server sends a part and does not say which")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def total_of(response: requests.Response) -> int | None:
    """Return the length of the whole file; None if the server does not send it."""
    _, _, total = response.headers.get("Content-Range", "").partition("/")
    if not total and response.status_code == 200:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdigit() else None


def _file_changed(responses: list[requests.Response], start: int) -> bool:
    """Return whether the last response is of another file than the bytes before `start`."""
    total = total_of(responses[-1])
    tags = {response.headers.get("ETag") for response in responses[-2:]}
    ends_before = responses[-1].status_code == 416 if total is None else total < start
    return ends_before or len(tags - {None}) > 1


def _close_redirect(response: requests.Response, *_: Any, **__: Any) -> None:
    """Do not read the body of a redirect, as `requests` does before it follows it."""
    if response.is_redirect:
        response.raw.close()


def _innermost(error: BaseException) -> BaseException:
    """Return the first error of a chain of network errors, which says most."""
    while isinstance(cause := error.__cause__ or error.__context__, _NETWORK_ERRORS) and str(cause):
        error = cause
    return error


def _disk_error(part: Path, error: OSError) -> ProbunetError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProbunetError(
            f"{part}: the disk or quota is full; the bytes received so far are kept. Free some "
            "space and run the same command again to continue."
        )
    return ProbunetError(f"{part}: cannot be written ({error.strerror}).")
