"""Names that obstore cannot say, in buckets of S3 (moto's server) and Google (ours).

Both servers hold such keys as the real ones do: asked for the key that is listed, boto3 and
google-cloud-storage get the bytes that were put there. `.` and `..` alone Google forbids.
"""

from __future__ import annotations

import io
import json
import os
import socket
import uuid
import zipfile
from typing import TYPE_CHECKING

import boto3
import pytest
from obstore.exceptions import PreconditionError

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import AccessError, DeniedError, OutageError, StorageError
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.sources import fetch, open_input
from imgbatch.storage import ChangedError, listings, locate, open_store, sdk
from imgbatch.storage.ahead import BLOCK
from imgbatch.storage.odd import OddNames, is_odd
from imgbatch.summary import Request
from tests import corpus
from tests.conftest import ask
from tests.servers.counting import counting
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from imgbatch.storage import Store
    from imgbatch.summary import Summary
    from tests.servers.scripted import Scripted

ODD = (
    "a//b.jpg",
    "a///b.jpg",
    "a//b c?#%2F!.jpg",
    "x/./y.jpg",
    "x/../z.jpg",
    "../up.jpg",
    "tab\t/x.jpg",
    "Z\u00fcrich//\u65e5\u672c.jpg",
    "full/",
)
LEADING = ("/lead.jpg", "//two.jpg", "/2024/./x.jpg")
PLAIN = ("a/b.jpg", "lead.jpg", "two.jpg", "x/y.jpg", "z.jpg", ".hidden/..x/x..", "...")


SLOW_ON_S3 = pytest.mark.parametrize(
    "place", ["gs", pytest.param("s3", marks=pytest.mark.slow)], indirect=True
)


@pytest.fixture(params=["s3", "gs"])
def place(request: pytest.FixtureRequest) -> str:
    """The URL of a bucket of its own."""
    name = f"odd-{uuid.uuid4().hex[:12]}"
    if request.param == "s3":
        request.getfixturevalue("bucket")
        boto3.client("s3").create_bucket(Bucket=name)
    else:
        request.getfixturevalue("gs_bucket")
        ask(f"{request.getfixturevalue('gs_server')}/storage/v1/b", {"name": name})
    return f"{request.param}://{name}"


def raw(place: str, objects: Mapping[str, bytes]) -> None:
    """Put objects by their whole keys, as a scraper does."""
    scheme, _, bucket = place.partition("://")
    if scheme == "s3":
        client = sdk.s3(place)
        for key, data in objects.items():
            client.put_object(Bucket=bucket, Key=key, Body=data)
        return
    client = sdk.google(place)
    for key, data in objects.items():
        client.bucket(bucket).blob(key).upload_from_string(data)


def named(names: Iterable[str], prefix: str = "") -> dict[str, bytes]:
    return {prefix + name: f"bytes of {name}".encode() for name in names}


def listed(url: str) -> list[str]:
    return sorted(entry.name for entry in open_store(url).list())


@pytest.mark.parametrize("key", [*ODD, *LEADING, "", ".", "..", "a/..", "./a", "a\x7f", "a\n"])
def test_odd_is_what_obstore_refuses_or_takes_for_another(key: str) -> None:
    assert is_odd(key)


@pytest.mark.parametrize("key", [*PLAIN, "a/ /b", "\u00a0/x", "a.", ".a/b.", "a\\b"])
def test_all_else_is_not_odd(key: str) -> None:
    assert not is_odd(key)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "p//q+%2F/"])
