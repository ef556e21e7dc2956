"""A server that compares the condition of a PUT with an etag without quotes, as Ceph 16.2 does."""

from __future__ import annotations

import os
import uuid

import boto3
import pytest

from imgbatch.storage import ChangedError, open_store
from tests.servers.counting import counting


def test_replace_works_there_and_still_refuses_another_version(bucket: str) -> None:  # noqa: ARG001 - it points the environment at its server
    name = f"bare-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    with counting(os.environ["AWS_ENDPOINT_URL"]) as server:
        server.bare_etags = True
        store = open_store(f"s3://{name}?endpoint={server.url}")
        store.put("lock", b"first")
        first = store.head("lock").version
        second = store.replace("lock", b"second", first)
        assert second == store.head("lock").version != first
        with pytest.raises(ChangedError):
            store.replace("lock", b"third", first)
        assert store.get("lock") == b"second"
