"""The main job, end to end, in this process: real files in, a verified dataset out."""

from __future__ import annotations

import hashlib
import os
import tarfile
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from imgbatch import crew
from imgbatch.dataset import MANIFEST, Dataset
from imgbatch.dataset.verify import verify
from imgbatch.errors import InputError, SettingsError, StorageError, TooManyFailedError
from imgbatch.observe.lines import log_lines
from imgbatch.observe.status import status
from imgbatch.run import run
from imgbatch.settings import Limits
from imgbatch.storage import open_store
from imgbatch.summary import Request
from tests import corpus

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from imgbatch.messages import Finished, Job, Task, Tick


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    corpus.make(folder / "corpus")
    corpus.run_inline(folder / "corpus", folder / "dataset")
    return folder


def rows(dataset: Path, table: str) -> list[dict[str, object]]:
    found = Dataset.open(str(dataset)).read(table).to_pylist()
    return sorted(found, key=lambda r: (str(r["source_id"]), r.get("frame", 0)))


def test_every_file_and_member_has_exactly_the_outcome_that_fits(made: Path) -> None:
    root = f"file://{made}/corpus/"
    found = {
        str(r["address"]).removeprefix(root): r["error_class"] or r["status"]
        for r in rows(made / "dataset", "sources")
    }
    assert found == corpus.EXPECTED


def test_verify_counts_the_same_and_finds_nothing_off(made: Path) -> None:
    found = verify(Dataset.open(str(made / "dataset")))
    assert found.problems == []
    assert found.sources == found.ok + found.failed + found.filtered == len(corpus.EXPECTED)
    ok = sum(v == "ok" for v in corpus.EXPECTED.values())
    assert found.rows["quality"] == found.rows["motion"] == found.ok == ok


def test_tables_join_on_source_and_version(made: Path) -> None:
    ok = {
        (r["source_id"], r["version"])
        for r in rows(made / "dataset", "sources")
        if r["status"] == "ok"
    }
    for table in ("image", "quality", "hashes", "motion"):
        assert {(r["source_id"], r["version"]) for r in rows(made / "dataset", table)} == ok


def test_a_member_of_an_archive_gives_the_rows_of_the_file_itself(made: Path) -> None:
    by_name = {
        str(r["address"]).rpartition("/corpus/")[2]: r for r in rows(made / "dataset", "sources")
    }
    hashes = {r["source_id"]: r["phash"] for r in rows(made / "dataset", "hashes")}
    for name, member in [
        ("china.jpg", "inside.zip!/china.jpg"),
        ("flower.jpg", "inside.tar.gz!/flower.jpg"),
        ("rocket.jpg", "inside.tar!/rocket.jpg"),
        ("china.jpg", "named/by/content.dat"),
    ]:
        assert by_name[name]["sha256"] == by_name[member]["sha256"]
        assert hashes[by_name[name]["source_id"]] == hashes[by_name[member]["source_id"]]


def content(folder: Path, name: str) -> bytes:
    """Return the bytes of a file, or of a member of an archive, as Python itself reads it."""
    archive, _, member = name.partition("!/")
    if not member:
        return (folder / name).read_bytes()
    if zipfile.is_zipfile(folder / archive):
        with zipfile.ZipFile(folder / archive) as opened:
            return opened.read(member)
    with tarfile.open(folder / archive) as opened_tar:
        file = opened_tar.extractfile(member)
        assert file is not None
        return file.read()


@pytest.mark.parametrize("held", ["in memory", "in a file"])
def test_a_source_has_the_sha256_of_its_bytes(held: str, made: Path, tmp_path: Path) -> None:
    dataset = made / "dataset"
    if held == "in a file":
        # Larger objects are read from their file.
        limits = Limits(fetched_bytes=2**16)
        dataset = tmp_path / "d"
        corpus.run_inline(made / "corpus", dataset, limits=limits)
    told = {
        str(r["address"]).rpartition("/corpus/")[2]: r["sha256"]
        for r in rows(dataset, "sources")
        if r["status"] == "ok"
    }
    bytes_of = {name: content(made / "corpus", name) for name in told}
    assert told == {name: hashlib.sha256(data).hexdigest() for name, data in bytes_of.items()}
    assert {name for name, outcome in corpus.EXPECTED.items() if outcome == "ok"} == told.keys()
    assert max(map(len, bytes_of.values())) > 2**16
    assert {"inside.zip!/china.jpg", "inside.tar.gz!/flower.jpg"} <= told.keys()


