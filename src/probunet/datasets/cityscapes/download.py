"""Download Cityscapes from its publisher: log in, get two zips, unpack images and label ids.

The requests are those of `cityscapesscripts.download.downloader` 2.3.0, the publisher's own
program, which cannot be used here because it asks for the password on a terminal.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import requests
from pydantic import BaseModel, ValidationError

from probunet.config import Fetch, check_endpoint
from probunet.datasets.cityscapes.manifest import SceneManifest
from probunet.datasets.cityscapes.tree import LICENCE, fetch_scenes
from probunet.errors import ProbunetError
from probunet.fetch.archive import unpack
from probunet.fetch.download import Progress, check_space, write_licence
from probunet.fetch.http import ENOUGH, Client, StatusError, total_of
from probunet.files import locked, read_file, written_whole

ENDPOINT = "https://www.cityscapes-dataset.com"
PACKAGES = ("gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip")  # the small one first
USERNAME, PASSWORD = "CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"

_NEEDED = re.compile(
    r"gtFine/(train|val)/[^/]+/[^/]+_gtFine_labelIds\.png"
    r"|leftImg8bit/(train|val)/[^/]+/[^/]+_leftImg8bit\.png"
    r"|license\.txt|README"
)
_ZIP = b"PK\3\4"  # the first bytes of a zip
_MD5 = re.compile(r"[0-9a-f]{32}")
_TEXT_LIMIT = 2**20  # bytes of unpacked licence and README, which shrink in a zip

_log = logging.getLogger(__name__)


def check_login(endpoint_url: str | None = None, settings: Fetch | None = None) -> None:
    """Check that the publisher accepts the account in the environment and offers it the packages.

    `endpoint_url` is a server with the publisher's interface; the publisher's own if None.

    Raises
    ------
    ProbunetError
        If the account is missing, its password is wrong, it may not download the packages, or the
        server cannot be reached.
    """
    with _Site(endpoint_url, settings or Fetch()) as site:
        site.log_in()
        site.packages(PACKAGES)


def fetch_official(
    folder: Path,
    manifest: Path,
    settings: Fetch | None = None,
    endpoint_url: str | None = None,
    workers: int | None = None,
) -> SceneManifest:
    """Download and unpack what `folder` lacks, and return the manifest of its scenes.

    The folder receives `leftImg8bit` and `gtFine`, training and validation; during the download
    also the zips. `workers` processes check scenes; by default one per processor.

    Raises
    ------
    ProbunetError
        If `check_login` fails, the download fails, the disk is full, a zip differs from the
        publisher's MD5, or another process writes here. Complete files and partial zips are kept.
    """
    with locked(folder):
        missing = [name for name in PACKAGES if not _is_unpacked(folder, name)]
        if missing:
            with _Site(endpoint_url, settings or Fetch()) as site:
                site.log_in()
                _download(site, site.packages(missing), folder)
        else:
            _log.info("%s: both packages are unpacked already", folder)
        write_licence(folder, _licence(folder))
        return fetch_scenes(folder, manifest, workers, source="official")


@dataclass(frozen=True)
class _Package:
    """A zip of the publisher."""

    name: str
    url: str
    size: int
    md5: str

    def part(self, folder: Path) -> Path:
        """Return the file of the zip until it is unpacked."""
        return folder / f".{self.name}.part"


class _Unpacked(BaseModel):
    """The record of a package's unpacked files: their sizes by path."""

    md5: str
    files: dict[str, int]


class _LoginLostError(ProbunetError):
    """An unexpected answer, as of a site where the login is invalid or has expired."""