def test_every_name_is_listed_once_and_read_by_its_name_and_by_its_address(
    place: str, prefix: str
) -> None:
    objects = named([*ODD, *LEADING, *PLAIN])
    raw(place, {prefix + name: data for name, data in objects.items()})
    raw(place, {f"{prefix}end/": b"", f"{prefix}a/": b"", "other//x": b"."} if prefix else {})
    store = open_store(f"{place}/{prefix}".replace("%", "%25"))
    entries = list(store.list())
    assert sorted(entry.name for entry in entries) == sorted(objects)
    for entry in entries:
        data = objects[entry.name]
        assert entry.size == len(data)
        assert store.head(entry.name) == entry
        assert store.get(entry.name, entry.version) == data
        assert store.get_range(entry.name, 2, 3, entry.version) == data[2:5]
        assert store.get_range(entry.name, 3, 999) == data[3:]
        assert store.get_range(entry.name, 999, 2) == b""
        with store.open(entry.name, entry.version) as file:
            file.seek(-4, 2)
            assert file.read() == data[-4:]
        found, name = locate(store.address(entry.name))
        assert (name, found.get(name)) == (prefix + entry.name, data)
    assert len({store.address(entry.name) for entry in entries}) == len(entries)


@pytest.fixture
def paged(place: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, int]:
    """A bucket of its own and how much one answer lists: 100, as our server does, or 1000."""
    size = 100 if place.startswith("gs") else 1000
    monkeypatch.setattr(listings, "PAGE", size)
    return place, size


@SLOW_ON_S3
def test_a_listing_that_is_refused_on_a_later_page_goes_on_without_a_gap_or_a_double(
    paged: tuple[str, int],
) -> None:
    place, size = paged
    plain = [f"m/{number:05}.jpg" for number in range(3 * size)]
    odd = [f"m/{2 * size + 5:05}/./a.jpg", "n//b.jpg", "n/./c.jpg"]
    raw(place, named([*plain, *odd, "zz.jpg"]) | {"m/": b"", "n/": b"", "o/": b""})
    assert listed(place) == sorted([*plain, *odd, "zz.jpg"])
    assert listed(f"{place}/m") == sorted(name[2:] for name in [*plain, *odd] if name[0] == "m")
    raw(place, named(["m//first.jpg"]))
    assert listed(place) == sorted([*plain, *odd, "m//first.jpg", "zz.jpg"])


@SLOW_ON_S3
def test_a_page_that_ends_with_the_marker_of_a_folder_is_gone_on_after_it(
    paged: tuple[str, int],
) -> None:
    place, size = paged
    # The last key of the first page is `f/`, which obstore calls `f`; `f-...` come before it.
    plain = [f"f-{number:04}" for number in range(size - 1)]
    raw(place, named([*plain, "g//h", "f/x"]) | {"f/": b""})
    assert listed(place) == sorted([*plain, "g//h", "f/x"])


@pytest.mark.parametrize("others", [[], ["//odd"]])
def test_names_that_differ_by_a_slash_at_the_end_are_two_unless_one_is_a_marker(
    place: str, others: list[str]
) -> None:
    raw(place, {"p/x": b"", "p/x/": b"", "p/y": b"full", "p/y/": b"", "p/z/": b""})
    raw(place, named(others, "p/"))
    assert listed(f"{place}/p") == sorted(["x", "y", *others])
    raw(place, {"p/y/": b"bytes"})
    assert listed(f"{place}/p") == sorted(["x", "y", "y/", *others])
    assert open_store(f"{place}/p").get("y/") == b"bytes"


def test_a_prefix_and_a_single_object_may_be_odd(place: str) -> None:
    raw(place, named(["a//b/c.jpg", "a/b/d.jpg", "/2024/x.jpg", "2024/y.jpg"]))
    assert listed(f"{place}/a//b") == ["c.jpg"]
    assert listed(f"{place}//2024") == ["x.jpg"]
    assert listed(f"{place}/2024") == ["y.jpg"]
    for key in ("a//b/c.jpg", "/2024/x.jpg"):
        (source,) = open_input(f"{place}/{key}")
        assert source.address == f"{place}/{key}"
        assert fetch(source, limits=Limits()).read() == f"bytes of {key}".encode()


def test_a_version_that_only_obstore_knows_is_asked_of_it(gs_server: str, gs_bucket: str) -> None:
    assert gs_bucket
    name = f"keyed-{uuid.uuid4().hex[:12]}"
    about = {"name": name, "encryption": {"defaultKmsKeyName": "projects/p/k"}}
    ask(f"{gs_server}/storage/v1/b", about)
    raw(f"gs://{name}", named(["//odd", "a/b", "a//b", "c"]))
    store = open_store(f"gs://{name}")
    entries = list(store.list())
    assert len(entries) == 4
    for entry in entries:
        assert store.get(entry.name, entry.version) == f"bytes of {entry.name}".encode()
        assert store.head(entry.name) == entry


