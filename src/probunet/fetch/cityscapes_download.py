"""Cityscapes from its publisher: a login, two zips, and of these the pictures and label ids.

What the site answers to which request was read in `cityscapesscripts.download.downloader` 2.3.0,
the publisher's own program, which asks for the password on a terminal and cannot serve here.
"""

import hashlib
import json
import logging
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import requests

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch.archive import unpack
from probunet.fetch.cityscapes import LICENCE, fetch_scenes
from probunet.fetch.download import Progress, check_space, write_licence
from probunet.fetch.http import ENOUGH, Client, StatusError, total_of
from probunet.files import locked, written_whole
from probunet.scene_manifest import SceneManifest

ENDPOINT = "https://www.cityscapes-dataset.com"
PACKAGES = ("gtFine_trainvaltest.zip", "leftImg8bit_trainvaltest.zip")  # the small one first
USERNAME, PASSWORD = "CITYSCAPES_USERNAME", "CITYSCAPES_PASSWORD"

_NEEDED = re.compile(
    r"gtFine/(train|val)/[^/]+/[^/]+_gtFine_labelIds\.png"
    r"|leftImg8bit/(train|val)/[^/]+/[^/]+_leftImg8bit\.png"
    r"|license\.txt|README"
)
_ZIP = b"PK\3\4"  # how a zip begins
_MD5 = re.compile(r"[0-9a-f]{32}")
_SMALL = 2**20  # bytes: pictures do not shrink in a zip, but a licence does

_log = logging.getLogger(__name__)


def check_login(endpoint_url: str | None = None, settings: Fetch | None = None) -> None:
    """Raise an error unless the publisher lets the environment's account have the pictures.

    Parameters
    ----------
    endpoint_url
        A site that speaks as the publisher's does; the publisher's own if None.
    settings
        How to download.

    Raises
    ------
    ProbunetError
        If the environment holds no account or another password than the account's, the account
        may not have the packages, or the site cannot be reached.
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
    """Download and unpack what is not in `folder` yet, and list the scenes as of any tree.

    Parameters
    ----------
    folder
        Becomes the tree of `leftImg8bit` and `gtFine`, training and validation. While they come,
        it holds the zips as well.
    manifest
        Where to write the manifest.
    settings
        How to download.
    endpoint_url
        A site that speaks as the publisher's does; the publisher's own if None.
    workers
        Processes that check scenes; as many as there are processors if None.

    Raises
    ------
    ProbunetError
        If `check_login` would raise one, the download fails, the disk is full, a zip is not what
        the publisher's checksum tells, or another process writes here. What has come is kept.
    """
    with locked(folder):
        due = [name for name in PACKAGES if not _is_unpacked(folder, name)]
        if due:
            with _Site(endpoint_url, settings or Fetch()) as site:
                site.log_in()
                _download(site, site.packages(due), folder)
        else:
            _log.info("%s: both packages have been unpacked already", folder)
        write_licence(folder, _licence(folder))
        return fetch_scenes(folder, manifest, workers, source="official")


@dataclass(frozen=True)
class _Package:
    """A zip of the publisher's."""

    name: str
    url: str
    size: int
    md5: str

    def part(self, folder: Path) -> Path:
        """Return where it lies until it has been unpacked."""
        return folder / f".{self.name}.part"


class _LoginLostError(ProbunetError):
    """A page where there should have been something else: the login is not, or no longer, valid."""


