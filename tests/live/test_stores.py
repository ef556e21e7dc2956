"""The suite of every store on real buckets: told by two variables, skipped without them.

    TEST_LIVE_S3='s3://bucket/prefix?region=eu-west-1' TEST_LIVE_GS=gs://bucket pytest tests/live

Credentials come as for any run. What is written lies below a prefix of its own and is deleted; a
bucket with versioning keeps it. A real S3 decides conditional writes in one step: racers race.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch.storage import open_store
from tests.contracts.test_stores import *  # noqa: F403 - all of them, and those to come

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.storage import Store


VARIABLES = [name for name in ("TEST_LIVE_S3", "TEST_LIVE_GS") if os.environ.get(name)]
if not VARIABLES:
    pytest.skip("TEST_LIVE_S3 and TEST_LIVE_GS name no bucket", allow_module_level=True)


@pytest.fixture(params=VARIABLES)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    url = os.environ[request.param]
    bare, mark, query = url.partition("?")
    opened = open_store(f"{bare.rstrip('/')}/imgbatch-test-{uuid.uuid4().hex}{mark}{query}")
    yield opened
    for entry in list(opened.list()):
        opened.delete(entry.name)


@pytest.fixture
def turns() -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext()
