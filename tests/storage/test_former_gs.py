"""What a bucket of Google with versioning keeps of objects that were replaced or deleted."""

from __future__ import annotations

import uuid

import pytest

from imgbatch.errors import StorageError
from imgbatch.storage import Former, open_store
from tests.conftest import ask


@pytest.fixture
def versioned(gs_server: str, gs_bucket: str) -> str:
    """The name of a bucket with versioning."""
    assert gs_bucket
    name = f"versioned-{uuid.uuid4().hex[:8]}"
    ask(f"{gs_server}/storage/v1/b", {"name": name, "versioning": {"enabled": True}})
    return name


def test_former_generations_are_found_read_and_erased(versioned: str) -> None:
    store = open_store(f"gs://{versioned}/own")
    store.put("x", b"one")
    store.put("x", b"two")
    store.put("y", b"three")
    store.delete("y")
    open_store(f"gs://{versioned}/own2").put("x", b"1")
    open_store(f"gs://{versioned}/own2").put("x", b"2")
    former = list(store.former())
    assert {(gone.name, store.recall(gone)) for gone in former} == {
        ("own/x", b"one"),
        ("own/y", b"three"),
    }
    store.erase(former)
    assert list(store.former()) == []
    assert store.get("x") == b"two"
    assert len(list(open_store(f"gs://{versioned}/own2").former())) == 1


def test_what_is_not_there_to_be_erased_is_told(versioned: str) -> None:
    store = open_store(f"gs://{versioned}/own")
    with pytest.raises(StorageError, match="former versions"):
        store.erase([Former("own/x", "1")])
