"""A takedown on real photographs: what leaves, what stays, what comes back, and who notices."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from imgbatch import crew
from imgbatch.dataset import MANIFEST, SOURCES, Dataset
from imgbatch.dataset.audit import Audit, records
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.forget import forget, is_left
from imgbatch.dataset.forgotten import verify_forgotten
from imgbatch.dataset.given import given, given_lines, look_up, similar
from imgbatch.dataset.posts_forgotten import look_up as look_up_posts
from imgbatch.dataset.verify import verify
from imgbatch.errors import BusyError, DamageError, FencedError, SettingsError
from imgbatch.grouping import Wish, group
from imgbatch.observe.history import history
from imgbatch.observe.logs import LogFile, logger
from imgbatch.records import source_id_of
from imgbatch.report import write_report
from imgbatch.run import run as driven
from imgbatch.settings import Limits
from imgbatch.storage.local import PARTIAL
from imgbatch.summary import Request
from tests import corpus
from tests.equal import assert_equal

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from imgbatch.messages import Finished, Job, Task, Tick

FORMER = "[analyzers.classic]\n"
RECIPE = "[analyzers.image]\n[analyzers.quality]\n[analyzers.motion]\n"
LIMITS = Limits(shard_sources=6, commit_seconds=0.001)
POST = "1500000000000000001"
GONE = ("rocket.jpg", "inside.zip!/china.jpg", "lies.jpg", "inside.tar.gz!/flower.jpg")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus, and a dataset with two recipes behind it, a report, and a log that names a file."""
    folder = tmp_path_factory.mktemp("made")
    corpus.make(folder / "in")
    corpus.run_inline(folder / "in", folder / "own", recipe=FORMER, limits=LIMITS)
    corpus.run_inline(folder / "in", folder / "own", recipe=RECIPE, limits=LIMITS)
    return folder


@pytest.fixture
def place(made: Path, tmp_path: Path) -> Path:
    """A folder with the dataset as `own`; its sources are those of the shared corpus, in `in`."""
    shutil.copytree(made / "own", tmp_path / "own")
    (tmp_path / "in").symlink_to(made / "in")
    return tmp_path


def address(place: Path, name: str) -> str:
    return f"file://{(place / 'in').resolve()}/{name}"


def dataset_of(place: Path) -> Dataset:
    return Dataset.open(str(place / "own"))


def take_down(place: Path, *names: str, reason: str | None = None) -> Audit:
    dataset = dataset_of(place)
    named = [given(address(place, name)) for name in names]
    return forget(dataset, look_up(dataset, named), reason=reason)


def proof(place: Path, *names: str) -> list[str]:
    named = [given(address(place, name)) for name in names]
    return verify_forgotten(dataset_of(place), named).problems


def run(place: Path, *, recipe: str = RECIPE) -> dict[str, int]:
    input_ = (place / "in").resolve()
    summary = corpus.run_inline(input_, place / "own", recipe=recipe, limits=LIMITS)
    return {"forgotten": summary.forgotten, "read": summary.sources, "shards": summary.shards}


def addresses(place: Path) -> list[str]:
    return list(dataset_of(place).read(MANIFEST)["address"].to_pylist())


def test_a_forgotten_source_leaves_every_table_and_all_others_keep_their_rows(place: Path) -> None:
    before = {n: dataset_of(place).read(n) for n in dataset_of(place).tables()}
    ids = {source_id_of(address(place, name)) for name in GONE}
    audit = take_down(place, *GONE)
    dataset = dataset_of(place)
    assert set(before) == {SOURCES, "image", "quality", "motion", "classic"}
    for name, rows in before.items():
        kept = [row for row in rows.to_pylist() if row["source_id"] not in ids]
        assert sorted(map(repr, dataset.read(name).to_pylist())) == sorted(map(repr, kept))
        assert audit.rows[name] == rows.num_rows - len(kept)
    assert audit.rows[MANIFEST] == audit.named == len(GONE)
    assert verify(dataset).problems == []
    assert proof(place, *GONE) == []


