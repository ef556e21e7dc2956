"""What servers say when they refuse: each is a class, names the bucket, and says what to do."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from obstore.exceptions import GenericError

from imgbatch import attempts, crew
from imgbatch.dataset import Dataset
from imgbatch.errors import AccessError, DeniedError, OutageError, StorageError
from imgbatch.records import Source
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.sources import fetch
from imgbatch.storage import open_store
from imgbatch.storage.refusals import refusal
from imgbatch.summary import Request
from tests import corpus
from tests.servers.scripted import Answer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from imgbatch.storage import Store
    from tests.servers.scripted import Scripted

VERBS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("x"),
    "get_range": lambda store: store.get_range("x", 0, 10),
    "head": lambda store: store.head("x"),
    "open": lambda store: store.open("x"),
    "put": lambda store: store.put("x", b"1"),
    "put_once": lambda store: store.put_once("x", b"1"),
    "replace": lambda store: store.replace("x", b"1", "v"),
    "delete": lambda store: store.delete("x"),
    "list": lambda store: list(store.list()),
}
WRONG = [
    (404, "NoSuchBucket", "no such bucket", "Check its name"),
    (400, "ExpiredToken", "credentials have expired", "aws sso login"),
    (403, "InvalidAccessKeyId", "does not know the credentials", "profile"),
    (403, "SignatureDoesNotMatch", "does not know the credentials", "profile"),
    (403, "RequestTimeTooSkewed", "clock of this machine is wrong", "timedatectl"),
    (301, "PermanentRedirect", "another region", "region="),
    (400, "AuthorizationHeaderMalformed", "another region (eu-west-1)", "region="),
    (400, "UserProjectMissing", "must pay", "project="),
    (401, "AuthenticationRequired", "who asks", "GOOGLE_APPLICATION_CREDENTIALS"),
]


@pytest.fixture
def store(keys: pytest.MonkeyPatch, scripted: Scripted) -> Store:
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    return open_store(f"s3://photos/2026?endpoint={scripted.url}")


@pytest.mark.parametrize(("status", "code", "says", "to_do"), WRONG)
@pytest.mark.parametrize("verb", VERBS)
def test_what_is_wrong_with_a_bucket_is_said_by_every_verb(
    store: Store, scripted: Scripted, verb: str, status: int, code: str, says: str, to_do: str
) -> None:
    scripted.always = Answer(status, code, extra="<Region>eu-west-1</Region>")
    if code == "NoSuchBucket" and verb in ("head", "open", "replace"):
        # The answer to HEAD has no body: that the bucket is not there shows with the next listing.
        with pytest.raises(FileNotFoundError):
            VERBS[verb](store)
        return
    with pytest.raises(AccessError) as caught:
        VERBS[verb](store)
    assert str(caught.value).startswith("s3://photos: ")
    assert says.partition(" (")[0] in str(caught.value)
    assert to_do in caught.value.remedy
    assert not caught.value.retryable
    assert caught.value.exit_code == 16


def test_the_region_that_a_server_names_is_passed_on(store: Store, scripted: Scripted) -> None:
    extra = "<Region>eu-west-1</Region>"
    scripted.always = Answer(400, "AuthorizationHeaderMalformed", extra=extra)
    with pytest.raises(AccessError, match=r"another region \(eu-west-1\)"):
        store.get("x")


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_not_allowed_is_denied_and_named(
    store: Store, scripted: Scripted, verb: str
) -> None:
    scripted.always = Answer(403, "AccessDenied")
    with pytest.raises(DeniedError, match=r"s3://photos/2026.*AccessDenied") as caught:
        VERBS[verb](store)
    assert isinstance(caught.value, PermissionError)
    assert (caught.value.retryable, caught.value.exit_code) == (False, 16)
    assert "doctor" in caught.value.remedy


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("verb", sorted(VERBS))
def test_a_store_that_asks_for_patience_is_out(
    store: Store, scripted: Scripted, verb: str, status: int
) -> None:
    scripted.always = Answer(status, "SlowDown")
    with pytest.raises(OutageError, match="fewer requests") as caught:
        VERBS[verb](store)
    assert caught.value.retryable


@pytest.mark.usefixtures("keys")
def test_one_500_is_repeated_unseen_and_many_are_a_plain_failure(scripted: Scripted) -> None:
    store = open_store(f"s3://photos?endpoint={scripted.url}")
    good = Answer(
        body=b"x", headers={"ETag": '"1"', "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"}
    )
    scripted.script = [Answer(500, "InternalError"), good]
    assert store.get("x") == b"x"
    scripted.always = Answer(500, "InternalError")
    with pytest.raises(StorageError) as caught:
        store.get("x")
    assert type(caught.value) is StorageError
    assert caught.value.retryable
    assert len(scripted.asked) == 2 + 3


def test_a_server_that_is_too_slow_is_timed_out(
    keys: pytest.MonkeyPatch, scripted: Scripted
) -> None:
    keys.setenv("IMGBATCH_REQUEST_SECONDS", "0.2")
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    scripted.always = Answer(delay=5)
    with pytest.raises(StorageError) as caught:
        open_store(f"s3://photos?endpoint={scripted.url}").get("x")
    assert caught.value.timed_out
    assert caught.value.retryable


def nobody() -> str:
    """Return the URL of a port where nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


