"""Whole runs whose input or dataset lies in a bucket: S3 (moto's server) and Google (ours)."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import urllib.request
import uuid
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew
from imgbatch.cli import app
from imgbatch.dataset import MANIFEST, Dataset, commit
from imgbatch.dataset.delta import Table
from imgbatch.dataset.manifest import SCHEMA
from imgbatch.dataset.part import Part
from imgbatch.dataset.verify import verify
from imgbatch.errors import FencedError, OutageError
from imgbatch.messages import Finished
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import clients, open_store, sdk
from imgbatch.storage.addresses import unquote
from imgbatch.summary import Request
from tests import corpus
from tests.conftest import ask

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from imgbatch.messages import Job, Task, Tick
    from imgbatch.summary import Summary


@pytest.fixture(params=["s3", "gs"])
def cloud(request: pytest.FixtureRequest) -> str:
    """A prefix of its own in a bucket, with what URLs and Delta tend to stumble over."""
    name = request.getfixturevalue("bucket" if request.param == "s3" else "gs_bucket")
    return f"{request.param}://{name}/{uuid.uuid4().hex[:8]} a+b%25"


def fill(url: str, folder: Path) -> str:
    store = open_store(url)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path.read_bytes())
    return url


def do(source: str, dataset: str) -> Summary:
    request = Request(source, dataset, corpus.RECIPE, "inline")
    return run(request, Limits(), crew.inline, corpus.Silent())


def outcomes(dataset: str) -> dict[str, str]:
    rows = Dataset.open(dataset).read("sources").to_pylist()
    return {r["address"].partition("/corpus/")[2]: r["error_class"] or r["status"] for r in rows}


@pytest.mark.slow
@pytest.mark.parametrize("way", ["in", "out"])
def test_a_folder_and_a_bucket_give_the_same_outcomes_and_a_rerun_is_free(
    cloud: str, tmp_path: Path, way: str
) -> None:
    folder = corpus.make(tmp_path / "corpus")
    source = fill(f"{cloud}/corpus", folder) if way == "in" else str(folder)
    dataset = str(tmp_path / "d") if way == "in" else f"{cloud}/d"
    assert do(source, dataset).new == len(corpus.EXPECTED)
    assert outcomes(dataset) == corpus.EXPECTED
    found = verify(Dataset.open(dataset))
    assert (found.problems, found.sources) == ([], len(corpus.EXPECTED))
    again = do(source, dataset)
    assert (again.shards, again.new, again.changed, again.removed) == (0, 0, 0, 0)


def test_folders_that_consoles_make_are_no_sources_and_empty_objects_are(cloud: str) -> None:
    store = open_store(cloud)
    for name in ("a/x.jpg", "a/empty.jpg"):
        store.put(name, b"x" if name == "a/x.jpg" else b"")
    raw(cloud, "a/")
    raw(cloud, "a/b/")
    assert sorted(e.name for e in store.list()) == ["a/empty.jpg", "a/x.jpg"]
    assert sorted(e.name for e in store.list("a")) == ["a/empty.jpg", "a/x.jpg"]
    assert sorted(e.name for e in open_store(f"{cloud}/a").list()) == ["empty.jpg", "x.jpg"]


def raw(url: str, name: str) -> None:
    """Put an empty object under a name that obstore does not put."""
    scheme, _, rest = open_store(url).root.partition("://")
    bucket, _, prefix = rest.partition("/")
    key = f"{unquote(prefix)}/{name}"
    if scheme == "s3":
        sdk.s3(f"s3://{bucket}").put_object(Bucket=bucket, Key=key)
    else:
        sdk.google(f"gs://{bucket}").bucket(bucket).blob(key).upload_from_string(b"")


def test_an_object_replaced_between_listing_and_fetching_is_a_failure_and_heals(
    cloud: str, tmp_path: Path
) -> None:
    source = fill(f"{cloud}/corpus", corpus.many(tmp_path / "c", 3))
    photo = open_store(source).get("00001.jpg")

    def meddles(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        # The same size: only its version tells.
        open_store(source).put("00001.jpg", photo[:-3] + b"\0" + photo[-2:])
        open_store(source).delete("00002.jpg")
        yield from crew.inline(job, tasks)

    request = Request(source, str(tmp_path / "d"), corpus.RECIPE, "inline")
    run(request, Limits(), meddles, corpus.Silent())
    found = sorted(outcomes(str(tmp_path / "d")).values())
    assert found == ["fetch.changed", "fetch.missing", "ok"]
    healed = do(source, str(tmp_path / "d"))
    assert (healed.changed, healed.removed) == (1, 1)
    assert sorted(outcomes(str(tmp_path / "d")).values()) == ["ok", "ok"]


@pytest.mark.slow
def test_commits_wait_while_the_dataset_s_store_is_out_and_go_on_when_it_is_back(
    gs_server: str, gs_bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = f"gs://{gs_bucket}/{uuid.uuid4().hex}"
    folder = corpus.many(tmp_path / "c", 6)
    limits = Limits(shard_sources=2, commit_seconds=0.001)
    monkeypatch.setattr(commit, "PATIENCE", 0)  # each shard is committed when it comes

    def falters(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        finished = [event for event in crew.inline(job, tasks) if isinstance(event, Finished)]
        yield finished[0]
        version = Dataset.open(dataset).table("tables/sources").version
        ask(f"{gs_server}/_fake", {"out": True})
        yield finished[1]
        ask(f"{gs_server}/_fake", {"out": False})
        assert Dataset.open(dataset).table("tables/sources").version == version
        yield finished[2]

    request = Request(str(folder), dataset, corpus.RECIPE, "inline")
    assert run(request, limits, falters, corpus.Silent()).shards == 3
    assert verify(Dataset.open(dataset)).problems == []
    assert do(str(folder), dataset).shards == 0


@pytest.mark.slow
def test_a_store_that_stays_out_ends_the_run_and_the_next_one_takes_what_is_written(
    gs_server: str, gs_bucket: str, tmp_path: Path
) -> None:
    dataset = f"gs://{gs_bucket}/{uuid.uuid4().hex}"
    folder = corpus.many(tmp_path / "c", 4)
    limits = Limits(shard_sources=2, commit_seconds=0.001, fetch_seconds=0.5, lock_seconds=0.1)

    def falters(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        for event in list(crew.inline(job, tasks)):
            ask(f"{gs_server}/_fake", {"out": True})
            yield event

    request = Request(str(folder), dataset, corpus.RECIPE, "inline")
    try:
        with pytest.raises(OutageError) as caught:
            run(request, limits, falters, corpus.Silent())
    finally:
        ask(f"{gs_server}/_fake", {"out": False})
    assert caught.value.exit_code == 16
    again = run(request, limits, crew.inline, corpus.Silent())
    assert (again.adopted > 0, again.shards) == (True, 0)
    assert verify(Dataset.open(dataset)).problems == []


class Commands:
    """Runs commands of imgbatch: each in a process of its own, or all in this one."""

    def __init__(self, capsys: pytest.CaptureFixture[str] | None) -> None:
        self._capsys = capsys

    def __call__(self, *words: str) -> str:
        """Return what a command prints."""
        if self._capsys is None:
            line = [sys.executable, "-m", "imgbatch", *words]
            done = subprocess.run(line, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout
        with contextlib.suppress(SystemExit):
            app(words)
        return self._capsys.readouterr().out


# What says where a bucket is, the address first.
VARIABLES = {
    "s3": ("AWS_ENDPOINT_URL", "AWS_ALLOW_HTTP", "AWS_REGION", "AWS_DEFAULT_REGION"),
    "gs": ("STORAGE_EMULATOR_HOST",),
}


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "workers"), [("inline", "2"), ("ray", "1")])
@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_every_command_works_on_buckets_that_only_their_urls_know_how_to_reach(
    request: pytest.FixtureRequest,
    scheme: str,
    engine: str,
    workers: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    variables = VARIABLES[scheme]
    bucket = request.getfixturevalue("bucket" if scheme == "s3" else "gs_bucket")
    more = "region=us-east-1" if scheme == "s3" else "anonymous=true"
    said = f"?endpoint={os.environ[variables[0]]}&{more}"
    for variable in variables:
        monkeypatch.delenv(variable)
    clients.forget()
    open_store.cache_clear()
    place = f"{scheme}://{bucket}/{engine}-{uuid.uuid4().hex[:8]}"
    source, dataset = f"{place}/corpus{said}", f"{place}/d{said}"
    fill(source, corpus.make(tmp_path / "corpus"))
    cli = Commands(capsys if engine == "inline" else None)
    shown = cli("run", source, dataset, "--engine", engine, "--workers", workers, "--json")
    assert json.loads(shown.splitlines()[-1])["outcomes"]["ok"] > 0
    assert "nothing to do" in cli("run", source, dataset, "--engine", engine)
    assert "everything is as committed" in cli("verify", dataset)
    assert f"{len(corpus.EXPECTED)} sources" in cli("status", dataset)
    if scheme == "s3":
        page = read_report(cli("report", dataset, "--link").splitlines(), f"{place}/d")
    else:  # nobody without keys can sign a link
        assert cli("report", dataset) == f"{place}/d/report/index.html\n"
        page = open_store(dataset).get("report/index.html").decode()
    assert "data:image/" in page
    assert not re.findall(r"""(?:href|src)=["'](?!#|data:)""", page)
    assert "rows in sources.parquet" in cli("export", dataset, str(tmp_path / "out"))
    assert "rows in sources.csv" in cli("export", dataset, f"{place}/csv", "--format", "csv")
    assert open_store(f"{place}/csv").head("sources.csv").size > 0
    cli("forget", dataset, "--source", f"{place}/corpus/china.jpg", "--same-bytes", "--yes")
    assert "none is left" in cli("verify", dataset, "--forgotten")
    assert "everything is as committed" in cli("verify", dataset)
    clients.forget()
    open_store.cache_clear()


def read_report(printed: list[str], dataset: str) -> str:
    """Return a report by the link that the command printed; it needs nothing else."""
    address, _, link = printed
    assert address == f"{dataset}/report/index.html"
    with urllib.request.urlopen(link) as page:
        assert page.headers["Content-Type"].startswith("text/html")
        return str(page.read().decode())


def test_of_racers_that_commit_one_version_exactly_one_wins(cloud: str) -> None:
    dataset = Dataset.create(cloud)
    dataset.table(MANIFEST).create(SCHEMA, fence=0, run="create")
    won: list[int] = []
    barrier = threading.Barrier(4)

    def race(number: int) -> None:
        table = Table(dataset.store, MANIFEST)
        part = Part(MANIFEST, f"shard@{number}-{number:08x}.parquet", 10, 1, "0" * 64)
        barrier.wait()
        try:
            table.commit([part], [], fence=1, run=f"run{number}")
        except FencedError:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=[n]) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    table = Table(dataset.store, MANIFEST)
    assert len(won) == 1
    assert list(table.parts()) == [f"shard@{won[0]}-{won[0]:08x}.parquet"]
