"""Runs on a store that misbehaves end right: all is read, or an outcome says why not."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

from imgbatch import attempts, crew
from imgbatch.attempts import Patience, attempt
from imgbatch.cli import past_lines
from imgbatch.dataset import Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import FetchError, OutageError, StorageError, TooManyFailedError
from imgbatch.observe.explain import explain
from imgbatch.observe.lines import log_lines
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import Entry, open_store
from imgbatch.storage.local import LocalStore
from imgbatch.summary import Request
from tests import corpus
from tests.equal import assert_equal
from tests.storage.faulty import Faults, FaultyStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# Small: large sources and members are read by their other way, from a temporary file.
# One takes several requests, each of which may fail: so many attempts that all come through.
LIMITS = Limits(fetched_bytes=2**16, fetch_attempts=300)
NAMES = itertools.count()


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faults]:
    """Make every memory:// store faulty; open_store looks the class up when it opens one."""
    made = Faults()
    monkeypatch.setattr(FaultyStore, "faults", made)
    monkeypatch.setattr("imgbatch.storage.remote.RemoteStore", FaultyStore)
    monkeypatch.setattr(attempts, "FIRST", 0.0001)
    monkeypatch.setattr(attempts, "LONGEST", 0.001)
    monkeypatch.setattr("imgbatch.sources.listing.ATTEMPTS", 20)
    open_store.cache_clear()
    yield made
    open_store.cache_clear()


@pytest.fixture
def url(tmp_path: Path, faults: Faults) -> str:  # noqa: ARG001 - the store must be faulty first
    """The corpus in a store in memory."""
    url = f"memory://faulty-{next(NAMES)}"
    store, folder = open_store(url), corpus.make(tmp_path / "in")
    assert isinstance(store, FaultyStore)
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path.read_bytes())
    return url


def do(url: str, dataset: Path, limits: Limits = LIMITS, max_failed: float | None = None) -> None:
    request = Request(url, str(dataset), corpus.RECIPE, "inline", max_failed=max_failed)
    run(request, limits, crew.inline, corpus.Silent())


def outcomes(dataset: Path, url: str) -> dict[str, str]:
    rows = Dataset.open(str(dataset)).read("sources").to_pylist()
    return {r["address"].removeprefix(f"{url}/"): r["error_class"] or r["status"] for r in rows}