@pytest.mark.parametrize("where", [nobody(), "http://no-such-host.invalid"], ids=["port", "host"])
@pytest.mark.parametrize("verb", VERBS)
def test_where_nobody_answers_it_is_an_outage(
    keys: pytest.MonkeyPatch, verb: str, where: str
) -> None:
    keys.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    with pytest.raises(OutageError, match="s3://photos: nobody answers") as caught:
        VERBS[verb](open_store(f"s3://photos?endpoint={where}"))
    assert "run the same command" in caught.value.remedy


def test_a_name_that_is_looked_up_for_too_long_is_an_outage_too() -> None:
    """As obstore says it where a resolver is slow: the request's time is over before it began."""
    told = """Generic S3 error: Error performing POST http://far.invalid/photos?delete in 5.00s

Debug source:
Http(HttpError { kind: Timeout, source: reqwest::Error { kind: Request, source: Error(
    Connect,
    TimedOut,
) } })"""
    assert isinstance(refusal("s3://photos", "x", GenericError(told)), OutageError)
    slow = told.replace("Connect,\n    TimedOut", "TimedOut")
    found = refusal("s3://photos", "x", GenericError(slow))
    assert type(found) is StorageError
    assert found.timed_out


def test_no_refusal_shows_a_secret(store: Store, scripted: Scripted) -> None:
    for status, code, *_ in WRONG:
        scripted.always = Answer(status, code)
        with pytest.raises(AccessError) as caught:
            store.get("x")
        assert "secret-of-env" not in f"{caught.value} {caught.value.remedy}"


def source(url: str, name: str = "a.jpg") -> Source:
    return Source(f"{url}/{name}", '"listed"', 3)


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "FIRST", 0.001)
    monkeypatch.setattr(attempts, "LONGEST", 0.01)


@pytest.mark.usefixtures("fast", "store")
def test_an_outage_is_waited_for_beyond_the_attempts_of_a_failure(scripted: Scripted) -> None:
    good = Answer(
        body=b"abc",
        headers={"ETag": '"listed"', "Last-Modified": "Sat, 21 Nov 2026 08:00:00 GMT"},
    )
    scripted.script = [Answer(503, "SlowDown")] * 9 + [good]
    limits = Limits(fetch_attempts=2, fetch_seconds=60)
    assert fetch(source("s3://photos"), limits=limits).read() == b"abc"


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(400, "ExpiredToken"), AccessError),
        (Answer(503, "SlowDown"), OutageError),
    ],
)
def test_a_store_that_goes_wrong_on_the_way_ends_the_run_and_it_goes_on_from_there(
    store: Store, scripted: Scripted, tmp_path: Path, answer: Answer, kind: type[StorageError]
) -> None:
    folder = corpus.many(tmp_path / "c", 6)
    photo = (folder / "00000.jpg").read_bytes()
    stamp = "Sat, 21 Nov 2026 08:00:00 GMT"
    rows = "".join(
        f"<Contents><Key>2026/{n}.jpg</Key><LastModified>2026-11-21T08:00:00.000Z</LastModified>"
        f"<ETag>&quot;listed&quot;</ETag><Size>{len(photo)}</Size></Contents>"
        for n in range(6)
    )
    listing = Answer(
        body=f"<?xml version='1.0'?><ListBucketResult>{rows}</ListBucketResult>".encode()
    )
    good = Answer(body=photo, headers={"ETag": '"listed"', "Last-Modified": stamp})
    limits = Limits(shard_sources=2, threads=1, fetch_threads=1, commit_seconds=0.01)
    limits = limits.model_copy(update={"fetch_seconds": 0.1})
    request = Request(store.root, str(tmp_path / "d"), corpus.RECIPE, "inline")
    scripted.script = [listing, good, good, good]
    scripted.always = answer
    with pytest.raises(kind) as caught:
        run(request, limits, crew.inline, corpus.Silent())
    assert caught.value.exit_code == 16
    done = Dataset.open(str(tmp_path / "d")).read("sources")
    assert set(done["status"].to_pylist()) <= {"ok"}
    scripted.script, scripted.always = [listing], good
    summary = run(request, limits, crew.inline, corpus.Silent())
    assert summary.new == 0
    assert 0 < summary.outcomes["ok"] <= 6 - done.num_rows
    everything = Dataset.open(str(tmp_path / "d")).read("sources")
    assert everything["status"].to_pylist() == ["ok"] * 6
