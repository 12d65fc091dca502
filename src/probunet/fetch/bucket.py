"""Read a public S3 bucket: list and get objects, without credentials.

Amazon Simple Storage Service, API Reference: ListObjectsV2 and GetObject, unsigned, path style.
"""

import hashlib
from dataclasses import dataclass
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

from probunet.errors import ProbunetError
from probunet.fetch.http import Body, Client, StatusError

_MD5_DIGITS = 32


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
            If the bucket does not exist, or the endpoint is not an S3 server.
        """
        found: list[StoredObject] = []
        token: dict[str, str] = {}
        while True:
            query = urlencode({"list-type": "2", "prefix": prefix, **token})
            root = self._list_page(f"{self.url}?{query}")
            for item in root.iterfind("{*}Contents"):
                size, etag = item.findtext("{*}Size", "-1"), item.findtext("{*}ETag", "")
                found.append(StoredObject(item.findtext("{*}Key", ""), int(size), etag.strip('"')))
            next_token = root.findtext("{*}NextContinuationToken")
            if root.findtext("{*}IsTruncated") != "true" or not next_token:
                return sorted(found, key=lambda item: item.key)
            token = {"continuation-token": next_token}

    def read(self, item: StoredObject, last: int | None = None) -> Body:
        """Return an object's bytes up to `last` (excluded); all if None.

        Raises
        ------
        ChangedError
            If it was deleted or replaced since it was listed.
        """
        try:
            body = self._client.get(f"{self.url}/{quote(item.key)}", last=last)
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
            root = ElementTree.fromstring(data)
        except ElementTree.ParseError:
            root = None
        if root is None or not root.tag.endswith("ListBucketResult"):
            raise ProbunetError(
                f"{self.url}: not an S3 server (its answer begins with {data[:40]!r}); correct "
                "`endpoint_url` in the configuration."
            )
        return root
