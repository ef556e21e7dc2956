"""A clean slate of options, and servers that say what a test wants."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from imgbatch.storage import clients, open_store
from tests.servers.scripted import Scripted

if TYPE_CHECKING:
    from collections.abc import Iterator

SAID = ("AWS_", "GOOGLE_", "STORAGE_EMULATOR_HOST")


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """An environment that says nothing of buckets, and a process that was told nothing."""
    for name in os.environ:
        if name.startswith(SAID):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere/config")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere/credentials")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    clients.forget()
    open_store.cache_clear()
    yield monkeypatch
    clients.forget()
    open_store.cache_clear()


@pytest.fixture
def keys(untold: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The same with plain keys."""
    untold.setenv("AWS_ACCESS_KEY_ID", "AKIAENV")
    untold.setenv("AWS_SECRET_ACCESS_KEY", "secret-of-env")
    return untold


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    """A server that answers as it is told."""
    with Scripted() as server:
        yield server