@pytest.mark.slow
def test_a_store_that_fails_and_cuts_bodies_gives_what_a_sound_one_gives(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    do(url, tmp_path / "sound")
    assert outcomes(tmp_path / "sound", url) == corpus.EXPECTED
    faults.fail, faults.cut, faults.slow = 0.3, 0.4, 0.001
    do(url, tmp_path / "faulty")
    assert faults.failed > 3
    assert faults.shortened > 3
    assert_equal(tmp_path / "sound", tmp_path / "faulty")
    assert verify(Dataset.open(str(tmp_path / "faulty"))).problems == []


def test_each_attempt_that_is_followed_by_another_has_a_line(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    do(url, tmp_path / "d")
    faults.fail = 0.5
    recipe = corpus.RECIPE + "[analyzers.color]\n"
    request = Request(url, str(tmp_path / "d"), recipe, "inline")
    run(request, LIMITS, crew.inline, corpus.Silent())
    dataset = Dataset.open(str(tmp_path / "d"))
    lines = list(log_lines(dataset, dataset.runs()[-1]["run"]))
    retried = [line for line in lines if line["event"] == "fetch.retried"]
    assert retried
    assert all(line["shard"] for line in retried)
    assert {line["error"] for line in retried} == {"fetch.failed", "fetch.timeout"}
    known = set(dataset.read("sources")["source_id"].to_pylist())
    assert {line["source"] for line in retried} <= known
    assert {line["attempt"] for line in retried} >= {1, 2}
    # What `explain` tells of a source are its own attempts, all of them.
    source = max(retried, key=lambda line: line["attempt"])["source"]
    own = [line for line in retried if line["source"] == source]
    found = explain(dataset, source)
    assert found["log"] == own
    shown = "\n".join(past_lines.explain(found))
    for line in own:
        assert f"warning fetch.retried: attempt {line['attempt']}, error {line['error']}" in shown


def test_a_body_that_always_comes_short_is_never_a_success(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    limits = LIMITS.model_copy(update={"fetch_attempts": 2, "outage_sources": 0})

    class Late(corpus.Silent):
        def planned(self, **_: object) -> None:
            faults.cut = 1.0

    request = Request(url, str(tmp_path / "d"), corpus.RECIPE, "inline")
    run(request, limits, crew.inline, Late())
    found = outcomes(tmp_path / "d", url)
    assert "ok" not in found.values()
    assert found["china.jpg"] == found["inside.zip!/china.jpg"] == "fetch.failed"
    assert found["inside.tar!/rocket.jpg"] == found["inside.tar.gz!/flower.jpg"] == "fetch.failed"
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


def test_a_stale_listing_names_what_is_gone_and_the_next_one_heals(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    faults.stale = [Entry("gone.jpg", 100, "v1")]
    do(url, tmp_path / "d")
    assert outcomes(tmp_path / "d", url)["gone.jpg"] == "fetch.missing"
    faults.stale = []
    do(url, tmp_path / "d")
    assert outcomes(tmp_path / "d", url) == corpus.EXPECTED


@pytest.mark.slow
def test_a_listing_that_omits_what_is_there_is_healed_by_the_next(
    url: str, faults: Faults, tmp_path: Path
) -> None:
    do(url, tmp_path / "sound")
    do(url, tmp_path / "d")
    faults.hidden = {"rocket.jpg", "inside.zip"}
    do(url, tmp_path / "d")
    assert not {"rocket.jpg", "inside.zip!/china.jpg"} & outcomes(tmp_path / "d", url).keys()
    faults.hidden = set()
    do(url, tmp_path / "d")
    assert outcomes(tmp_path / "d", url) == corpus.EXPECTED
    assert_equal(tmp_path / "sound", tmp_path / "d")
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


@pytest.mark.slow
@pytest.mark.parametrize("seen", [True, False])
def test_a_listing_that_tells_a_former_version_is_healed_by_the_next(
    url: str, faults: Faults, tmp_path: Path, *, seen: bool
) -> None:
    store = open_store(url)
    former = store.head("rocket.jpg")
    store.put("rocket.jpg", corpus.PHOTOS["flower.jpg"].read_bytes())
    do(url, tmp_path / "sound")
    if seen:  # the newer version was there before, and is listed no more
        do(url, tmp_path / "d")
    faults.stale = [former]
    do(url, tmp_path / "d")
    # Its bytes are not there any more; those that are would be another version's.
    assert outcomes(tmp_path / "d", url)["rocket.jpg"] == "fetch.changed"
    faults.stale = []
    do(url, tmp_path / "d")
    assert_equal(tmp_path / "sound", tmp_path / "d")
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


def test_a_store_that_is_out_ends_the_run_and_the_next_one_goes_on(
    faults: Faults, tmp_path: Path
) -> None:
    url, folder = f"memory://out-{next(NAMES)}", corpus.many(tmp_path / "in", 60)
    store = open_store(url)
    for path in folder.iterdir():
        store.put(path.name, path.read_bytes())
    limits = Limits(shard_sources=30, fetch_attempts=2)

    class Late(corpus.Silent):
        def planned(self, **_: object) -> None:
            faults.fail = 1.0

    request = Request(url, str(tmp_path / "d"), corpus.RECIPE, "inline")
    with pytest.raises(StorageError, match=r"none of 30 sources of shard .* could be fetched"):
        run(request, limits, crew.inline, Late())
    faults.fail = 0.0
    do(url, tmp_path / "d", limits)
    assert set(outcomes(tmp_path / "d", url).values()) == {"ok"}


def test_a_part_that_could_not_be_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put, struck = LocalStore.put, set[str]()

    def hiccups(self: LocalStore, name: str, data: bytes) -> None:
        if name.endswith(".parquet") and name.startswith("tables/") and name not in struck:
            struck.add(name)
            raise StorageError(f"{name}: connection reset")
        put(self, name, data)

    monkeypatch.setattr(LocalStore, "put", hiccups)
    monkeypatch.setattr(attempts, "FIRST", 0.0001)
    monkeypatch.setattr(attempts, "LONGEST", 0.001)
    corpus.run_inline(corpus.many(tmp_path / "in", 5), tmp_path / "d")
    assert len(struck) == 5
    dataset = Dataset.open(str(tmp_path / "d"))
    assert verify(dataset).problems == []
    shown = "\n".join(past_lines.explain(explain(dataset, str(tmp_path / "in/00000.jpg"))))
    assert shown.count("warning part.retried: error StorageError, shard ") == 5


def test_what_a_worker_reads_of_its_dataset_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus.many(tmp_path / "in", 6)
    corpus.run_inline(folder, tmp_path / "d")
    (folder / "00003.jpg").write_bytes(corpus.PHOTOS["flower.jpg"].read_bytes())
    get, struck = LocalStore.get, set[str]()

    def hiccups(self: LocalStore, name: str) -> bytes:
        if name.startswith(("manifest/", "tables/")) and name not in struck:
            struck.add(name)
            raise OutageError(f"{name}: nobody answers")
        return get(self, name)

    def begin() -> None:
        monkeypatch.setattr(LocalStore, "get", hiccups)

    monkeypatch.setattr(attempts, "FIRST", 0.0001)
    monkeypatch.setattr(attempts, "LONGEST", 0.001)
    corpus.run_inline(folder, tmp_path / "d", before_work=begin)
    # The shard's listing, and its former parts: five of its rows are carried over.
    assert {name.partition("/")[0] for name in struck} == {"manifest", "tables"}
    monkeypatch.undo()
    corpus.run_inline(folder, tmp_path / "fresh")
    assert_equal(tmp_path / "fresh", tmp_path / "d")


def test_final_errors_are_not_tried_again_and_others_end_with_patience() -> None:
    for code, tried in [("fetch.missing", 1), ("fetch.timeout", 3), ("fetch.failed", 3)]:
        calls = []

        def call(code: str = code, calls: list[int] = calls) -> None:
            calls.append(1)
            raise FetchError(code, "why")

        with pytest.raises(FetchError):
            attempt(call, Patience(3, 100.0))
        assert len(calls) == tried
        with pytest.raises(FetchError):
            attempt(call, Patience(3, 0.0))
        assert len(calls) == tried + 1


def test_a_run_stops_where_its_budget_is_overrun_and_goes_on_with_a_larger_one(
    tmp_path: Path,
) -> None:
    folder = corpus.many(tmp_path / "in", 60)
    for number in range(0, 60, 2):
        (folder / f"{number:05}.jpg").write_bytes(b"no picture %d" % number)
    limits = Limits(shard_sources=10, commit_seconds=1000)
    with pytest.raises(TooManyFailedError, match=r"of 60 sources failed; --max-failed allows 9"):
        corpus.run_inline(folder, tmp_path / "d", limits=limits, max_failed=0.15)
    dataset = Dataset.open(str(tmp_path / "d"))
    done = dataset.read("sources").num_rows
    assert 20 <= done < 60
    assert pc.sum(pc.equal(dataset.read("sources")["status"], "failed")).as_py() > 9
    # With the same budget it does not begin: what is committed is too much already.
    with pytest.raises(TooManyFailedError):
        corpus.run_inline(folder, tmp_path / "d", limits=limits, max_failed=0.15)
    summary = corpus.run_inline(folder, tmp_path / "d", limits=limits, max_failed=30)
    # A second shard may have been written when the budget was overrun: its parts are adopted.
    shards_adopted = summary.adopted / len(Dataset.open(str(tmp_path / "d")).tables())
    assert summary.sources == 60 - done - 10 * shards_adopted
    corpus.run_inline(folder, tmp_path / "fresh", limits=limits)
    assert_equal(tmp_path / "d", tmp_path / "fresh")