def test_what_changed_is_told_and_never_mixed(place: str) -> None:
    raw(place, {"a//big": b"1" * 3 * BLOCK})
    store = open_store(place)
    (entry,) = store.list()
    with store.open("a//big", entry.version) as file:
        assert file.read(10) == b"1" * 10
        raw(place, {"a//big": b"2" * 3 * BLOCK})
        with pytest.raises(ChangedError):
            file.read()
    for read in (store.get, store.open):
        with pytest.raises(ChangedError):
            read("a//big", entry.version)
    with pytest.raises(ChangedError):
        store.get_range("a//big", 0, 3, entry.version)


@pytest.mark.parametrize("place", ["gs"], indirect=True)
def test_google_is_asked_twice_and_both_answers_are_of_one_generation(place: str) -> None:
    raw(place, {"a//b": b"one"})
    _, read = OddNames(place).objects.read("a//b", None)
    raw(place, {"a//b": b"two"})
    with pytest.raises(PreconditionError):
        read()


def test_a_missing_one_is_a_file_not_found_and_a_missing_bucket_an_access_error(place: str) -> None:
    raw(place, {"a/b": b"."})
    for store, kind in (
        (open_store(place), FileNotFoundError),
        (open_store(f"{place}-no-such"), AccessError),
    ):
        with pytest.raises(kind, match=r"a//b is not there|there is no such bucket"):
            store.get("a//b")
        with pytest.raises(kind):
            store.get_range("a//b", 0, 1)
    with pytest.raises(FileNotFoundError):
        open_store(place).head("a//b")
    with pytest.raises(FileNotFoundError):
        open_store(place).open("/a/b")


VERBS: tuple[Callable[[Store], object], ...] = (
    lambda store: store.get("a//x"),
    lambda store: store.get_range("/x", 0, 10),
    lambda store: store.head("a/./x"),
    lambda store: store.open("a/../x"),
    lambda store: list(open_store(f"{store.root}/a//b").list()),
)
ANONYMOUS = {"s3": "", "gs": "&anonymous=true"}
REFUSED: list[tuple[str, int, str, type[StorageError], str]] = [
    ("s3", 403, "SignatureDoesNotMatch", AccessError, "does not know the credentials"),
    ("s3", 400, "ExpiredToken", AccessError, "credentials have expired"),
    ("s3", 403, "AccessDenied", DeniedError, "not allowed.*AccessDenied"),
    ("s3", 503, "SlowDown", OutageError, "fewer requests"),
    ("s3", 500, "InternalError", StorageError, "500"),
    ("gs", 404, "The specified bucket does not exist.", AccessError, "no such bucket"),
    ("gs", 401, "Login Required", AccessError, "who asks"),
    ("gs", 403, "no storage.objects.get access", DeniedError, "not allowed.*no storage"),
    ("gs", 429, "slow down", OutageError, "fewer requests"),
    ("gs", 503, "out", OutageError, "fewer requests"),
    ("gs", 500, "backend error", StorageError, "500"),
]


def quick(scheme: str, bucket: str, url: str) -> Store:
    return open_store(f"{scheme}://{bucket}/2026?endpoint={url}{ANONYMOUS[scheme]}")