class _Site:
    """The publisher's site; the password is in no attribute, and is sent to its login alone."""

    def __init__(self, endpoint_url: str | None, settings: Fetch) -> None:
        self._endpoint = _checked_endpoint(endpoint_url or ENDPOINT)
        self._sizes: dict[str, int] = {}  # by URL
        session = requests.Session()
        session.hooks["response"].append(self._refuse_pages)
        self._client = Client(settings, session)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._client.__exit__(kind, error, trace)

    def log_in(self) -> None:
        """Log in; the session's cookies tell the site so from then on."""
        credentials = _credentials(self._endpoint)
        url = f"{self._endpoint}/login"
        self._client.session.cookies.clear()
        self._client.get(url)
        answer = self._client.post(url, credentials)
        if answer.status_code in (200, 401, 403):
            raise ProbunetError(
                f"{url}: the login is refused. Set {USERNAME} and {PASSWORD} to those that you "
                f"log in with at {self._endpoint}/login in a browser."
            )
        if answer.status_code != 302:
            raise StatusError(url, answer)

    def packages(self, names: Sequence[str]) -> list[_Package]:
        """Return packages, each of which the account may have."""
        try:
            listed = self._listed()
            if not set(names) <= listed.keys():
                raise self._no_access(*(name for name in names if name not in listed))
            return [self._package(name, listed[name]) for name in names]
        except _LoginLostError as error:
            raise ProbunetError(
                f"{error} Yet the login has just been accepted: see in a browser whether the "
                f"account can download from {self._endpoint}/downloads/, then run the same "
                "command again."
            ) from None

    def save(self, package: _Package, part: Path, arrived: Callable[[int], None]) -> None:
        """Append to `part` what it lacks of a package; log in again if the site asks for it."""
        reached = -ENOUGH
        while (there := _size(part)) != package.size:
            try:
                self._client.save(package.url, part, arrived=arrived)
                if _size(part) == there:
                    raise ProbunetError(
                        f"{package.url}: nothing comes from byte {there} of {package.size} on; "
                        f"remove {part} and run the same command again."
                    )
            except _LoginLostError as error:
                if _size(part) < reached + ENOUGH:
                    raise ProbunetError(
                        f"{error} A new login has not changed that. What has come so far is kept: "
                        "run the same command again later to go on from there."
                    ) from None
                reached = _size(part)
                _log.info("%s: logging in again", package.name)
                self.log_in()

    def _listed(self) -> dict[str, str]:
        """Return the ids of the packages that the account sees, by their names."""
        url = f"{self._endpoint}/downloads/?list"
        try:
            answer = self._client.get(url).data
        except StatusError as error:
            raise self._no_access(*PACKAGES) if error.status == 403 else error from None
        try:
            return {str(item["name"]): str(item["packageID"]) for item in json.loads(answer)}
        except (ValueError, TypeError, KeyError):
            raise _LoginLostError(
                f"{url}: no list of packages comes, but something else."
            ) from None

    def _package(self, name: str, number: str) -> _Package:
        """Return what the site tells of a package; its first bytes tell whether it comes."""
        query = f"?packageID={quote(number, safe='')}"
        url = f"{self._endpoint}/file-handling/{query}"
        try:
            told = self._client.get(f"{self._endpoint}/md5-sum/{query}").data
            start = self._client.get(url, 0, len(_ZIP))
        except StatusError as error:
            raise self._no_access(name) if error.status == 403 else error from None
        md5 = _MD5.match(told.decode("ascii", "replace").strip().lower())
        if start.data != _ZIP or start.total is None or md5 is None:
            what = "no MD5" if start.data == _ZIP else "no zip"
            raise _LoginLostError(f"{url}: {what} of {name} comes, but something else.")
        self._sizes[url] = start.total
        return _Package(name, url, start.total, md5[0])

    def _no_access(self, *names: str) -> ProbunetError:
        return ProbunetError(
            f"{self._endpoint}: the account may not download {' and '.join(names)}. Log in at "
            f"{self._endpoint}/downloads/ in a browser, accept the licence, and see that the "
            "packages are offered there; then run the same command again."
        )

    def _refuse_pages(self, response: requests.Response, *_: Any, **__: Any) -> None:
        """Raise an error if the site leads elsewhere, to its login as a rule, or sends a page.

        Nothing of where it leads to is told: a bad site may put into it what it was sent.
        """
        url = str(response.request.url)
        if response.request.method == "POST" or url == f"{self._endpoint}/login":
            return
        expected = self._sizes.get(url)
        if response.is_redirect:
            fault = "the site leads to another page, as if nobody were logged in."
        elif response.ok and expected is not None and total_of(response) != expected:
            fault = f"something else than the {expected} bytes of before comes."
        else:
            return
        response.close()
        raise _LoginLostError(f"{url}: {fault}")


