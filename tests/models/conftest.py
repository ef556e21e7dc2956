"""A cache of the test's own, and a hub that gives files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from imgbatch.models import cache, weights
from imgbatch.settings import Limits
from tests.servers.files import Files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def hub() -> Iterator[Files]:
    """A web server with nothing on it yet."""
    with Files() as files:
        yield files


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Callable[..., Limits]]:
    """Tells this process its cache, and what else a test wants it to be told."""

    def tell(**said: object) -> Limits:
        limits = Limits.model_validate({"model_cache": str(tmp_path / "cache"), **said})
        weights.adopt(limits)
        return limits

    tell()
    yield tell
    cache._known.limits = None
