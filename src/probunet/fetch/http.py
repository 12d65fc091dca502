"""HTTP as a download of days needs it: tried again, resumed within a file, capped, and counted.

Threads and requests, not an asynchronous client: the server's words must be heard (Retry-After,
206 or 200, ETag), which S3 libraries keep to themselves, and one layer serves all publishers.
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
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
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
        # the environment is read once, not for each request; passwords in .netrc are nobody's here
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
        self.received = 0
        self.ranges_ignored = False
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._throttle = _Throttle(settings.megabytes_per_second)
        self._proxies_of: dict[tuple[str, str], dict[str, str]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.session.close()

    def stop(self) -> None:
        """Let no thread begin or wait any more: what is under way ends with an error."""
        self._stopped.set()

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
        answers: list[requests.Response] = []

        def one_try() -> Iterator[int]:
            at = first + len(got)
            with self._ask(url, at, last, headers) as response:
                answers.append(response)
                if got and _is_another(answers, at):
                    got.clear()
                    raise _CutError("the file has changed while it was read")
                for piece in self._pieces(response, at, last):
                    got.extend(piece)
                    yield len(piece)

        self._until_done(url, one_try)
        return Body(bytes(got), first, total_of(answers[-1]), answers[-1].headers)

    def save(
        self,
        url: str,
        part: Path,
        headers: Mapping[str, str] | None = None,
        anew: bool = False,
        arrived: Callable[[int], None] | None = None,
    ) -> None:
        """Append to `part` what it lacks of a file; what is there already is not asked for again.

        A part that is longer than the file is begun anew. Whether a part of an earlier run is of
        the same file, the server tells if `headers` have its ETag as If-Match (status 412).

        Parameters
        ----------
        url
            The file's address.
        part
            Where to write.
        headers
            Of the request.
        anew
            Whether each try begins anew, as is right for a file that the server makes while it
            sends it: the next one has other bytes.
        arrived
            Called with the number of bytes whenever some have been written.

        Raises
        ------
        StatusError
            If the server refuses, and would again.
        ProbunetError
            If all tries fail, or the disk is full. What has come by then stays in `part`.
        """
        answers: list[requests.Response] = []

        def one_try() -> Iterator[int]:
            if anew:
                part.unlink(missing_ok=True)
            there = part.stat().st_size if part.exists() else 0
            with self._ask(url, there, None, headers) as response:
                answers.append(response)
                if there and _is_another(answers, there):
                    part.unlink()
                    raise _CutError("the part that is there is of another file")
                with part.open("ab") as file:
                    for piece in self._pieces(response, there, None):
                        file.write(piece)
                        if arrived:
                            arrived(len(piece))
                        yield 0 if anew else len(piece)  # what will not stay is no progress
                    file.flush()
                    os.fsync(file.fileno())

        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            self._until_done(url, one_try)
        except OSError as error:  # the network's errors are all caught by now
            raise _disk_error(part, error) from error

    def post(self, url: str, form: Mapping[str, str]) -> requests.Response:
        """Return the answer to a form, whatever it is, and do not go where it leads to.

        The form is for `url` alone: it is in no address and no message.

        Raises
        ------
        ProbunetError
            If all tries fail.
        """
        answers: list[requests.Response] = []

        def one_try() -> Iterator[int]:
            answer = self.session.post(
                url,
                data=form,
                allow_redirects=False,
                timeout=self.settings.timeout,
                proxies=self._proxies(url),
            )
            if answer.status_code in _PASSING:
                raise _PassingError(answer)
            answers.append(answer)
            yield 0

        self._until_done(url, one_try)
        return answers[-1]

    def _ask(
        self, url: str, first: int, last: int | None, headers: Mapping[str, str] | None
    ) -> requests.Response:
        """Return an answer whose body is still to be read."""
        asked = {"Accept-Encoding": "identity", **(headers or {})}
        if first or last is not None:
            asked["Range"] = f"bytes={first}-{'' if last is None else last - 1}"
        timeout = self.settings.timeout
        response = self.session.get(
            url, headers=asked, stream=True, timeout=timeout, proxies=self._proxies(url)
        )
        if response.ok or (response.status_code == 416 and "Range" in asked):
            return response
        response.close()
        if response.status_code in _PASSING:
            raise _PassingError(response)
        raise StatusError(url, response)

    def _proxies(self, url: str) -> dict[str, str]:
        """Return what `https_proxy`, `no_proxy` and the like say of a URL's scheme and host."""
        scheme, host = urlsplit(url)[:2]
        if (scheme, host) not in self._proxies_of:
            self._proxies_of[scheme, host] = get_environ_proxies(f"{scheme}://{host}/")
        return self._proxies_of[scheme, host]

    def _pieces(self, response: requests.Response, first: int, last: int | None) -> Iterator[bytes]:
        """Yield the body from byte `first` up to `last` of the file; the body may begin before."""
        if response.status_code == 416:  # the file ends before `first`
            return
        start, end = _span(response)
        if start not in (0, first):
            raise _CutError(f"asked for byte {first}, the server sends from {start} on")
        ranged = first or last is not None
        if ranged and response.status_code == 200 and "Content-Range" not in response.headers:
            self._tell_of_ranges(response.url)
        wanted = end if last is None else last if end is None else min(last, end)
        at = start
        while wanted is None or at < wanted:
            self._check_stopped(response.url)
            # what is there at once: nothing that has come is lost if the connection breaks
            size = CHUNK if wanted is None else min(CHUNK, wanted - at)
            piece = response.raw.read1(size, decode_content=False)
            if not piece:
                break
            with self._lock:
                self.received += len(piece)
            yield piece[max(0, first - at) :]
            at += len(piece)
            self._throttle.take(len(piece))
        if wanted is not None and at < wanted:
            raise _CutError(f"the connection ended {wanted - at} bytes early")

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
            self._check_stopped(url)
            brought = 0
            try:
                for count in one_try():
                    brought += count
                return
            except ProbunetError:
                raise
            except _PassingError as error:
                told, asked = str(error), error.asked
            except _BROKEN as error:
                cause = _innermost(error)
                if isinstance(cause, ssl.SSLCertVerificationError):
                    raise ProbunetError(
                        f"{url}: the server's certificate is not trusted ({cause}). If a proxy "
                        "stands between, name its certificates in REQUESTS_CA_BUNDLE."
                    ) from None
                told, asked = str(cause) or type(cause).__name__, 0.0
            except requests.RequestException as error:  # an address or a proxy that cannot be
                raise ProbunetError(f"{url}: cannot be asked for: {error}.") from None
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
            self._wait(wait_for)

    def _wait(self, seconds: float) -> None:
        self._stopped.wait(seconds)

    def _check_stopped(self, url: str) -> None:
        if self._stopped.is_set():
            raise ProbunetError(f"{url}: stopped; run the same command again to go on from there.")


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


