"""An object that is not what the listing saw: found out while it is read, and healed by a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.errors import FetchError
from imgbatch.records import Source
from imgbatch.settings import Limits
from imgbatch.sources import fetch
from imgbatch.storage import ChangedError, open_store
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.scripted import Scripted

LISTED, OTHER = '"listed"', '"other"'


def part(tag: str, *, start: int = 0, length: int = 10, size: int = 10) -> Answer:
    headers = {"ETag": tag, "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"}
    if length == size:
        return Answer(body=b"x" * size, headers=headers)
    headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
    return Answer(206, body=b"x" * length, headers=headers)


@pytest.fixture
def url(keys: pytest.MonkeyPatch, scripted: Scripted) -> str:
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    return open_store(f"s3://photos?endpoint={scripted.url}").root


def test_the_same_size_in_another_version_is_fetch_changed_and_asked_for_once(
    url: str, scripted: Scripted
) -> None:
    source = Source(f"{url}/a.jpg", LISTED, 10)
    scripted.always = part(LISTED)
    assert fetch(source, limits=Limits()).read() == b"x" * 10
    scripted.always = part(OTHER)
    with pytest.raises(FetchError) as caught:
        fetch(source, limits=Limits())
    assert caught.value.code == "fetch.changed"
    assert not caught.value.retryable
    assert len(scripted.asked) == 2


def test_a_large_object_that_is_replaced_between_two_ranges_is_fetch_changed(
    url: str, scripted: Scripted
) -> None:
    size = 3 * 2**20
    source = Source(f"{url}/a.mp4", LISTED, size)
    whole = Answer(headers={**part(LISTED).headers, "X-Size": str(size)})
    scripted.script = [
        whole,
        whole,
        part(LISTED, start=0, length=2**20, size=size),
        part(OTHER, start=2**20, length=2**20, size=size),
    ]

    def content_length(answer: Answer) -> Answer:
        answer.body = b"x" * size  # a HEAD says how long it would be
        return answer

    scripted.script[0] = content_length(whole)
    with pytest.raises(FetchError) as caught:
        fetch(source, limits=Limits(fetched_bytes=2**16)).read()
    assert caught.value.code == "fetch.changed"


def test_a_file_of_the_same_size_and_another_time_is_changed(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put("a.jpg", b"one")
    version = store.head("a.jpg").version
    assert store.get("a.jpg", version) == b"one"
    store.replace("a.jpg", b"two", version)
    for read in (store.get, store.open):
        with pytest.raises(ChangedError):
            read("a.jpg", version)
    with pytest.raises(ChangedError):
        store.get_range("a.jpg", 0, 2, version)
