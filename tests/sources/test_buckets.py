"""What reading from a bucket costs in requests and bytes, counted in front of an S3 server."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import uuid
import zipfile
from typing import TYPE_CHECKING, Any

import boto3
import numpy as np
import pytest
from PIL import Image

from imgbatch import crew
from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.messages import Finished
from imgbatch.observe.lines import log_lines
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.sources import fetch, open_input, read_stream
from imgbatch.storage import open_store
from imgbatch.storage.ahead import BLOCK, AheadFile
from imgbatch.summary import Request
from tests import corpus
from tests.equal import assert_equal
from tests.media.clips import Encoding, clip
from tests.media.samples import encoded
from tests.servers.counting import Asked, Counting, counting

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from imgbatch.messages import Crewed, Job, Task, Tick
    from imgbatch.summary import Summary

RECIPE = "[analyzers.image]\n"
LIMITS = Limits(fetched_bytes=2**16, spooled_bytes=2**20)
MEMBER = 40_000


@pytest.fixture
def server(bucket: str) -> Iterator[Counting]:  # noqa: ARG001 - it points the environment there
    with counting(os.environ["AWS_ENDPOINT_URL"]) as made:
        yield made


@pytest.fixture
def url(server: Counting) -> str:
    """A bucket of its own that is reached through the counting server."""
    name = f"counted-{uuid.uuid4().hex}"
    boto3.client("s3").create_bucket(Bucket=name)
    open_store(f"s3://{name}?endpoint={server.url}")
    return f"s3://{name}"


def put(url: str, server: Counting, name: str, data: bytes) -> None:
    open_store(url).put(name, data)
    server.asked.clear()


def asked_for(server: Counting, name: str) -> tuple[int, int]:
    """Return how many requests an object cost since the last time, and how many bytes came."""
    found: list[Asked] = server.of(name)
    server.asked.clear()
    return len(found), sum(one.bytes for one in found)


def do(url: str, dataset: Path) -> Summary:
    request = Request(url, str(dataset), RECIPE, "inline")
    return run(request, Limits(), crew.inline, corpus.Silent())


def noise(count: int, size: int) -> dict[str, bytes]:
    chance = random.Random(3)
    return {f"{n:04}.bin": chance.randbytes(size) for n in range(count)}


def tarred(members: dict[str, bytes], mode: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.slow
def test_a_zip_of_a_thousand_members_of_which_ten_are_new_costs_few_requests(
    server: Counting, url: str, tmp_path: Path
) -> None:
    files = sorted(corpus.many(tmp_path / "in", 1000).iterdir())

    def zipped(members: list[Path]) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for file in members:
                archive.write(file, file.name)
        return buffer.getvalue()

    put(url, server, "a.zip", zipped(files[:990]))
    first = do(url, tmp_path / "d")
    assert first.sources == 991
    requests, _ = asked_for(server, "a.zip")
    assert requests <= 990 + 6
    grown = zipped(files)
    put(url, server, "a.zip", grown)
    again = do(url, tmp_path / "d")
    assert (again.new, again.changed) == (10, 1)  # and the archive itself
    requests, came = asked_for(server, "a.zip")
    assert requests <= 10 + 6
    assert came < min(len(grown), 2 * BLOCK) + 10 * 8192


def test_a_tar_of_small_members_is_listed_in_one_reading(server: Counting, url: str) -> None:
    members = noise(150, MEMBER)
    data = tarred(members, "w")
    put(url, server, "small.tar", data)
    found = list(open_input(f"{url}/small.tar"))
    assert len(found) == 151
    requests, came = asked_for(server, "small.tar")
    assert came <= len(data)
    assert requests <= len(data) // BLOCK + 5
    blob = fetch(found[70], limits=LIMITS)
    assert blob.data == members["0070.bin"]
    assert asked_for(server, "small.tar") == (1, MEMBER + 512)


def test_a_tar_of_large_members_is_listed_without_reading_them(server: Counting, url: str) -> None:
    data = tarred(noise(6, 5 * 2**20), "w")
    put(url, server, "large.tar", data)
    found = list(open_input(f"{url}/large.tar"))
    assert len(found) == 7
    requests, came = asked_for(server, "large.tar")
    assert requests <= 6 + 5
    assert came <= 8 * BLOCK < len(data) // 7


def test_a_compressed_tar_is_read_once_to_list_and_once_to_process(
    server: Counting, url: str
) -> None:
    members = noise(100, MEMBER)
    data = tarred(members, "w:gz")
    put(url, server, "a.tar.gz", data)
    found = list(open_input(f"{url}/a.tar.gz"))
    assert asked_for(server, "a.tar.gz")[1] <= len(data)
    wanted = found[:-1]
    blobs = dict(read_stream(wanted[0].container or "", wanted, limits=LIMITS))
    assert [blob.data for blob in blobs.values() if not isinstance(blob, Exception)] == [
        *members.values()
    ]
    assert asked_for(server, "a.tar.gz")[1] <= len(data)


def pictures(count: int, side: int) -> dict[str, bytes]:
    """Pictures of noise, which no archive makes smaller."""
    chance = np.random.default_rng(7)
    shape = (side, side, 3)
    shots = [Image.fromarray(chance.integers(256, size=shape, dtype="u1")) for _ in range(count)]
    return {f"{n:04}.png": encoded(shot, "PNG", compress_level=1) for n, shot in enumerate(shots)}


@pytest.mark.slow
def test_a_run_reads_a_compressed_tar_of_many_shards_once_and_hands_each_on_as_it_goes(
    server: Counting, url: str, tmp_path: Path
) -> None:
    # 30 MB: a store reads up to 8 MB ahead of what is asked for.
    data = tarred(pictures(100, 320), "w:gz")
    put(url, server, "a.tar.gz", data)
    served: list[int] = []

    def came() -> int:
        return sum(one.bytes for one in server.of("a.tar.gz"))

    def watched(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished | Crewed]:
        served.append(came())
        for said in crew.inline(job, tasks):
            if isinstance(said, Finished) and said.shard.stream:
                served.append(came())
            yield said

    request = Request(url, str(tmp_path / "d"), RECIPE, "inline")
    summary = run(request, Limits(shard_sources=10), watched, corpus.Silent())
    assert summary.outcomes == {"ok": 100, "archive": 1}
    listing, *after_each = served
    assert listing <= len(data) * 1.05
    assert len(after_each) == 10
    assert after_each[0] - listing < len(data)
    assert came() <= 2.1 * len(data)


@pytest.mark.slow
@pytest.mark.ray
def test_two_workers_of_ray_read_two_compressed_tars_of_many_shards_once_each(
    server: Counting, url: str, tmp_path: Path
) -> None:
    # Two, and as large: an idle worker would be given a slow task of the other's too.
    names = ["a.tar.gz", "b.tar.gz"]
    data = tarred(pictures(60, 320), "w:gz")
    for name in names:
        put(url, server, name, data)
    (tmp_path / "r.toml").write_text(RECIPE)
    words = ["run", url, tmp_path / "d", "--recipe", tmp_path / "r.toml", "--workers", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "imgbatch", *map(str, words)],
        env={**os.environ, "AWS_ENDPOINT_URL": server.url, "IMGBATCH_SHARD_SOURCES": "6"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    dataset = Dataset.open(str(tmp_path / "d"))
    (record,) = dataset.runs()
    assert (record["engine"], record["outcomes"]) == ("ray", {"ok": 120, "archive": 2})
    finished = [
        (line["shard"].partition("@")[0], line["worker"])
        for line in log_lines(dataset, record["run"])
        if line["event"] == "shard.finished"
    ]
    rows = dataset.read(MANIFEST, columns=["container", "shard"]).to_pylist()
    for name in names:
        shards = {r["shard"] for r in rows if (r["container"] or "").endswith(f"/{name}")}
        assert len(shards) == 10
        workers = [worker for shard, worker in finished if shard in shards]
        assert (len(workers), len(set(workers))) == (10, 1)
        # Once to list its members, once to read them.
        assert sum(one.bytes for one in server.of(name)) <= 2.1 * len(data)


def large_video() -> bytes:
    """A clip that a box of nothing makes large."""
    data = clip(Encoding("mp4", "mpeg4"))
    size = 5 * 2**20
    return data + size.to_bytes(4) + b"free" + bytes(size - 8)


@pytest.mark.parametrize("where", ["object", "member"])
def test_what_is_larger_than_the_limit_is_read_by_ranges_and_never_lies_on_the_disk(
    where: str, server: Counting, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = large_video()
    held = {"object": data, "member": tarred({"long.mp4": data}, "w")}[where]
    name = {"object": "long.mp4", "member": "a.tar"}[where]
    put(url, server, name, held)
    source = next(iter(open_input(f"{url}/{name}")))
    server.asked.clear()

    def refuse(**_: object) -> None:
        raise AssertionError("a temporary file")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    blob = fetch(source, limits=LIMITS)
    assert blob.data is None
    assert (blob.size, blob.head) == (len(data), data[:4096])
    assert blob.read() == data
    with blob.open() as file:
        file.seek(-4, io.SEEK_END)
        assert file.read() == data[-4:]
        file.seek(3)
        assert file.read(5) == data[3:8]
    # One reading, its beginning twice more, its end once.
    assert asked_for(server, name)[1] <= len(held) + 6 * BLOCK


def test_a_video_read_by_ranges_gives_the_rows_of_one_that_was_fetched(
    server: Counting, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(url, server, "long.mp4", large_video())
    do(url, tmp_path / "whole")
    _, whole = asked_for(server, "long.mp4")
    request = Request(url, str(tmp_path / "ranges"), RECIPE, "inline")
    monkeypatch.setattr("imgbatch.sources.blobs.spool", None)
    run(request, LIMITS, crew.inline, corpus.Silent())
    _, ranges = asked_for(server, "long.mp4")
    assert_equal(tmp_path / "whole", tmp_path / "ranges")
    assert whole == len(large_video())
    assert ranges <= 2 * whole


def test_an_object_that_changes_between_two_reads_is_never_mixed(
    server: Counting, url: str
) -> None:
    put(url, server, "long.mp4", large_video())
    source = next(iter(open_input(f"{url}/long.mp4")))
    blob = fetch(source, limits=LIMITS)
    with blob.open() as file:
        assert file.read(10) == blob.head[:10]
        put(url, server, "long.mp4", bytes(reversed(large_video())))
        file.seek(-4, io.SEEK_END)
        with pytest.raises(Exception, match="another than was listed"):
            file.read()


def test_reading_on_fetches_ahead_and_jumping_does_not() -> None:
    data = random.Random(5).randbytes(40 * BLOCK + 77)
    starts: list[int] = []

    def get(start: int, length: int) -> bytes:
        starts.append(start // BLOCK)
        return data[start : start + length]

    with io.BufferedReader(AheadFile(get, len(data))) as file:
        assert file.read() == data
    assert sorted(starts) == list(range(41))
    starts.clear()
    with io.BufferedReader(AheadFile(get, len(data)), 10) as file:
        for place in (30, 10, 39, 20):
            file.seek(place * BLOCK + 5)
            assert file.read(10) == data[place * BLOCK + 5 :][:10]
    assert starts == [30, 10, 39, 20]