def test_again_it_does_nothing(made: Path) -> None:
    dataset = Dataset.open(str(made / "dataset"))
    before = {t: dataset.table(t).version for t in (MANIFEST, "tables/sources", "tables/image")}
    files = sorted(p for p in (made / "dataset").rglob("*"))
    summary = corpus.run_inline(made / "corpus", made / "dataset")
    again = Dataset.open(str(made / "dataset"))
    assert (summary.shards, summary.new, summary.changed, summary.removed) == (0, 0, 0, 0)
    assert {t: again.table(t).version for t in before} == before
    assert sorted(p for p in (made / "dataset").rglob("*")) == files


def test_the_number_of_threads_and_the_cut_of_shards_change_no_row(
    made: Path, tmp_path: Path
) -> None:
    limits = Limits(threads=1, fetch_threads=1, shard_sources=3, fetched_bytes=2**16)
    corpus.run_inline(made / "corpus", tmp_path / "other", limits=limits)
    for table in ("sources", "image", "quality", "hashes", "motion"):
        assert rows(tmp_path / "other", table) == rows(made / "dataset", table)
    assert verify(Dataset.open(str(tmp_path / "other"))).problems == []


def test_logs_name_run_shard_and_stages_and_never_an_address(made: Path) -> None:
    dataset = Dataset.open(str(made / "dataset"))
    (record,) = dataset.runs()
    lines = list(log_lines(dataset, record["run"]))
    done = [line for line in lines if line["event"] == "shard.finished"]
    assert sum(sum(line["outcomes"].values()) for line in done) == len(corpus.EXPECTED)
    assert {"fetch", "decode", "quality", "write"} <= set(done[0]["stages"])
    assert {line["run"] for line in lines} == {record["run"]}
    told = [line for line in lines if "source" in line]
    assert "source.failed" in {line["event"] for line in told}
    assert all(line.get("shard") for line in [*told, *done])
    assert {line["worker"] for line in lines} == {"driver", "inline"}
    assert not any(name in str(lines) for name in ("china.jpg", str(made)))


def test_status_tells_counts_tables_and_the_slowest_stage(made: Path) -> None:
    found = status(Dataset.open(str(made / "dataset")))
    assert found["sources"] == len(corpus.EXPECTED)
    assert found["outcomes"]["failed"] == {
        "decode.empty": 1,
        "decode.unrecognised": 1,
        "decode.truncated": 1,
        "archive.truncated": 1,
    }
    assert all(t["shards_done"] == t["shards"] for t in found["tables"].values())
    assert found["last_run"]["status"] == "finished"
    stages = list(found["stages"].values())
    assert stages == sorted(stages, reverse=True)


def test_a_run_record_says_what_was_asked_and_with_what(made: Path) -> None:
    (record,) = Dataset.open(str(made / "dataset")).runs()
    assert record["recipe"]["media"]["min_side"] == 256
    assert set(record["tables"]) == {"sources", "image", "quality", "hashes", "motion"}
    assert record["versions"]["pillow"]
    assert record["outcomes"]["ok"] == record["pictures"]


def test_new_changed_and_removed_files_are_followed(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 30)
    limits = Limits(shard_sources=10)
    corpus.run_inline(folder, tmp_path / "d", limits=limits)
    (folder / "00003.jpg").unlink()
    (folder / "00004.jpg").write_bytes((folder / "00005.jpg").read_bytes())
    (folder / "new.jpg").write_bytes((folder / "00006.jpg").read_bytes())
    summary = corpus.run_inline(folder, tmp_path / "d", limits=limits)
    assert (summary.new, summary.changed, summary.removed, summary.shards) == (1, 1, 1, 2)
    fresh = corpus.run_inline(folder, tmp_path / "fresh", limits=limits)
    assert fresh.sources == 30
    for table in ("sources", "image", "quality", "hashes", "motion"):
        assert rows(tmp_path / "d", table) == rows(tmp_path / "fresh", table)
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


def test_a_shard_that_lost_all_its_files_leaves_every_table(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 20)
    limits = Limits(shard_sources=10)
    corpus.run_inline(folder, tmp_path / "d", limits=limits)
    for number in range(10):
        (folder / f"{number:05}.jpg").unlink()
    corpus.run_inline(folder, tmp_path / "d", limits=limits)
    assert len(rows(tmp_path / "d", "quality")) == 10
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