def test_a_run_does_not_bring_it_back_and_finds_nothing_to_do(place: Path) -> None:
    take_down(place, *GONE)
    # two of the four lie in archives, which are not opened again
    assert run(place) == {"forgotten": 2, "read": 0, "shards": 0}
    # the table of the former recipe was carried along
    assert run(place, recipe=FORMER) == {"forgotten": 2, "read": 0, "shards": 0}
    assert proof(place, *GONE) == []


def test_it_is_kept_out_when_it_comes_again_changed_or_in_a_changed_archive(
    tmp_path: Path,
) -> None:
    corpus.make(tmp_path / "in")
    run(tmp_path)
    take_down(tmp_path, "rocket.jpg", "inside.zip!/china.jpg")
    (tmp_path / "in/rocket.jpg").write_bytes(corpus.PHOTOS["china.jpg"].read_bytes())
    os.utime(tmp_path / "in/inside.zip", ns=(0, 0))
    assert run(tmp_path)["forgotten"] == 2
    assert not {address(tmp_path, n) for n in ("rocket.jpg", "inside.zip!/china.jpg")} & set(
        addresses(tmp_path)
    )
    assert proof(tmp_path, "rocket.jpg", "inside.zip!/china.jpg") == []


def test_an_archive_is_forgotten_with_its_members_and_never_opened_again(tmp_path: Path) -> None:
    corpus.make(tmp_path / "in")
    run(tmp_path)
    audit = take_down(tmp_path, "inside.tar.gz")
    assert audit.named == 3
    (tmp_path / "in/inside.tar.gz").write_bytes(b"it would be an error to read this")
    assert run(tmp_path) == {"forgotten": 1, "read": 0, "shards": 0}
    assert not [a for a in addresses(tmp_path) if "inside.tar.gz" in a]
    assert proof(tmp_path, "inside.tar.gz", "inside.tar.gz!/flower.jpg") == []


@pytest.mark.slow
def test_a_source_that_was_removed_before_still_has_rows_in_a_former_table(tmp_path: Path) -> None:
    corpus.make(tmp_path / "in")
    run(tmp_path, recipe=FORMER)
    (tmp_path / "in/rocket.jpg").unlink()
    run(tmp_path)
    left = dataset_of(tmp_path).read("classic")["source_id"].to_pylist()
    assert source_id_of(address(tmp_path, "rocket.jpg")) in left
    assert take_down(tmp_path, "rocket.jpg", "lies.jpg").rows["classic"] == 1
    assert proof(tmp_path, "rocket.jpg") == []


def test_a_source_that_a_run_took_out_leaves_labels_and_former_files_too(tmp_path: Path) -> None:
    corpus.make(tmp_path / "in")
    recipe = "[media]\n[analyzers.hashes]\n"
    run(tmp_path, recipe=recipe)
    group(Wish(dataset_of(tmp_path).url, "duplicates"), Limits(), say=str)
    (tmp_path / "in/rocket.jpg").unlink()
    run(tmp_path, recipe=recipe)
    known = look_up(dataset_of(tmp_path), [given(address(tmp_path, "rocket.jpg"))])
    assert known.unknown
    assert is_left(dataset_of(tmp_path), known.unknown[0])
    # Beside one that never was: it takes nothing from the other.
    assert take_down(tmp_path, "rocket.jpg", "never.jpg").rows["duplicates"] == 1
    assert proof(tmp_path, "rocket.jpg") == []
    assert not is_left(dataset_of(tmp_path), known.unknown[0])


def test_all_sources_can_be_forgotten(place: Path) -> None:
    dataset = dataset_of(place)
    forget(dataset, look_up(dataset, [given(a) for a in addresses(place)]))
    assert addresses(place) == []
    assert all(dataset.read(name).num_rows == 0 for name in dataset.tables())
    assert run(place)["read"] == 0


@pytest.mark.slow
def test_equal_to_a_dataset_that_never_saw_it(tmp_path: Path) -> None:
    corpus.make(tmp_path / "in")
    run(tmp_path)
    take_down(tmp_path, "rocket.jpg", "lies.jpg")
    (tmp_path / "in/rocket.jpg").unlink()
    (tmp_path / "in/lies.jpg").unlink()
    corpus.run_inline(tmp_path / "in", tmp_path / "fresh", recipe=RECIPE, limits=LIMITS)
    assert_equal(tmp_path / "own", tmp_path / "fresh")


