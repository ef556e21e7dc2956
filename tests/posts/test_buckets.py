"""Dumps in a bucket, on an S3 server of the test's own: as in a folder, and taken down there."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from imgbatch import crew
from imgbatch.dataset import Dataset
from imgbatch.dataset.forget import forget
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import Given, look_up
from imgbatch.dataset.post_marks import mark
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
from imgbatch.dataset.verify import verify
from imgbatch.fetching.takedown import take_out
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests import corpus
from tests.contracts.dumps import fixture
from tests.fetching import given
from tests.posts.made import Tweet, photo, write_dump
from tests.servers.misbehaving import Misbehaving

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.summary import Summary

FIRST, SECOND = "1500000000000000001", "1500000000000000002"
TABLE = '[posts]\nmedia_column = "Image Path"\nid_column = "id"\n[analyzers.image]\n'


@pytest.fixture
def url(bucket: str) -> str:
    return f"s3://{bucket}/{uuid.uuid4().hex}"


def put(folder: Path, url: str) -> None:
    store = open_store(url)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        store.put(path.relative_to(folder).as_posix(), path.read_bytes())


def bring(input_: str, own: str, recipe: str = "[analyzers.image]\n") -> Summary:
    return run(Request(input_, own, recipe, "inline"), Limits(), crew.inline, corpus.Silent())


def rows(own: str, name: str, *columns: str) -> list[tuple[Any, ...]]:
    batches = Dataset.open(own).table(name).batches(columns)
    return sorted(tuple(row.values()) for batch in batches for row in batch.to_pylist())


@pytest.mark.slow
def test_a_table_in_a_bucket_gives_the_sources_and_posts_that_a_folder_does(
    url: str, tmp_path: Path
) -> None:
    folder = fixture("table", tmp_path / "in")
    (folder / "unrelated.png").write_bytes(b"not named")
    put(folder, f"{url}/in")
    bring(str(folder / "posts.csv"), str(tmp_path / "own"), TABLE)
    bring(f"{url}/in/posts.csv", f"{url}/own", TABLE)

    def told(own: str, before: str) -> dict[str, list[tuple[Any, ...]]]:
        sources = rows(own, "tables/sources", "address", "status")
        return {
            "sources": [(address.removeprefix(before), status) for address, status in sources],
            "posts": rows(own, "posts", "post_id", "text", "n_media", "raw_ref"),
            "media": rows(own, "post_media", "post_id", "media_idx", "status", "joined_by"),
        }

    here = told(str(tmp_path / "own"), folder.as_uri())
    assert told(f"{url}/own", f"{url}/in") == here
    assert len(here["sources"]) == 5
    assert bring(f"{url}/in/posts.csv", f"{url}/own", TABLE).posts is None


@pytest.mark.slow
def test_a_dump_in_a_bucket_is_refreshed_and_taken_down(url: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    photo(folder / "media/FfOfFirst1.jpg")
    write_dump(folder / "tweets.jsonl", [Tweet(FIRST, "one", ["FfOfFirst1.jpg"]), Tweet(SECOND)])
    put(folder, f"{url}/in")
    bring(f"{url}/in", f"{url}/own")
    assert rows(f"{url}/own", "post_media", "post_id", "status") == [(FIRST, "matched")]
    write_dump(
        folder / "tweets.jsonl", [Tweet(FIRST, "one", ["FfOfFirst1.jpg"]), Tweet(SECOND, "2")]
    )
    put(folder, f"{url}/in")
    summary = bring(f"{url}/in", f"{url}/own")
    assert summary.posts is not None
    assert (summary.posts["new"], summary.posts["changed"]) == (0, 1)
    dataset = Dataset.open(f"{url}/own")
    found = look_up_posts(dataset, [("", FIRST)])
    assert found.files == {f"{url}/in/tweets.jsonl"}
    forget(dataset, look_up(dataset, [Given(one, one) for one in found.sources]), of_posts=found)
    assert rows(f"{url}/own", "posts", "post_id") == [(SECOND,)]
    assert verify_forgotten(dataset, of_posts=[("", FIRST)]).problems == []
    assert verify(Dataset.open(f"{url}/own")).problems == []


def test_what_was_fetched_into_a_bucket_with_versions_is_taken_out_with_them(
    bucket: str, tmp_path: Path
) -> None:
    assert bucket
    name = f"fetched-{uuid.uuid4().hex}"
    client = boto3.client("s3")
    client.create_bucket(Bucket=name)
    client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    out = f"s3://{name}/out"
    with Misbehaving() as server:
        given.dump(tmp_path / "dump", [[f"{server.url}/ok/{number}.png"] for number in range(2)])
        given.fetch(tmp_path / "dump", out)  # type: ignore[arg-type] # a URL is as good
    left = take_out(out, frozenset({mark("", str(10**18))}))
    assert (left.posts, left.files) == (1, 1)
    store = open_store(out)
    assert len(list(store.list("media"))) == 1
    assert str(10**18).encode() not in store.get("posts.jsonl")
    assert [former for former in store.former() if not former.name.endswith("lock.json")] == []
