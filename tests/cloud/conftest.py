"""A server that answers like AWS, emptied for each test, and the environment that points to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cloud.moto_server import Moto, moto_server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def moto_process() -> Iterator[Moto]:
    """The server, as the tests before this one left it."""
    with moto_server() as aws:
        yield aws


@pytest.fixture
def moto(moto_process: Moto, monkeypatch: pytest.MonkeyPatch) -> Moto:
    """The server with nothing in it; the environment points to it."""
    moto_process.reset()
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    for name, value in moto_process.environment().items():
        monkeypatch.setenv(name, value)
    return moto_process