def test_logs_records_and_the_report_no_longer_name_it(place: Path) -> None:
    dataset = dataset_of(place)
    ours, other = (source_id_of(address(place, name)) for name in ("rocket.jpg", "china.jpg"))
    file = LogFile(dataset.store, "a-run", "worker")
    log = logger(file, run="a-run", worker="worker")
    log.error("analyzer.failed", source=ours)
    log.error("analyzer.failed", source=other)
    log.error("odd", text=f"cannot read '{(place / 'in').resolve()}/rocket.jpg'")
    file.flush()
    dataset.write_run({"run": "x", "number": 0, "tables": {}, "poison": [ours, other]})
    write_report(dataset)
    assert b"rocket.jpg" in dataset.store.get("report/index.html")
    audit = take_down(place, "rocket.jpg")
    assert (audit.lines, audit.report) == (3, "pictures")
    (log_file,) = (place / "own/logs/a-run").iterdir()
    lines = log_file.read_text()
    assert other in lines
    assert len(lines.splitlines()) == 1
    assert json.loads(dataset.store.get("runs/x.json"))["poison"] == ["(forgotten)", other]
    assert not list((place / "own/report").iterdir())


def test_the_audit_record_says_who_when_why_and_how_many_and_names_nothing(place: Path) -> None:
    audit = take_down(place, "rocket.jpg", "never/seen.jpg", reason="request 17")
    (record,) = records(dataset_of(place).store)
    assert record["status"] == "finished"
    assert record["reason"] == "request 17"
    assert "@" in record["who"]
    assert (record["named"], record["rows"]["image"]) == (2, 1)
    text = json.dumps(record)
    assert "rocket" not in text
    assert source_id_of(address(place, "rocket.jpg")) not in text
    commits = dataset_of(place).table(MANIFEST).history()
    assert audit.run in {commit.get("run") for commit in commits}


@pytest.mark.parametrize("damaged", [b"", b'{"run": "2026', b"[1]"])
def test_a_record_of_a_takedown_that_nobody_can_read_is_named(place: Path, damaged: bytes) -> None:
    take_down(place, "rocket.jpg")
    (record,) = (place / "own/forgotten").glob("*.json")
    record.write_bytes(damaged)
    for call in (history, lambda dataset: verify_forgotten(dataset, [])):
        with pytest.raises(DamageError, match=record.name):
            call(dataset_of(place))
    with pytest.raises(DamageError, match=record.name) as caught:
        take_down(place, "lies.jpg")
    assert "put it aside" in caught.value.remedy
    record.unlink()
    take_down(place, "lies.jpg")
    assert proof(place, "rocket.jpg", "lies.jpg") == []


def test_a_reason_that_names_a_source_is_refused_before_anything_is_written(place: Path) -> None:
    with pytest.raises(SettingsError, match="names a source"):
        take_down(place, "rocket.jpg", reason=f"delete {address(place, 'rocket.jpg')}, please")
    assert not (place / "own/forgotten").exists()


def test_what_is_not_here_is_kept_out_for_the_future_and_costs_no_history(place: Path) -> None:
    version = dataset_of(place).table(MANIFEST).version
    audit = take_down(place, "later.jpg")
    assert (audit.rows, audit.files) == ({}, 0)
    assert dataset_of(place).table(MANIFEST).version == version
    later = (place / "in").resolve() / "later.jpg"
    later.write_bytes(corpus.PHOTOS["china.jpg"].read_bytes())
    try:
        assert run(place) == {"forgotten": 1, "read": 0, "shards": 0}
    finally:
        later.unlink()


def test_forgetting_again_finds_nothing_left_and_keeps_one_tombstone(place: Path) -> None:
    take_down(place, "rocket.jpg")
    assert sum(take_down(place, "rocket.jpg").rows.values()) == 0
    assert verify_forgotten(dataset_of(place)).tombstones == 1


@pytest.mark.slow
def test_tombstones_of_two_datasets_have_nothing_in_common(place: Path) -> None:
    shutil.copytree(place / "own", place / "other/own")
    (place / "other/in").symlink_to((place / "in").resolve())
    found = []
    for folder in (place, place / "other"):
        take_down(folder, "rocket.jpg")
        (file,) = (folder / "own/forgotten").glob("*.parquet")
        found.append(pq.read_table(file)["tombstone"].to_pylist())
    assert found[0] != found[1]