def test_a_run_killed_before_it_cleared_an_emptied_shard_is_healed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = corpus.many(tmp_path / "c", 20)
    limits = Limits(shard_sources=10)
    corpus.run_inline(folder, tmp_path / "d", limits=limits)
    for number in range(10):
        (folder / f"{number:05}.jpg").unlink()

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("imgbatch.driver.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            corpus.run_inline(folder, tmp_path / "d", limits=limits)
    assert len(rows(tmp_path / "d", "quality")) == 20
    corpus.run_inline(folder, tmp_path / "d", limits=limits)
    assert len(rows(tmp_path / "d", "quality")) == 10
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []


def test_a_dataset_whose_first_run_was_killed_before_it_had_a_manifest_is_filled_by_the_next(
    tmp_path: Path,
) -> None:
    folder = corpus.many(tmp_path / "c", 3)
    Dataset.create(str(tmp_path / "d"))
    assert corpus.run_inline(folder, tmp_path / "d").sources == 3


def test_a_changed_analyzer_recomputes_its_own_table_only(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 12)
    corpus.run_inline(folder, tmp_path / "d")
    before = {
        t: Dataset.open(str(tmp_path / "d")).table(f"tables/{t}").parts()
        for t in ("sources", "image", "hashes")
    }
    summary = corpus.run_inline(
        folder, tmp_path / "d", recipe=corpus.RECIPE + "[analyzers.color]\n"
    )
    assert summary.shards == 1
    dataset = Dataset.open(str(tmp_path / "d"))
    assert {t: dataset.table(f"tables/{t}").parts() for t in before} == before
    assert len(rows(tmp_path / "d", "color")) == 12


def test_other_media_settings_recompute_everything_and_leave_one_part_per_shard(
    tmp_path: Path,
) -> None:
    folder = corpus.many(tmp_path / "c", 12)
    corpus.run_inline(folder, tmp_path / "d")
    recipe = corpus.RECIPE.replace("[media]\n", "[media]\nmin_side = 32\n")
    corpus.run_inline(folder, tmp_path / "d", recipe=recipe)
    found = verify(Dataset.open(str(tmp_path / "d")))
    assert (found.problems, found.rows["quality"]) == ([], 12)


@pytest.mark.slow
def test_a_sample_first_and_all_later_is_the_same_as_all_at_once(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 40)
    first = corpus.run_inline(folder, tmp_path / "d", limit=7)
    assert first.sources == 7
    assert corpus.run_inline(folder, tmp_path / "d", limit=7).shards == 0
    share = corpus.run_inline(folder, tmp_path / "d", share=0.5)
    assert 0 < share.sources < 33
    corpus.run_inline(folder, tmp_path / "d")
    corpus.run_inline(folder, tmp_path / "once")
    assert rows(tmp_path / "d", "quality") == rows(tmp_path / "once", "quality")


def test_two_inputs_live_in_one_dataset(tmp_path: Path) -> None:
    one, two = corpus.many(tmp_path / "one", 5), corpus.many(tmp_path / "two", 6)
    corpus.run_inline(one, tmp_path / "d")
    corpus.run_inline(two, tmp_path / "d", add_input=True)
    assert len(rows(tmp_path / "d", "sources")) == 11
    assert corpus.run_inline(one, tmp_path / "d").shards == 0


def test_an_unchanged_archive_is_not_read_again(tmp_path: Path) -> None:
    folder = corpus.make(tmp_path / "c")
    corpus.run_inline(folder, tmp_path / "d")
    archive = folder / "inside.tar.gz"
    before = archive.stat()
    # Other bytes under the same size and time: only reading it would tell.
    archive.write_bytes(bytes(before.st_size))
    os.utime(archive, ns=(before.st_atime_ns, before.st_mtime_ns))
    summary = corpus.run_inline(folder, tmp_path / "d")
    assert (summary.changed, summary.shards) == (0, 0)


def test_an_engine_that_dies_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 40)
    limits = Limits(shard_sources=10, commit_seconds=1000)

    def dies(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        yield from crew.inline(job, tasks[:2])
        raise StorageError("the disk is full")

    request = Request(str(folder), str(tmp_path / "d"), corpus.RECIPE, "inline")
    with pytest.raises(StorageError):
        run(request, limits, dies, corpus.Silent())
    dataset = Dataset.open(str(tmp_path / "d"))
    assert dataset.runs()[-1]["status"] == "failed"
    assert any("unfinished" in problem for problem in verify(dataset).problems)
    summary = corpus.run_inline(folder, tmp_path / "d", limits=limits)
    assert summary.shards == 2
    assert verify(Dataset.open(str(tmp_path / "d"))).problems == []
    corpus.run_inline(folder, tmp_path / "fresh", limits=limits)
    assert rows(tmp_path / "d", "quality") == rows(tmp_path / "fresh", "quality")


def test_too_many_failures_end_with_an_error_and_their_outcomes(tmp_path: Path) -> None:
    folder = corpus.make(tmp_path / "c")
    with pytest.raises(TooManyFailedError, match=f"4 of {len(corpus.EXPECTED)} sources failed"):
        corpus.run_inline(folder, tmp_path / "d", max_failed=0.05)
    # A shard that was not begun by then stays undone.
    found = rows(tmp_path / "d", "sources")
    assert sum(row["status"] == "failed" for row in found) == 4
    corpus.run_inline(folder, tmp_path / "d", max_failed=4)
    assert len(rows(tmp_path / "d", "sources")) == len(corpus.EXPECTED)


def test_bad_requests_write_nothing(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 1)
    for input_, recipe, error in [
        (tmp_path / "nowhere", corpus.RECIPE, InputError),
        (folder, "[analyzers.qualty]\n", SettingsError),
        (folder, "[analyzers.quality]\ntypo = 1\n", SettingsError),
        (folder, "[media]\nmin_sid = 1\n[analyzers.quality]\n", SettingsError),
    ]:
        with pytest.raises(error):
            corpus.run_inline(input_, tmp_path / "d", recipe=recipe)
        assert not (tmp_path / "d").exists()
    with pytest.raises(SettingsError, match="lies inside INPUT"):
        corpus.run_inline(folder, folder / "d")
    assert [p.name for p in folder.iterdir()] == ["00000.jpg"]


def test_an_input_that_vanished_removes_nothing(tmp_path: Path) -> None:
    folder = corpus.many(tmp_path / "c", 3)
    corpus.run_inline(folder, tmp_path / "d")
    for path in folder.iterdir():
        path.unlink()
    with pytest.raises(InputError):
        corpus.run_inline(folder, tmp_path / "d")
    assert len(rows(tmp_path / "d", "sources")) == 3


def test_a_file_changed_between_listing_and_fetching_is_a_failure_and_heals(
    tmp_path: Path,
) -> None:
    folder = corpus.many(tmp_path / "c", 3)

    def meddles(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        time.sleep(0.01)
        (folder / "00001.jpg").write_bytes((folder / "00001.jpg").read_bytes() + b"more")
        (folder / "00002.jpg").unlink()
        yield from crew.inline(job, tasks)

    request = Request(str(folder), str(tmp_path / "d"), corpus.RECIPE, "inline")
    run(request, Limits(), meddles, corpus.Silent())
    classes = sorted(str(r["error_class"]) for r in rows(tmp_path / "d", "sources"))
    assert classes == ["None", "fetch.changed", "fetch.missing"]
    corpus.run_inline(folder, tmp_path / "d")
    assert [r["status"] for r in rows(tmp_path / "d", "sources")] == ["ok", "ok"]


@pytest.mark.slow
def test_buckets_in_and_buckets_out(tmp_path: Path, bucket: str) -> None:
    folder = corpus.make(tmp_path / "c")
    store = open_store(f"s3://{bucket}/corpus")
    for path in folder.rglob("*"):
        if path.is_file():
            store.put(str(path.relative_to(folder)), path.read_bytes())
    request = Request(f"s3://{bucket}/corpus", f"s3://{bucket}/results", corpus.RECIPE, "inline")
    run(request, Limits(), crew.inline, corpus.Silent())
    dataset = Dataset.open(f"s3://{bucket}/results")
    found = verify(dataset)
    assert (found.problems, found.sources) == ([], len(corpus.EXPECTED))
    rows = dataset.read("sources").to_pylist()
    by_name = {r["address"].partition("/corpus/")[2]: r["error_class"] or r["status"] for r in rows}
    assert by_name == corpus.EXPECTED
    assert run(request, Limits(), crew.inline, corpus.Silent()).shards == 0


def test_what_macos_puts_beside_each_picture_is_a_sidecar_and_no_broken_picture(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    beside = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(100)
    with zipfile.ZipFile(folder / "export.zip", "w") as archive:
        archive.write(corpus.PHOTOS["china.jpg"], "china.jpg")
        archive.writestr("__MACOSX/._china.jpg", beside)
        archive.writestr("lies.jpg", beside)
        archive.writestr("._broken.jpg", b"neither the one nor the other")
    corpus.run_inline(folder, tmp_path / "d", recipe="[analyzers.image]\n")
    rows = Dataset.open(str(tmp_path / "d")).read("sources").to_pylist()
    assert {row["address"].rpartition("/")[2]: row["error_class"] for row in rows} == {
        "china.jpg": None,
        "._china.jpg": "sidecar",
        "lies.jpg": "decode.unrecognised",
        "._broken.jpg": "decode.unrecognised",
        "export.zip": "archive",
    }
