"""What each verb says in its requests beside what it wants: checksums, who pays, how often."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import uuid
from typing import TYPE_CHECKING

import boto3
import pyarrow as pa
import pytest

from imgbatch.dataset.delta import Table
from imgbatch.errors import SettingsError, StorageError
from imgbatch.settings import Limits
from imgbatch.storage import clients, open_store
from tests.servers.counting import counting
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from imgbatch.storage import Store
    from tests.servers.counting import Counting
    from tests.servers.scripted import Scripted

DATA = b"what is put, whatever it is" * 100
STAMPED = {
    "ETag": '"1"',
    "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT",
    "x-goog-generation": "1",
}
SUM = "x-amz-checksum-sha256"
SCHEMA = pa.schema([("x", pa.int8())])


def file_of(folder: Path, data: bytes) -> str:
    path = folder / "file"
    path.write_bytes(data)
    return str(path)


def digest(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


WRITES: dict[str, Callable[[Store, Path], object]] = {
    "put": lambda store, _: store.put("x", DATA),
    "put_once": lambda store, _: store.put_once("x", DATA),
    "replace": lambda store, _: store.replace("x", DATA, store.head("x").version),
    "put_file": lambda store, folder: store.put_file("x", file_of(folder, DATA)),
}
VERBS: dict[str, Callable[[Store, Path], object]] = {
    **WRITES,
    "get": lambda store, _: store.get("x"),
    "get_range": lambda store, _: store.get_range("x", 0, 1),
    "head": lambda store, _: store.head("x"),
    "open": lambda store, _: store.open("x").read(),
    "delete": lambda store, _: store.delete("x"),
    "list": lambda store, _: list(store.list()),
    "folders": lambda store, _: store.folders(),
    "files": lambda store, _: store.files(),
    "former": lambda store, _: list(store.former()),
    "an odd name": lambda store, _: store.get("a//b"),
}


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("verb", WRITES)
def test_what_is_put_to_s3_carries_the_digest_of_its_bytes(
    scripted: Scripted, tmp_path: Path, verb: str
) -> None:
    scripted.always = Answer(headers=STAMPED)
    WRITES[verb](open_store(f"s3://b?endpoint={scripted.url}"), tmp_path)
    (asked,) = [asked for asked in scripted.asked if asked.method == "PUT"]
    assert asked.body == DATA
    assert asked.headers[SUM] == digest(DATA)


@pytest.fixture
def counted(bucket: str) -> Iterator[tuple[Counting, str]]:  # noqa: ARG001 - it points the environment at its server
    """A bucket of moto's, by way of a server that keeps what it is asked."""
    name = f"said-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    with counting(os.environ["AWS_ENDPOINT_URL"]) as server:
        yield server, f"s3://{name}?endpoint={server.url}"
    clients.forget()
    open_store.cache_clear()


def test_each_part_of_a_large_file_carries_its_digest(
    counted: tuple[Counting, str], tmp_path: Path
) -> None:
    server, url = counted
    data = os.urandom(12 * 2**20)
    open_store(url).put_file("x", file_of(tmp_path, data))
    parts = [asked for asked in server.asked if asked.method == "PUT"]
    assert len(parts) > 1
    assert {part.headers.get(SUM) == digest(part.sent) for part in parts} == {True}
    assert open_store(url).get("x") == data


def test_commits_of_delta_carry_their_digests_too(counted: tuple[Counting, str]) -> None:
    server, url = counted
    table = Table(open_store(url), "tables/t")
    table.create(SCHEMA, fence=0, run="create")
    table.commit([], [], fence=1, run="run1")
    puts = [asked for asked in server.asked if asked.method == "PUT"]
    assert len([asked for asked in puts if asked.path.endswith(".json")]) == 2
    assert {asked.headers.get(SUM) == digest(asked.sent) for asked in puts} == {True}


def test_delta_goes_on_longer_than_a_single_request_and_no_longer_than_a_store_may_be_out(
    keys: pytest.MonkeyPatch, scripted: Scripted
) -> None:
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    scripted.always = Answer(500, "InternalError")
    store = open_store(f"s3://b?endpoint={scripted.url}")
    with pytest.raises(StorageError):
        store.get("x")
    assert len(scripted.asked) == 1
    told = store.delta_location("t")[1]
    assert told["retry_timeout"] == f"{Limits().fetch_seconds:.0f}s"
    assert "max_retries" not in told  # object_store's own ten, with ever longer pauses


@pytest.mark.usefixtures("keys")
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    ("place", "header", "payer"),
    [
        ("s3://b?requester_pays=true", "x-amz-request-payer", "requester"),
        ("gs://b?anonymous=true&project=lab", "x-goog-user-project", "lab"),
    ],
    ids=["s3", "gs"],
)
def test_who_pays_is_said_by_every_verb(
    scripted: Scripted, tmp_path: Path, verb: str, place: str, header: str, payer: str
) -> None:
    scripted.always = Answer(headers=STAMPED, body=b"{}")
    store = open_store(f"{place}&endpoint={scripted.url}")
    with contextlib.suppress(Exception):  # what it makes of the answer is none of this
        VERBS[verb](store, tmp_path)
    assert scripted.asked
    for asked in scripted.asked:
        said = asked.headers.get(header) or asked.path.partition("userProject=")[2].split("&")[0]
        assert said == payer, (asked.method, asked.path)
    if verb in WRITES:  # a condition is looked up first
        assert "PUT" in [asked.method for asked in scripted.asked]


@pytest.mark.usefixtures("keys")
def test_who_pays_is_said_in_links_and_by_delta_with_s3(scripted: Scripted) -> None:
    scripted.always = Answer(404, "NoSuchKey")
    store = open_store(f"s3://b?requester_pays=true&endpoint={scripted.url}")
    assert "x-amz-request-payer=requester" in str(store.link("x", 60))
    assert store.delta_location("t")[1]["aws_request_payer"] == "true"
    with contextlib.suppress(Exception):
        Table(store, "t")
    assert scripted.asked
    assert {asked.headers.get("x-amz-request-payer") for asked in scripted.asked} == {"requester"}


@pytest.mark.usefixtures("untold")
def test_a_project_that_pays_with_google_is_refused_for_a_dataset() -> None:
    store = open_store("gs://b/d?anonymous=true&project=lab")
    with pytest.raises(SettingsError, match=r"project=lab cannot be given for a DATASET") as caught:
        Table(store, "t")
    assert "for an INPUT it may stay" in caught.value.remedy