class _Site(Client):
    """The publisher's site; the password is in no attribute, and is sent to the login page only."""

    def __init__(self, endpoint_url: str | None, settings: Fetch) -> None:
        self._endpoint = _checked_endpoint(endpoint_url or ENDPOINT)
        self._sizes: dict[str, int] = {}  # by URL
        session = requests.Session()
        session.hooks["response"].append(self._check_response)
        super().__init__(settings, session)

    def log_in(self) -> None:
        """Log in with the account in the environment; the session keeps the cookies."""
        credentials = _credentials(self._endpoint)
        url = f"{self._endpoint}/login"
        self.session.cookies.clear()
        self.get(url)
        response = self.post(url, credentials)
        if response.status_code in (200, 401, 403):
            raise ProbunetError(
                f"{url}: the login is refused. Set {USERNAME} and {PASSWORD} to those that you "
                f"log in with at {self._endpoint}/login in a browser."
            )
        if response.status_code != 302:
            raise StatusError(url, response)

    def packages(self, names: Sequence[str]) -> list[_Package]:
        """Return the packages; raise ProbunetError if the account may not download them."""
        try:
            numbers = self._package_numbers()
            if missing := [name for name in names if name not in numbers]:
                raise self._no_access(*missing)
            return [self._package(name, numbers[name]) for name in names]
        except _LoginLostError as error:
            raise ProbunetError(
                f"{error} The login itself was accepted: check in a browser whether the account "
                f"can download from {self._endpoint}/downloads/, then run the same command again."
            ) from None

    def save_package(self, package: _Package, part: Path, on_bytes: Callable[[int], None]) -> None:
        """Append to `part` what it lacks of a package; log in again when the login expires."""
        at_last_login = -ENOUGH  # bytes
        while (before := _size(part)) != package.size:
            try:
                self.save(package.url, part, on_bytes=on_bytes)
                if _size(part) == before:
                    raise ProbunetError(
                        f"{package.url}: the server sends nothing from byte {before} of "
                        f"{package.size} on; remove {part} and run the same command again."
                    )
            except _LoginLostError as error:
                if _size(part) < at_last_login + ENOUGH:
                    raise ProbunetError(
                        f"{error} A new login did not help. The files received so far are kept: "
                        "run the same command again later to continue."
                    ) from None
                at_last_login = _size(part)
                _log.info("%s: logging in again", package.name)
                self.log_in()

    def _package_numbers(self) -> dict[str, str]:
        """Return the ids of the packages that the account may download, by name."""
        url = f"{self._endpoint}/downloads/?list"
        try:
            content = self.get(url).data
        except StatusError as error:
            raise self._no_access(*PACKAGES) if error.status == 403 else error from None
        try:
            return {str(item["name"]): str(item["packageID"]) for item in json.loads(content)}
        except (ValueError, TypeError, KeyError):
            raise _LoginLostError(f"{url}: the answer is not a list of packages.") from None

    def _package(self, name: str, number: str) -> _Package:
        """Return a package with its size and MD5; check that it starts as a zip does."""
        query = f"?packageID={quote(number, safe='')}"
        url = f"{self._endpoint}/file-handling/{query}"
        try:
            checksum = self.get(f"{self._endpoint}/md5-sum/{query}").data
            start = self.get(url, 0, len(_ZIP))
        except StatusError as error:
            raise self._no_access(name) if error.status == 403 else error from None
        md5 = _MD5.match(checksum.decode("ascii", "replace").strip().lower())
        if start.data != _ZIP or start.total is None or md5 is None:
            expected = "an MD5" if start.data == _ZIP else "a zip"
            raise _LoginLostError(f"{url}: the answer is not {expected} of {name}.")
        self._sizes[url] = start.total
        return _Package(name, url, start.total, md5[0])

    def _no_access(self, *names: str) -> ProbunetError:
        return ProbunetError(
            f"{self._endpoint}: the account may not download {' and '.join(names)}. Log in at "
            f"{self._endpoint}/downloads/ in a browser, accept the licence, and check that the "
            "packages are offered there; then run the same command again."
        )

    def _check_response(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Raise _LoginLostError if the site redirects or sends another file than expected.

        The redirect target is hidden: a malicious server could echo the password.
        """
        url = str(response.request.url)
        if response.request.method == "POST" or url == f"{self._endpoint}/login":
            return
        expected = self._sizes.get(url)
        if response.is_redirect:
            fault = "the site redirects to another page, as without a login."
        elif response.ok and expected is not None and total_of(response) != expected:
            fault = f"the answer is not the file of {expected} bytes."
        else:
            return
        response.close()
        raise _LoginLostError(f"{url}: {fault}")


def _checked_endpoint(url: str) -> str:
    """Return the site's address without a final slash; raise ProbunetError if it is not secure."""
    try:
        check_endpoint(url)
    except ValueError as error:
        raise ProbunetError(f"endpoint_url: {error}.") from None
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ProbunetError(
            f"endpoint_url: {url}: the password would travel unencrypted; use an address that "
            "begins with https://."
        )
    return url.rstrip("/")


class _Form(dict[str, str]):
    """A form whose values are hidden in messages and lists of variables."""

    def __repr__(self) -> str:
        return f"<form of {len(self)} fields>"


def _credentials(endpoint: str) -> _Form:
    """Return the login form, filled in from the environment."""
    form = _Form(
        username=os.environ.get(USERNAME, ""),
        password=os.environ.get(PASSWORD, ""),
        submit="Login",
    )
    if not all(form.values()):
        raise ProbunetError(
            f"Cityscapes: set {USERNAME} and {PASSWORD} in the environment to those of your "
            f"account with the publisher; create one at {endpoint}/register/."
        )
    return form


def _download(site: _Site, packages: list[_Package], folder: Path) -> None:
    """Download and unpack packages one after the other; remove each zip once it is unpacked."""
    to_load = sum(max(0, package.size - _size(package.part(folder))) for package in packages)
    to_unpack = sum(max(0, package.size - _unpacked_size(package, folder)) for package in packages)
    check_space(folder, to_load + to_unpack)
    with Progress("Cityscapes", to_load) as progress:
        for package in packages:
            _save_checked(site, package, folder, progress)
            _unpack(package, folder)


def _unpacked_size(package: _Package, folder: Path) -> int:
    """Return how many bytes of a package's files exist already."""
    tree = folder / package.name.partition("_")[0]
    return sum(_size(path) for path in tree.rglob("*.png"))


def _save_checked(site: _Site, package: _Package, folder: Path, progress: Progress) -> None:
    """Download a package and compare its MD5; try twice."""
    part = package.part(folder)
    for _ in range(2):
        site.save_package(package, part, lambda count: progress.add(count, objects=0))
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
        if digest.hexdigest() == package.md5:
            progress.add(0)
            return
        part.unlink()
        _log.warning("%s: differs from the publisher's MD5; downloading it again", package.name)
    raise ProbunetError(
        f"{package.url}: {package.name} was downloaded twice, and its MD5 differs from the "
        f"publisher's, {package.md5}. Something on the way changes the file, or the publisher's "
        "file is damaged; run the same command again later."
    )


def _unpack(package: _Package, folder: Path) -> None:
    """Unpack the needed files, record them, and remove the zip."""
    _log.info("unpacking %s", package.name)
    part = package.part(folder)
    paths = unpack(part, folder, _needed, 2 * package.size + _TEXT_LIMIT)
    images = [path for path in paths if path.suffix == ".png"]
    files = {str(path.relative_to(folder)): path.stat().st_size for path in images}
    if not files:
        raise ProbunetError(
            f"{part}: holds no file of {package.name.partition('_')[0]}/train or /val, unlike the "
            "publisher's archive."
        )
    with written_whole(_record(folder, package.name)) as aside:
        aside.write_text(
            json.dumps({"md5": package.md5, "files": files}, indent=1) + "\n", encoding="utf-8"
        )
    os.sync()  # so that a power cut cannot take the images after the zip is removed
    part.unlink()


def _needed(name: str) -> str | None:
    return name if _NEEDED.fullmatch(name) else None


def _record(folder: Path, name: str) -> Path:
    """Return the path of the list of a package's unpacked files."""
    return folder / f".{name}.json"


def _is_unpacked(folder: Path, name: str) -> bool:
    """Return whether all files of a package exist; remove its zip if they do."""
    record = _record(folder, name)
    if not record.exists():
        return False
    try:
        files = _Unpacked.model_validate_json(read_file(record, "is gone")).files
    except ValidationError:
        _log.warning("%s: is damaged; downloading %s again", record, name)
        return False
    lost = [path for path, size in files.items() if _size(folder / path) != size]
    if lost:
        message = "%s: %d of %d files of %s are missing or changed (first %s); downloading it again"
        _log.warning(message, folder, len(lost), len(files), name, lost[0])
        return False
    (folder / f".{name}.part").unlink(missing_ok=True)  # of a run that was killed before `unlink`
    return True


def _licence(folder: Path) -> str:
    """Return the reference to the licence, and its text if the folder has it."""
    text = folder / "license.txt"
    return (
        f"{LICENCE}\n\n{text.read_text(errors='replace', encoding='utf-8')}"
        if text.exists()
        else LICENCE
    )


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
