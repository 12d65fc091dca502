import hashlib

import pytest

from probunet.config import Fetch
from probunet.errors import ProbunetError
from probunet.fetch.bucket import Bucket, ChangedError, StoredObject
from probunet.fetch.http import Body, Client
from support.servers.misbehaving import Fault, misbehaving
from support.servers.s3 import s3_server

NAMES = [f"a b+ä&?%{number:04}.dcm" for number in range(1205)]  # two pages, and what URLs escape


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory):
    folder = tmp_path_factory.mktemp("s3") / "buckets"
    for series in ("one", "one-more"):
        (folder / "bucket" / series).mkdir(parents=True)
    for number, name in enumerate(NAMES):
        (folder / "bucket/one" / name).write_text(str(number))
    (folder / "bucket/one-more/other").write_text("other")
    with s3_server(folder) as url:
        yield url


@pytest.fixture
def client():
    with Client(Fetch(retries=0)) as client:
        yield client


def test_all_pages_of_a_list_and_nothing_beside(endpoint, client):
    found = Bucket(client, endpoint + "/", "bucket").list("one/")
    assert [item.key for item in found] == [f"one/{name}" for name in NAMES]
    for number, item in list(enumerate(found))[::100]:
        content = str(number).encode()
        assert (item.size, item.etag) == (len(content), hashlib.md5(content).hexdigest())


def test_objects_are_read_by_their_keys(endpoint, client):
    bucket = Bucket(client, endpoint, "bucket")
    for number, item in list(enumerate(bucket.list("one/")))[1000::50]:
        assert bucket.read(item).data == str(number).encode()
        assert bucket.read(item, last=2).data == str(number).encode()[:2]


def test_what_is_not_what_the_list_said(endpoint, client):
    bucket = Bucket(client, endpoint, "bucket")
    with pytest.raises(ChangedError, match="gone"):
        bucket.read(StoredObject("one/none", 1, ""))
    with pytest.raises(ChangedError, match="another ETag"):
        bucket.read(StoredObject(f"one/{NAMES[7]}", 1, "0" * 32))


def test_faults_of_bytes():
    content = b"slice"
    md5 = hashlib.md5(content).hexdigest()
    assert StoredObject("k", 5, md5).fault_of(content) is None
    assert StoredObject("k", 5, "of-several-parts-2").fault_of(content) is None
    assert StoredObject("k", 6, md5).fault_of(content) == "5 of 6 bytes"
    assert md5 in str(StoredObject("k", 5, md5).fault_of(b"SLICE"))


@pytest.mark.parametrize(
    ("body", "told"), [(b"<html><p>hello", "not an S3 server"), (b"<a/>", "not an S3 server")]
)
def test_what_is_no_s3_server(endpoint, client, body, told):
    with misbehaving(endpoint) as proxy:
        proxy.plan = lambda asked: Fault(status=200, body=body)
        with pytest.raises(ProbunetError, match=told):
            Bucket(client, proxy.url, "bucket").list("one/")


def test_a_bucket_that_wants_credentials(endpoint, client):
    with misbehaving(endpoint) as proxy:
        proxy.plan = lambda asked: Fault(status=403, body=b"<Error/>")
        with pytest.raises(ProbunetError, match=r"403.*without credentials"):
            Bucket(client, proxy.url, "bucket").list("one/")


class Pages:
    """A client that gets the same page of a list for ever."""

    def __init__(self, entry: str, more: bool = True) -> None:
        self.asked = 0
        end = "<IsTruncated>true</IsTruncated><NextContinuationToken>1</NextContinuationToken>"
        self.page = f"<ListBucketResult>{entry}{end * more}</ListBucketResult>".encode()

    def get(self, url: str) -> Body:
        self.asked += 1
        return Body(self.page, 0, None)


def test_a_list_without_an_end_is_refused():
    client = Pages("<Contents><Key>a/1</Key><Size>3</Size></Contents>")
    with pytest.raises(ProbunetError, match="does not end after 100 pages"):
        Bucket(client, "http://localhost", "bucket").list("a/")
    assert client.asked == 100


@pytest.mark.parametrize("size", ["", "-1", "three", "99999999999999", "1" * 5000, "٣"])
def test_sizes_that_no_slice_has_are_refused(size):
    client = Pages(f"<Contents><Key>a/1</Key><Size>{size}</Size></Contents>", more=False)
    with pytest.raises(ProbunetError, match="a slice has at most 16,777,216"):
        Bucket(client, "http://localhost", "bucket").list("a/")