def test_other_sources_with_the_same_bytes_are_named_and_go_on_request(place: Path) -> None:
    dataset = dataset_of(place)
    named = [given(address(place, "china.jpg"))]
    twins = (
        address(place, "inside.zip!/china.jpg"),
        address(place, "named/by/content.dat"),
    )
    assert look_up(dataset, named).twins == twins
    known = look_up(dataset, named, same_bytes=True)
    assert known.addresses == {address(place, "china.jpg"), *twins}
    assert known.twins == ()


def test_what_is_named_is_found_without_a_whole_table_in_memory(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("all rows at once")

    monkeypatch.setattr(Dataset, "read", refuse)
    dataset, named = dataset_of(place), [given(address(place, "inside.tar.gz"))]
    known = look_up(dataset, named, same_bytes=True)
    inside = {one for one in known.addresses if "inside.tar.gz!/" in one}
    assert len(inside) == 2
    assert known.ids == {source_id_of(one) for one in known.addresses}
    assert address(place, "rocket.jpg") in similar(dataset, given("s3://elsewhere/rocket.jpg"))


def test_a_run_that_goes_on_meanwhile_can_not_bring_rows_back(tmp_path: Path) -> None:
    corpus.make(tmp_path / "in")
    run(tmp_path, recipe="[analyzers.image]\n")

    def overtaken(job: Job, tasks: Sequence[Task]) -> Generator[Tick | Finished]:
        events = list(crew.inline(job, tasks))
        with pytest.raises(BusyError):
            take_down(tmp_path, "rocket.jpg")
        (tmp_path / "own" / "lock.json").unlink()  # as if the run had been silent for too long
        take_down(tmp_path, "rocket.jpg")
        yield from events

    request = Request(str(tmp_path / "in"), str(tmp_path / "own"), RECIPE, "inline")
    with pytest.raises(FencedError):
        driven(request, LIMITS, overtaken, corpus.Silent())
    assert proof(tmp_path, "rocket.jpg") == []
    assert run(tmp_path)["forgotten"] == 1
    assert proof(tmp_path, "rocket.jpg") == []


def test_an_older_run_can_not_commit_to_any_table_any_more(place: Path) -> None:
    take_down(place, "rocket.jpg")
    older = dataset_of(place)
    number = take_number(older, "older")
    table = older.table("tables/image")
    part = next(iter(table.parts().values()))
    # There is nothing left to change in this table.
    forget(dataset_of(place), look_up(dataset_of(place), []), former=True)
    with pytest.raises(FencedError):
        table.commit([], [part], fence=number, run="older")


def test_what_a_killed_run_left_undone_stays_to_be_done(tmp_path: Path) -> None:
    corpus.make(tmp_path / "in")
    run(tmp_path)
    shutil.copy(corpus.PHOTOS["flower.jpg"], tmp_path / "in/rocket.jpg")

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        corpus.run_inline(
            tmp_path / "in", tmp_path / "own", recipe=RECIPE, limits=LIMITS, before_work=interrupt
        )
    shards = dataset_of(tmp_path).read(MANIFEST).to_pylist()
    (changed,) = [row["shard"] for row in shards if row["address"].endswith("/in/rocket.jpg")]
    beside = next(
        row["address"].rpartition("/in/")[2]
        for row in shards
        if row["shard"] == changed
        and row["container"] is None
        and not row["address"].endswith("/rocket.jpg")
    )
    take_down(tmp_path, beside)
    assert verify(dataset_of(tmp_path)).problems
    assert run(tmp_path) == {"forgotten": 1, "read": 1, "shards": 1}
    assert verify(dataset_of(tmp_path)).problems == []
    assert proof(tmp_path, beside) == []


# --- the proof can fail ---------------------------------------------------------------------------


def test_the_proof_finds_a_source_that_was_never_forgotten(place: Path) -> None:
    problems = proof(place, "rocket.jpg")
    assert problems[0].endswith("rocket.jpg was never forgotten here")
    folders = {line.partition(" ")[0].rpartition("/")[0] for line in problems[1:]}
    assert {"manifest", "tables/sources", "tables/classic", "tables/quality"} <= folders


@pytest.mark.parametrize("kind", ["id", "address", "digest", "sentence", "post id"])
def test_the_proof_finds_a_trace_in_any_object(place: Path, kind: str) -> None:
    digest = next(
        row["sha256"]
        for row in dataset_of(place).read(SOURCES).to_pylist()
        if row["address"].endswith("/astronaut.png")
    )
    take_down(place, "astronaut.png")
    dataset = dataset_of(place)
    forget(dataset, look_up(dataset, []), of_posts=look_up_posts(dataset, [("x", POST)]))
    whole = address(place, "astronaut.png")
    trace = {
        "id": f"picture {source_id_of(whole)}-0 looks odd",
        "address": json.dumps({"deep": [{"at": whole}]}),
        "digest": digest,
        "sentence": f"<td>{whole}</td>".replace("/", "&#47;"),
        "post id": f"medium 0 of x {POST} is odd",
    }[kind]
    name = {"address": "notes.json", "sentence": "report/x.html"}.get(kind, "logs/x.txt")
    dataset.store.put(name, trace.encode())
    found = verify_forgotten(dataset, [given(whole)], digests=[digest]).problems
    assert found == [f"{name} names a forgotten source or post in 1 places"]


def test_the_proof_knows_ids_and_whole_addresses_without_being_told(place: Path) -> None:
    take_down(place, "rocket.jpg")
    whole = address(place, "rocket.jpg")
    dataset = dataset_of(place)
    dataset.store.put("a.txt", source_id_of(whole).encode())
    dataset.store.put("b.txt", f"{whole}: not found".encode())
    assert len(verify_forgotten(dataset).problems) == 2


def test_a_living_source_with_a_longer_name_is_no_trace(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.jpg (1).jpg", "aa.jpg", "b.jpg"):
        shutil.copy(corpus.PHOTOS["china.jpg"], tmp_path / "in" / name)
    (tmp_path / "in/a.jpg.json").write_text("{}")
    run(tmp_path)
    take_down(tmp_path, "a.jpg")
    assert len(addresses(tmp_path)) == 4
    assert proof(tmp_path, "a.jpg") == []


@pytest.mark.slow
def test_files_that_nobody_committed_are_read_too_and_go(place: Path) -> None:
    folder = place / "own/tables/image"
    late = [file.read_bytes() for file in folder.glob("*.parquet")]
    take_down(place, "rocket.jpg")
    for number, data in enumerate(late):
        (folder / f"late@{number}-00000000-00000000.parquet").write_bytes(data)
    (folder / f"{PARTIAL}0").write_bytes(late[0][:-100])
    found = proof(place, "rocket.jpg")
    assert [line.startswith("tables/image/late@") for line in found] == [True, False]
    assert "half written" in found[1]
    audit = take_down(place, "rocket.jpg")
    assert (audit.files, audit.versions) == (len(late), 1)
    assert proof(place, "rocket.jpg") == []


def test_without_its_key_a_dataset_does_not_pretend_that_nothing_was_forgotten(
    place: Path,
) -> None:
    take_down(place, "rocket.jpg")
    (place / "own/forgotten/key").unlink()
    with pytest.raises(DamageError, match="key is missing"):
        run(place)


# --- what users type ------------------------------------------------------------------------------


def test_a_list_of_names(place: Path) -> None:
    text = f"# of this week\n\n  {address(place, 'a b.jpg')}\n{'0' * 32}\n/a/path.jpg\r\n"
    assert [one.address for one in given_lines(text)] == [
        address(place, "a b.jpg"),
        None,
        "file:///a/path.jpg",
    ]
    with pytest.raises(SettingsError, match=r"line 1: 'x'.* and 2 more"):
        given_lines("\n".join(["x"] * 7))


def test_a_path_is_an_address_and_a_typing_error_names_its_neighbours(place: Path) -> None:
    path = (place / "in").resolve() / "100% sure.jpg"
    assert given(str(path)).address == address(place, "100%25 sure.jpg")
    dataset = dataset_of(place)
    assert address(place, "rocket.jpg") in similar(dataset, given(address(place, "rocet.jpg")))
    assert address(place, "rocket.jpg") in similar(dataset, given("s3://elsewhere/rocket.jpg"))
