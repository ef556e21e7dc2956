"""Bytes that come otherwise to Google are noticed by the MD5 in the answer, and only they."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch import attempts
from imgbatch.attempts import Patience, attempt
from imgbatch.errors import StorageError
from imgbatch.storage import open_store
from tests.conftest import ask
from tests.servers.counting import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.storage import Store
    from tests.servers.counting import Counting

    Made = Callable[[str], Store]


@pytest.fixture
def server(gs_server: str, untold: pytest.MonkeyPatch) -> Iterator[Counting]:
    """What stands before Google's server, and may change what is put."""
    untold.setattr(attempts, "FIRST", 0.001)
    with counting(gs_server) as server:
        yield server


@pytest.fixture
def made(server: Counting) -> Made:
    """Makes a bucket, with a key of the customer's own or none, and opens it."""

    def make(key: str) -> Store:
        name = f"echo-{uuid.uuid4().hex[:12]}"
        ask(f"{server.url}/storage/v1/b", {"name": name, "encryption": {"defaultKmsKeyName": key}})
        return open_store(f"gs://{name}?endpoint={server.url}&anonymous=true")

    return make


def gets(server: Counting) -> int:
    return sum(one.method == "GET" for one in server.asked)


@pytest.mark.parametrize("key", ["", "projects/p/k"], ids=["plain", "key"])
def test_other_bytes_than_were_sent_are_an_error_and_put_again(
    made: Made, server: Counting, key: str
) -> None:
    store = made(key)
    server.bends = 1
    with pytest.raises(StorageError, match="other bytes came there than were sent"):
        store.put("part", b"0123456789")
    server.bends = 2
    attempt(lambda: store.put("part", b"0123456789"), Patience(attempts=3, seconds=60))
    assert server.bends == 0
    assert store.get("part") == b"0123456789"


def test_where_etags_are_md5s_nothing_is_read_again(made: Made, server: Counting) -> None:
    store = made("")
    for number in range(3):
        store.put("part", b"%d" % number)
    assert gets(server) == 0


def test_where_they_are_not_one_object_is_read_again_and_none_after_it(
    made: Made, server: Counting
) -> None:
    store = made("projects/p/k")
    for number in range(3):
        store.put("part", b"%d" % number)
    assert gets(server) == 1
    assert store.get("part") == b"2"


def test_what_somebody_else_put_meanwhile_is_no_error(made: Made) -> None:
    store = made("projects/p/k")
    read = store.get

    def late(name: str, version: str = "") -> bytes:
        other.put(name, b"theirs")
        return read(name, version)

    other = open_store(f"{store.root}/")
    store.get = late  # type: ignore[method-assign] # the moment between the two requests
    store.put("part", b"ours")
    assert read("part") == b"theirs"
