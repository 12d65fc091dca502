"""A site that speaks as Cityscapes' does: login, list of packages, MD5s, zips with ranges.

What the real one answers was read in `cityscapesscripts.download.downloader` 2.3.0.
"""

# ruff: noqa: N802 (do_GET and the like)

import hashlib
import json
import re
import secrets
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlsplit

from .serving import Handler, serving

PAGE = b"<!DOCTYPE html><html><head><title>Login</title></head><body>Log in</body></html>"
_PIECE = 512


@dataclass
class Site:
    """What the site holds, how it misbehaves, and what it has seen; all can be changed."""

    packages: dict[str, bytes]
    username: str
    password: str

    unlisted: set[str] = field(default_factory=set)  # the account does not see them
    forbidden: set[str] = field(default_factory=set)  # it sees them, and may not have them
    pages: set[str] = field(default_factory=set)  # a page comes in place of these
    damaged: Counter[str] = field(default_factory=Counter)  # so many times, one byte is another
    md5s: dict[str, str] = field(default_factory=dict)  # told in place of the right ones
    list_page: bool = False  # a page comes in place of the list
    forgets: bool = False  # logins are accepted and come to nothing
    expires_after: int | None = None  # bytes of zips that one session gets
    expires_to_page: bool = False  # what has expired gets a page, not a redirect
    pause: float = 0.0  # seconds before each piece of a zip

    url: str = ""
    tokens: dict[str, int] = field(default_factory=dict)  # sessions and the bytes they have had
    ever: list[str] = field(default_factory=list)  # tokens given out, valid or not
    refused: int = 0  # logins
    stale: int = 0  # logins begun with the cookie of another
    authorizations: list[str] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def number(self, name: str) -> str:
        """Return a package's id."""
        return str(1 + sorted(self.packages).index(name))


@contextmanager
def cityscapes_site(packages: dict[str, bytes], username: str, password: str) -> Iterator[Site]:
    """Yield a site on a free port of this machine."""
    site = Site(packages, username, password)

    class OfSite(_Handler):
        of = site

    with serving(OfSite) as site.url:
        yield site


class _Handler(Handler):
    of: Site

    def do_POST(self) -> None:
        self._note()
        data = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {key: values[0] for key, values in parse_qs(data).items()}
        right = {"username": self.of.username, "password": self.of.password, "submit": "Login"}
        token = self._token()
        if urlsplit(self.path).path != "/login" or token is None or form != right:
            self.of.refused += 1
            return self._send(PAGE)  # as the publisher: 200, and the form again
        if not self.of.forgets:
            self.of.tokens[token] = 0
        self._redirect("/downloads/")

    def do_GET(self) -> None:
        self._note()
        site, address = self.of, urlsplit(self.path)
        if address.path == "/login":
            site.stale += "Cookie" in self.headers
            token = secrets.token_hex(16)
            site.ever.append(token)
            return self._send(PAGE, {"Set-Cookie": f"session={token}; path=/; HttpOnly"})
        token = self._token()
        if token not in site.tokens:
            return self._send(PAGE) if site.expires_to_page else self._redirect("/login")
        if address.path == "/downloads/" and address.query == "list":
            return self._send(PAGE if site.list_page else self._list())
        number = parse_qs(address.query).get("packageID", [""])[0]
        name = next((name for name in site.packages if site.number(name) == number), "")
        if address.path == "/md5-sum/" and name:
            md5 = hashlib.md5(site.packages[name]).hexdigest()
            return self._send(f"{site.md5s.get(name, md5)}  {name}\n".encode())
        if address.path != "/file-handling/" or not name:
            return self._send(b"", status=404)
        if name in site.forbidden:
            return self._send(b"", status=403)
        if name in site.pages:
            return self._send(PAGE)
        return self._zip(name, str(token))

    def _note(self) -> None:
        self.of.addresses.append(self.path)
        if "Authorization" in self.headers:
            self.of.authorizations.append(self.headers["Authorization"])

    def _token(self) -> str | None:
        cookie = SimpleCookie(self.headers.get("Cookie", "")).get("session")
        return cookie.value if cookie and cookie.value in self.of.ever else None

    def _list(self) -> bytes:
        site = self.of
        shown = [
            {
                "name": name,
                "packageID": site.number(name),
                "size": f"{len(data) / 2**20:.0f}MB",
                "thirdparty": "0",
            }
            for name, data in site.packages.items()
            if name not in site.unlisted
        ]
        return json.dumps(shown).encode()

    def _zip(self, name: str, token: str) -> None:
        site, data = self.of, self.of.packages[name]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1, len(data)) if asked and asked[2] else len(data)
        if first >= len(data):
            return self._send(b"", {"Content-Range": f"bytes */{len(data)}"}, 416)
        if end == len(data) and first == 0 and site.damaged[name]:
            site.damaged[name] -= 1
            middle = len(data) // 2
            data = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Type", "application/zip")
        self.send_header("Content-Length", str(end - first))
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(data)}")
        self.end_headers()
        for at in range(first, end, _PIECE):
            piece = data[at : min(end, at + _PIECE)]
            if site.expires_after is not None:
                piece = piece[: site.expires_after - site.tokens[token]]
                site.tokens[token] += len(piece)
            threading.Event().wait(site.pause)
            self.wfile.write(piece)
            if site.expires_after is not None and site.tokens[token] >= site.expires_after:
                del site.tokens[token]
                self.close_connection = True
                return

    def _send(self, body: bytes, headers: dict[str, str] | None = None, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")  # PHP's, whatever it is
        self.send_header("Content-Length", str(len(body)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def _redirect(self, where: str) -> None:
        self._send(b"", {"Location": where}, 302)