def _checked_endpoint(url: str) -> str:
    """Return the site's address, fit to have paths appended and a password sent to."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise ProbunetError(
            f"endpoint_url: the address of {parts.hostname} has a user's name or password in it; "
            f"leave them out, and set {USERNAME} and {PASSWORD} in the environment."
        )
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise ProbunetError(
            f"endpoint_url: {url}: the password would travel unencrypted; give an address that "
            "begins with https://."
        )
    return url.rstrip("/")


class _Hidden(dict[str, str]):
    """A form whose values show in no message and no list of variables."""

    def __repr__(self) -> str:
        return f"<form of {len(self)} fields>"


def _credentials(endpoint: str) -> _Hidden:
    """Return the login's form, filled in from the environment."""
    form = _Hidden(
        username=os.environ.get(USERNAME, ""),
        password=os.environ.get(PASSWORD, ""),
        submit="Login",
    )
    if not all(form.values()):
        raise ProbunetError(
            f"Cityscapes: set {USERNAME} and {PASSWORD} in the environment to those of your "
            f"account with the publisher; {endpoint}/register/ makes one."
        )
    return form


def _download(site: _Site, packages: list[_Package], folder: Path) -> None:
    """Download and unpack packages, one after the other; a zip is removed once it is unpacked."""
    to_come = sum(max(0, package.size - _size(package.part(folder))) for package in packages)
    to_unpack = sum(max(0, package.size - _unpacked(package, folder)) for package in packages)
    check_space(folder, to_come + to_unpack)
    with Progress("Cityscapes", to_come) as progress:
        for package in packages:
            _save_checked(site, package, folder, progress)
            _unpack(package, folder)


def _unpacked(package: _Package, folder: Path) -> int:
    """Return how many bytes of a package's files there are already."""
    tree = folder / package.name.partition("_")[0]
    return sum(_size(path) for path in tree.rglob("*.png"))


def _save_checked(site: _Site, package: _Package, folder: Path, progress: Progress) -> None:
    """Download a package until it is what the publisher's MD5 tells; twice at most."""
    part = package.part(folder)
    for _ in range(2):
        site.save(package, part, lambda count: progress.add(count, objects=0))
        if _md5(part) == package.md5:
            progress.add(0)
            return
        part.unlink()
        _log.warning("%s: not of the publisher's MD5; beginning anew", package.name)
    raise ProbunetError(
        f"{package.url}: {package.name} has come twice, and not with the MD5 that the publisher "
        f"tells, {package.md5}. Something between here and there changes it, or the publisher's "
        "file is broken; run the same command again later."
    )


def _unpack(package: _Package, folder: Path) -> None:
    """Unpack what is needed, write down what that was, and remove the zip."""
    _log.info("unpacking %s", package.name)
    part = package.part(folder)
    paths = unpack(part, folder, _needed, 2 * package.size + _SMALL)
    files = {
        str(path.relative_to(folder)): path.stat().st_size
        for path in paths
        if path.suffix == ".png"
    }
    if not files:
        raise ProbunetError(
            f"{part}: holds no file of {package.name.partition('_')[0]}/train or /val, where the "
            "publisher's archive has them."
        )
    with written_whole(_record(folder, package.name)) as aside:
        aside.write_text(json.dumps({"md5": package.md5, "files": files}, indent=1) + "\n")
    os.sync()  # a power cut must not take the pictures once the zip is gone
    part.unlink()


def _needed(name: str) -> str | None:
    return name if _NEEDED.fullmatch(name) else None


def _record(folder: Path, name: str) -> Path:
    """Return where it is written what a package was unpacked to."""
    return folder / f".{name}.json"


def _is_unpacked(folder: Path, name: str) -> bool:
    """Return whether all files of a package are there; remove its zip if so."""
    record = _record(folder, name)
    if not record.exists():
        return False
    files = json.loads(record.read_bytes())["files"]
    lost = [path for path, size in files.items() if _size(folder / path) != size]
    if lost:
        _log.warning(
            "%s: %d of %d files of %s are gone or of another size (first %s); downloading it again",
            folder, len(lost), len(files), name, lost[0],
        )  # fmt: skip
        return False
    (folder / f".{name}.part").unlink(missing_ok=True)  # of a run that was stopped just here
    return True


def _licence(folder: Path) -> str:
    """Return the licence's reference, and its text as it came with the pictures."""
    text = folder / "license.txt"
    return f"{LICENCE}\n\n{text.read_text(errors='replace')}" if text.exists() else LICENCE


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))
    return digest.hexdigest()
