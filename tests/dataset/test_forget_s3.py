"""A takedown in a bucket that keeps former versions, on an S3 server of the test's own."""

from __future__ import annotations

import uuid
from typing import Any

import boto3
import pytest

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, look_up
from imgbatch.dataset.verify import verify
from imgbatch.errors import StorageError
from imgbatch.report import write_report
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests import corpus

RECIPE = "[analyzers.image]\n"


@pytest.fixture
def versioned(bucket: str) -> str:
    """The name of a bucket with versioning."""
    assert bucket
    name = f"versioned-{uuid.uuid4().hex}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    return name


def kept(bucket: str) -> dict[str, list[Any]]:
    """What the store keeps; the lock, which names a run and no source, comes and goes."""
    pages = boto3.client("s3").get_paginator("list_object_versions").paginate(Bucket=bucket)
    found: dict[str, list[Any]] = {"old": [], "markers": [], "all": []}
    for page in pages:
        found["all"] += page.get("Versions", [])
        found["old"] += [v for v in page.get("Versions", []) if not v["IsLatest"]]
        found["markers"] += page.get("DeleteMarkers", [])
    return {kind: [v for v in own if v["Key"] != "own/lock.json"] for kind, own in found.items()}


@pytest.mark.slow
def test_former_versions_of_the_dataset_go_and_those_beside_it_stay(versioned: str) -> None:
    for name in ("rocket.jpg", "china.jpg"):
        open_store(f"s3://{versioned}").put(f"in/{name}", corpus.PHOTOS[name].read_bytes())
    for _ in range(2):
        open_store(f"s3://{versioned}").put("own2/beside", b"x")
    request = Request(f"s3://{versioned}/in", f"s3://{versioned}/own", RECIPE, "inline")
    run(request, Limits(), crew.inline, corpus.Silent())
    dataset = Dataset.open(request.dataset)
    write_report(dataset)
    named = [given(f"s3://{versioned}/in/rocket.jpg")]
    dataset.store.put("logs/x.txt", named[0].source_id.encode())
    dataset.store.put("logs/x.txt", b"written again")
    for text in (named[0].source_id, "written again"):
        dataset.store.put("set-aside/x.txt", text.encode())
    problems = verify_forgotten(dataset, named).problems
    assert any("own/logs/x.txt: the store keeps version" in line for line in problems)
    assert kept(versioned)["old"]
    before = kept(versioned)["old"]
    audit = forget(dataset, look_up(dataset, named))
    left = kept(versioned)
    assert audit.versions > len(before)
    assert {v["Key"] for v in left["old"]} == {"own2/beside", f"own/forgotten/{audit.run}.json"}
    assert left["markers"] == []
    assert verify(dataset).problems == []
    assert verify_forgotten(dataset, named).problems == []
    again = run(request, Limits(), crew.inline, corpus.Silent())
    assert (again.forgotten, again.listed, again.shards) == (1, 1, 0)


def test_a_bucket_without_versions_has_none_to_delete(bucket: str) -> None:
    store = open_store(f"s3://{bucket}/{uuid.uuid4().hex}")
    for _ in range(2):
        store.put("x", b"x")
    store.delete("x")
    assert list(store.former()) == []


def test_a_version_that_may_not_be_deleted_is_an_error_that_names_it(versioned: str) -> None:
    client = boto3.client("s3")
    locked = f"{versioned}-locked"[:63]
    client.create_bucket(Bucket=locked, ObjectLockEnabledForBucket=True)
    store = open_store(f"s3://{locked}/own")
    for _ in range(2):
        store.put("part.parquet", b"x")
    (former,) = store.former()
    client.put_object_legal_hold(
        Bucket=locked, Key=former.name, VersionId=former.version, LegalHold={"Status": "ON"}
    )
    with pytest.raises(StorageError, match=r"own/part.parquet"):
        store.erase([former])


def test_no_right_to_list_versions_is_an_error_that_says_what_right(bucket: str) -> None:
    assert bucket
    with pytest.raises(StorageError) as caught:
        list(open_store(f"s3://no-such-{uuid.uuid4().hex}/own").former())
    assert "s3:ListBucketVersions" in caught.value.remedy