_OF_NETWORK = (OSError, HTTPException, urllib3.exceptions.HTTPError)


class _Throttle:
    """Keeps all threads together below a rate."""

    def __init__(self, megabytes_per_second: int) -> None:
        self._rate = megabytes_per_second * 1e6
        self._free = 0.0  # when the bytes let through so far have been paid for
        self._lock = threading.Lock()

    def take(self, count: int) -> None:
        """Return when so many bytes that have come are paid for."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            self._free = max(self._free, now) + count / self._rate
            wait = self._free - now
        time.sleep(wait)


def _span(response: requests.Response) -> tuple[int, int | None]:
    """Return the places in the file of the body's first byte and behind its last, if told.

    Some servers answer 200 and yet send the part that was asked for, as Content-Range tells.
    """
    unit, _, told = response.headers.get("Content-Range", "").partition(" ")
    first, _, last = told.partition("/")[0].partition("-")
    if unit == "bytes" and first.isdigit() and last.isdigit():
        return int(first), int(last) + 1
    if response.status_code == 206:
        raise _CutError("the server sends a part and does not say which")
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def total_of(response: requests.Response) -> int | None:
    """Return the whole file's length, as far as the server tells."""
    _, _, total = response.headers.get("Content-Range", "").partition("/")
    if total:
        return int(total) if total.isdigit() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdigit() and response.status_code == 200 else None


def _is_another(answers: list[requests.Response], at: int) -> bool:
    """Return whether the last answer is not of the file whose bytes up to `at` have come."""
    total = total_of(answers[-1])
    tags = {answer.headers.get("ETag") for answer in answers[-2:]}
    ends_before = answers[-1].status_code == 416 if total is None else total < at
    return ends_before or len(tags - {None}) > 1


def _innermost(error: BaseException) -> BaseException:
    """Return the first of a chain of the network's errors, which tells best."""
    while isinstance(inner := error.__cause__ or error.__context__, _OF_NETWORK) and str(inner):
        error = inner
    return error


def _disk_error(part: Path, error: OSError) -> ProbunetError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ProbunetError(
            f"{part}: the disk or quota is full; what has come so far is kept. Free some space "
            "and run the same command again to go on from there."
        )
    return ProbunetError(f"{part}: cannot be written ({error.strerror}).")
