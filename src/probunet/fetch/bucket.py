"""Read a public S3 bucket: list and get objects, without credentials.

Amazon Simple Storage Service, API Reference: ListObjectsV2 and GetObject, unsigned, path style.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import NoReturn
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from probunet.errors import ProbunetError
from probunet.fetch.http import Body, Client, StatusError
from probunet.limits import LARGEST_OBJECT

_MD5_DIGITS = 32
_MOST_PAGES = 100  # of 1000 objects each; a series has fewer than 1000


@dataclass(frozen=True)
class StoredObject:
    """An entry of a bucket's list."""

    key: str
    size: int
    etag: str

    def fault_of(self, data: bytes) -> str | None:
        """Return how these bytes differ from the object; None if they do not.

        The ETag of an object that was stored in one piece is its MD5 (API Reference, Object).
        """
        if len(data) != self.size:
            return f"{len(data)} of {self.size} bytes"
        if len(self.etag) == _MD5_DIGITS and (md5 := hashlib.md5(data).hexdigest()) != self.etag:
            return f"MD5 {md5} instead of {self.etag}"
        return None


class _Answer(ElementTree.TreeBuilder):
    """The elements of an answer without a document type, whose entities can grow to gigabytes."""

    def doctype(self, *_: object) -> NoReturn:
        """Refuse a document type."""
        raise ElementTree.ParseError("it has a document type")


class ChangedError(Exception):
    """An object differs from the one that was listed."""


class Bucket:
    """The objects of a bucket at an endpoint."""

    def __init__(self, client: Client, endpoint: str, name: str) -> None:
        self._client = client
        self.endpoint, self.name = endpoint.rstrip("/"), name
        self.url = f"{self.endpoint}/{name}"

    def list(self, prefix: str) -> list[StoredObject]:
        """Return the objects whose keys start with `prefix`, ordered by key.

        Raises
        ------
        ProbunetError
            If the bucket does not exist, the endpoint is not an S3 server, or the list does not
            end.
        """
        found: list[StoredObject] = []
        token: dict[str, str] = {}
        for _ in range(_MOST_PAGES):
            query = urlencode({"list-type": "2", "prefix": prefix, **token})
            root = self._list_page(f"{self.url}?{query}")
            for item in root.iterfind("{*}Contents"):
                key, size = item.findtext("{*}Key", ""), item.findtext("{*}Size", "")
                if not (re.fullmatch("[0-9]{1,20}", size) and int(size) <= LARGEST_OBJECT):
                    raise ProbunetError(
                        f"{self.url}: lists {key!r} with a size of {size[:20] or 'no'} bytes; a "
                        f"slice has at most {LARGEST_OBJECT:,}. Correct `endpoint_url` or `bucket` "
                        "in the configuration."
                    )
                found.append(StoredObject(key, int(size), item.findtext("{*}ETag", "").strip('"')))
            next_token = root.findtext("{*}NextContinuationToken")
            if root.findtext("{*}IsTruncated") != "true" or not next_token:
                return sorted(found, key=lambda item: item.key)
            token = {"continuation-token": next_token}
        raise ProbunetError(
            f"{self.url}: the list of {prefix} does not end after {_MOST_PAGES} pages; correct "
            "`endpoint_url` in the configuration."
        )

    def read(self, item: StoredObject, last: int | None = None) -> Body:
        """Return an object's bytes up to `last` (excluded); all if None.

        Raises
        ------
        ChangedError
            If it was deleted or replaced since it was listed.
        """
        try:
            url = f"{self.url}/{quote(item.key)}"
            body = self._client.get(url, last=last, most=LARGEST_OBJECT)
        except StatusError as error:
            if error.status == 404:
                raise ChangedError(f"{item.key} is gone") from None
            raise
        etag = body.headers.get("ETag", "").strip('"')
        if etag and item.etag and etag != item.etag:
            raise ChangedError(f"{item.key} has another ETag than in the list")
        return body

    def _list_page(self, url: str) -> ElementTree.Element:
        try:
            data = self._client.get(url).data
        except StatusError as error:
            raise ProbunetError(
                f"{error} Is {self.url} a bucket that can be read without credentials? "
                "(`endpoint_url` and `bucket` in the configuration)"
            ) from None
        try:
            root = ElementTree.fromstring(data, ElementTree.XMLParser(target=_Answer()))
        except ElementTree.ParseError:
            root = None
        if root is None or not root.tag.endswith("ListBucketResult"):
            raise ProbunetError(
                f"{self.url}: not an S3 server (its answer begins with {data[:40]!r}); correct "
                "`endpoint_url` in the configuration."
            )
        return root
