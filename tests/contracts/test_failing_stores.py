"""What every bucket promises of reading while its server fails, run on S3 and on Google.

What it proves: whatever is read through `attempt` comes whole, or with an error that says another
attempt may help. The servers are those of `test_stores`, behind one that is out for a moment, hangs
up without an answer, or amid a body whose length it has told. What it does not: a body that comes
short with its own, shorter length. No store can tell that one from the object; who knows a size
from the listing can (`tests/test_faulty.py`).
"""

from __future__ import annotations

import os
import random
import uuid
from typing import TYPE_CHECKING

import boto3
import pytest

from imgbatch import attempts
from imgbatch.attempts import Patience, attempt
from imgbatch.errors import ImgbatchError, OutageError, StorageError
from imgbatch.storage import clients, open_store
from tests.conftest import ask
from tests.servers.counting import counting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.storage import Store
    from tests.servers.counting import Counting, Fate

pytestmark = pytest.mark.slow
# What says that another attempt may help; an outage is waited for, however many it takes.
KINDS = {"busy": OutageError, "gone": StorageError, "cut": StorageError}
# Of requests; `open` alone makes four that must all come through.
SHARE = 0.4
TURNS = 5
# More than two blocks of what `open` fetches ahead.
DATA = random.Random(7).randbytes(1_200_000)
NAMES = [f"t/{number}" for number in range(5)]


def read(store: Store) -> bytes:
    with store.open("x") as file:
        return file.read()


VERBS: dict[str, Callable[[Store], object]] = {
    "get": lambda store: store.get("x"),
    "get_range": lambda store: store.get_range("x", 1000, 900_000),
    "head": lambda store: store.head("x").size,
    "open": read,
    "list": lambda store: sorted((e.name, e.size) for e in store.list("t")),
    "folders": lambda store: list(store.folders()),
    "files": lambda store: list(store.files("t")),
}
WHOLE = {
    "get": DATA,
    "get_range": DATA[1000:901_000],
    "head": len(DATA),
    "open": DATA,
    "list": [(name, 1) for name in NAMES],
    "folders": ["t"],
    "files": [name.removeprefix("t/") for name in NAMES],
}


class Spoiled:
    """Draws which answers are spoiled, all in one way, and counts them."""

    def __init__(self, how: Fate) -> None:
        self.how, self.count = how, 0
        self._chance = random.Random(7)

    def __call__(self) -> Fate:
        if self._chance.random() >= SHARE:
            return "sound"
        self.count += 1
        return self.how


@pytest.fixture(params=["s3", "gs"])
def place(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, Counting]]:
    """A filled store, and what stands before its server; each request is sent once."""
    monkeypatch.setenv("IMGBATCH_REQUEST_ATTEMPTS", "1")
    monkeypatch.setattr(attempts, "FIRST", 0.001)
    monkeypatch.setattr(attempts, "LONGEST", 0.01)
    name = f"failing-{uuid.uuid4().hex[:12]}"
    request.getfixturevalue({"s3": "bucket", "gs": "gs_bucket"}[request.param])
    if request.param == "s3":
        boto3.client("s3").create_bucket(Bucket=name)
        endpoint = os.environ["AWS_ENDPOINT_URL"]
    else:
        endpoint = os.environ["STORAGE_EMULATOR_HOST"]
        ask(f"{endpoint}/storage/v1/b", {"name": name})
    with counting(endpoint) as server:
        store = open_store(f"{request.param}://{name}?endpoint={server.url}")
        for one in NAMES:
            store.put(one, b".")
        store.put("x", DATA)
        yield store, server
    clients.forget()
    open_store.cache_clear()


@pytest.mark.parametrize("verb", VERBS)
def test_what_is_read_is_whole_or_worth_another_attempt(
    place: tuple[Store, Counting], verb: str
) -> None:
    store, server = place
    failed: list[ImgbatchError] = []

    def call() -> object:
        try:
            return VERBS[verb](store)
        except ImgbatchError as error:
            failed.append(error)
            raise

    ways: tuple[Fate, ...] = ("busy", "gone", "cut")
    for how in ways[:2] if verb == "head" else ways:  # the answer to HEAD has no body
        server.fate = spoiled = Spoiled(how)
        failed.clear()
        for _ in range(TURNS):
            found = attempt(call, Patience(attempts=200, seconds=60))
            assert found == WHOLE[verb], f"{how}: not whole, and taken for whole"
        assert spoiled.count
        assert failed
        assert {(type(error), error.retryable) for error in failed} == {(KINDS[how], True)}