@pytest.mark.parametrize(("scheme", "status", "code", "kind", "says"), REFUSED)
def test_what_a_server_refuses_has_the_class_that_obstore_would_give_it(
    keys: pytest.MonkeyPatch,
    scripted: Scripted,
    scheme: str,
    status: int,
    code: str,
    kind: type[StorageError],
    says: str,
) -> None:
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    error = json.dumps({"error": {"code": status, "message": code}}).encode()
    scripted.always = Answer(status, code) if scheme == "s3" else Answer(status, body=error)
    store = quick(scheme, "photos", scripted.url)
    for verb in VERBS:
        with pytest.raises(kind, match=says) as caught:
            verb(store)
        assert type(caught.value) is kind
        assert f"{scheme}://photos" in str(caught.value)


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_where_nobody_answers_it_is_an_outage_and_who_is_slow_timed_out(
    keys: pytest.MonkeyPatch, scripted: Scripted, scheme: str
) -> None:
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    keys.setenv("IMGBATCH_REQUEST_SECONDS", "0.2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for verb in VERBS:
        with pytest.raises(OutageError, match=f"{scheme}://nobody: nobody answers"):
            verb(quick(scheme, "nobody", f"http://127.0.0.1:{port}"))
    scripted.always = Answer(delay=5)
    with pytest.raises(StorageError) as caught:
        quick(scheme, "slow", scripted.url).get("a//x")
    assert caught.value.timed_out
    assert caught.value.retryable


def test_nothing_is_written_or_deleted_by_such_a_name(place: str, tmp_path: Path) -> None:
    raw(place, named(["a//b", "a/b"]))
    store = open_store(place)
    (tmp_path / "file").write_bytes(b"new")
    version = store.head("a//b").version
    for write in (
        lambda: store.put("a//b", b"new"),
        lambda: store.put_once("/a/c", b"new"),
        lambda: store.put_file("a/./b", str(tmp_path / "file")),
        lambda: store.replace("a//b", b"new", version),
        lambda: store.delete("a//b"),
        lambda: store.delete("/a/b"),
    ):
        with pytest.raises(AccessError, match="read and never written"):
            write()
    assert {e.name: store.get(e.name) for e in store.list()} == named(["a//b", "a/b"])
    assert store.link("a//b", 60) is None


def do(source: str, dataset: Path) -> Summary:
    return run(
        Request(source, str(dataset), corpus.RECIPE, "inline"),
        Limits(),
        crew.inline,
        corpus.Silent(),
    )


def test_a_run_gives_each_of_them_its_row_and_a_rerun_is_free(place: str, tmp_path: Path) -> None:
    made = corpus.many(tmp_path / "c", 1)
    photo = next(path for path in made.rglob("*") if path.is_file()).read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for member in ("one.jpg", "in//two.jpg", "/three.jpg"):
            archive.writestr(member, photo)
    names = ["a//b.jpg", "/lead.jpg", "lead.jpg", "x/./y.jpg", "x/../z.jpg", "z.jpg", "a/b.jpg"]
    raw(place, dict.fromkeys(names, photo) | {"end/": b"", "d//dump.zip": packed.getvalue()})
    assert do(place, tmp_path / "d").new == len(names) + 4
    dataset = Dataset.open(str(tmp_path / "d"))
    rows = dataset.read("sources").to_pylist()
    zipped = f"{place}/d//dump.zip"
    wanted = dict.fromkeys([f"{place}/{name}" for name in names], "ok")
    wanted |= {f"{zipped}!/{m}": "ok" for m in ("one.jpg", "in//two.jpg", "/three.jpg")}
    assert {r["address"]: r["error_class"] or r["status"] for r in rows} == wanted | {
        zipped: "archive"
    }
    assert len(rows) == len(wanted) + 1
    found = verify(dataset)
    assert (found.problems, found.sources) == ([], len(wanted) + 1)
    again = do(place, tmp_path / "d")
    assert (again.shards, again.new, again.changed, again.removed) == (0, 0, 0, 0)


def test_names_that_obstore_can_say_cost_no_request_but_one_for_a_whole_bucket(
    bucket: str,  # noqa: ARG001 - it points the environment at its server
) -> None:
    name = f"counted-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    with counting(os.environ["AWS_ENDPOINT_URL"]) as server:
        store = open_store(f"s3://{name}?endpoint={server.url}")
        store.put("p/x.jpg", b"bytes")
        costs = []
        for url in (f"s3://{name}", f"s3://{name}/p"):
            server.asked.clear()
            assert len(list(open_store(url).list())) == 1
            costs.append(len(server.asked))
        assert costs == [2, 1]
        server.asked.clear()
        assert store.get("p/x.jpg") == b"bytes"
        assert len(server.asked) == 1
