"""What changes costs its own share: new, changed, removed sources, other recipes, equal bytes."""

from __future__ import annotations

import os
import shutil
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pyarrow.compute as pc
import pytest

from imgbatch.analyzers import quality
from imgbatch.dataset import SOURCES, Dataset
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.verify import verify
from imgbatch.run import run as start
from imgbatch.settings import Limits
from imgbatch.summary import Request
from tests.corpus import PHOTOS, Silent, interrupted, many, run_inline
from tests.equal import assert_equal

if TYPE_CHECKING:
    from pathlib import Path

    from imgbatch.records import Picture

RECIPE = "[analyzers.image]\n[analyzers.quality]\n[analyzers.motion]\n"
OTHER = "[analyzers.image]\n[analyzers.quality]\nblank_levels = 9.0\n[analyzers.motion]\n"
TABLES = ("sources", "image", "quality", "motion")
LIMITS = Limits(shard_sources=10, commit_seconds=0.001)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return many(tmp_path / "in", 40)


def run(corpus: Path, *, recipe: str = RECIPE) -> dict[str, int]:
    """Run, check that the dataset equals a fresh one, and return what the run did."""
    own, fresh = corpus.parent / "own", corpus.parent / "fresh"
    summary = run_inline(corpus, own, recipe=recipe, limits=LIMITS)
    shutil.rmtree(fresh, ignore_errors=True)
    run_inline(corpus, fresh, recipe=recipe, limits=LIMITS)
    assert verify(Dataset.open(str(own))).problems == []
    assert_equal(own, fresh)
    return {"shards": summary.shards, "read": summary.sources, "adopted": summary.adopted}


def change(file: Path, photo: str = "flower.jpg") -> None:
    file.write_bytes(PHOTOS[photo].read_bytes())


@pytest.mark.slow
def test_new_sources_make_new_shards(corpus: Path) -> None:
    assert run(corpus) == {"shards": 4, "read": 40, "adopted": 0}
    change(corpus / "new.jpg")
    assert run(corpus) == {"shards": 1, "read": 1, "adopted": 0}
    assert run(corpus) == {"shards": 0, "read": 0, "adopted": 0}


@pytest.mark.slow
def test_a_changed_source_is_read_alone_and_its_neighbours_rows_are_kept(corpus: Path) -> None:
    run(corpus)
    change(corpus / "00003.jpg")
    change(corpus / "00027.jpg")
    assert run(corpus) == {"shards": 2, "read": 2, "adopted": 0}


@pytest.mark.slow
def test_a_removed_source_leaves_without_anything_being_read(corpus: Path) -> None:
    run(corpus)
    (corpus / "00003.jpg").unlink()
    assert run(corpus) == {"shards": 1, "read": 0, "adopted": 0}


@pytest.mark.slow
def test_a_source_that_fails_after_it_was_ok_and_the_other_way_round(corpus: Path) -> None:
    run(corpus)
    (corpus / "00003.jpg").write_bytes(b"no picture")
    assert run(corpus)["read"] == 1
    change(corpus / "00003.jpg")
    assert run(corpus)["read"] == 1


@pytest.mark.slow
def test_a_new_analyzer_computes_its_own_table_only(corpus: Path) -> None:
    run(corpus, recipe="[analyzers.image]\n")
    (corpus / "00003.jpg").write_bytes(b"no picture")
    own = corpus.parent / "own"
    run_inline(corpus, own, recipe="[analyzers.image]\n", limits=LIMITS)
    former = set(Dataset.open(str(own)).table("tables/image").parts())
    # the failed one is known to be no picture: it is not read again
    done = run(corpus, recipe="[analyzers.image]\n[analyzers.quality]\n")
    assert done == {"shards": 4, "read": 39, "adopted": 0}
    assert set(Dataset.open(str(own)).table("tables/image").parts()) == former


@pytest.mark.slow
def test_a_changed_threshold_computes_its_table_again_and_back_takes_the_former_parts(
    corpus: Path,
) -> None:
    run(corpus)
    first = Dataset.open(str(corpus.parent / "own")).table("tables/quality").parts()
    assert run(corpus, recipe=OTHER) == {"shards": 4, "read": 40, "adopted": 0}
    assert run(corpus) == {"shards": 0, "read": 0, "adopted": 4}
    assert Dataset.open(str(corpus.parent / "own")).table("tables/quality").parts() == first


@pytest.mark.slow
def test_a_former_part_of_other_sources_is_not_taken(corpus: Path) -> None:
    run(corpus)
    run(corpus, recipe=OTHER)
    change(corpus / "00003.jpg")
    # quality of RECIPE: three shards as they lay; the fourth has changed meanwhile
    assert run(corpus)["adopted"] == 3


@pytest.mark.slow
def test_a_damaged_former_part_is_not_taken(corpus: Path) -> None:
    run(corpus)
    path = min(Dataset.open(str(corpus.parent / "own")).table("tables/quality").parts())
    run(corpus, recipe=OTHER)
    file = corpus.parent / "own/tables/quality" / path
    file.write_bytes(file.read_bytes().replace(b"PAR1", b"RAP1"))
    assert run(corpus) == {"shards": 1, "read": 10, "adopted": 3}


@pytest.mark.slow
def test_sources_that_come_back_as_they_were(corpus: Path) -> None:
    away = corpus.parent / "away"
    run(corpus)
    away.mkdir()
    for file in sorted(corpus.iterdir())[:10]:
        file.rename(away / file.name)
    assert run(corpus)["read"] == 0
    for file in away.iterdir():
        file.rename(corpus / file.name)
    assert run(corpus) == {"shards": 0, "read": 0, "adopted": 4}


def test_the_same_bytes_in_a_shard_are_decoded_once_and_have_a_row_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = tmp_path / "in"
    corpus.mkdir()
    for number in range(8):
        change(corpus / f"{number}.jpg")
    (corpus / "bad1.jpg").write_bytes(b"no picture")
    (corpus / "bad2.jpg").write_bytes(b"no picture")
    (corpus / "other.bin").write_bytes(b"no picture")
    seen = []
    prepare = quality.Analyzer.prepare

    def counted(self: quality.Analyzer, picture: Picture) -> quality.Measured:
        seen.append(picture)
        return prepare(self, picture)

    monkeypatch.setattr(quality.Analyzer, "prepare", counted)
    run_inline(corpus, tmp_path / "own", recipe=RECIPE)
    dataset = Dataset.open(str(tmp_path / "own"))
    assert verify(dataset).problems == []
    rows = dataset.read("quality")
    assert len(seen) == 1
    assert rows.num_rows == len(set(rows["picture_id"].to_pylist())) == 8
    assert len(set(rows["sharpness"].to_pylist())) == 1
    outcomes = dataset.read(SOURCES, where=pc.field("status") != "ok").sort_by("address")
    assert outcomes["error_class"].to_pylist() == ["decode.unrecognised"] * 2 + ["not-media"]


@pytest.mark.slow
def test_a_part_taken_out_of_the_snapshot_is_done_again_and_nothing_else(corpus: Path) -> None:
    run(corpus)
    own = Dataset.open(str(corpus.parent / "own"))
    table = own.table("tables/quality")
    lost = sorted(table.parts().values(), key=lambda part: part.path)[:2]
    table.commit([], lost, fence=take_number(own, "x"), run="x")
    for part in lost:
        own.store.delete(f"{part.table}/{part.path}")
    assert run(corpus) == {"shards": 2, "read": 20, "adopted": 0}


def test_a_source_that_can_not_be_read_again_for_a_new_analyzer_has_a_row_that_says_so(
    corpus: Path,
) -> None:
    own = corpus.parent / "own"
    run_inline(corpus, own, recipe="[analyzers.image]\n", limits=LIMITS)
    lost = corpus / "00007.jpg"
    recipe = "[analyzers.image]\n[analyzers.quality]\n"
    run_inline(
        corpus, own, recipe=recipe, limits=LIMITS, before_work=lambda: lost.unlink(missing_ok=True)
    )
    dataset = Dataset.open(str(own))
    assert verify(dataset).problems == []
    rows = dataset.read("quality", where=pc.field("status") == "failed")
    assert rows["error_class"].to_pylist() == ["fetch.missing"]


def test_a_code_fix_between_two_runs_is_used_for_what_is_not_done_and_for_nothing_else(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = corpus.parent / "own"
    request = Request(str(corpus), str(own), RECIPE, "inline")
    with pytest.raises(KeyboardInterrupt):
        start(request, LIMITS, interrupted(2), Silent())
    before = {name: Dataset.open(str(own)).table(f"tables/{name}").parts() for name in TABLES}
    assert len(before[SOURCES]) in (2, 3)
    # VERSION stays as it is: what is done is not to be computed again.
    monkeypatch.setattr(quality, "sharpness", lambda _: -1.0)
    summary = run_inline(corpus, own, recipe=RECIPE, limits=LIMITS)
    dataset = Dataset.open(str(own))
    assert verify(dataset).problems == []
    after = {name: dataset.table(f"tables/{name}").parts() for name in TABLES}
    assert all(before[name].items() <= after[name].items() for name in TABLES)
    # What was written and not yet committed is taken as well, with the values of the former code.
    done = len(before[SOURCES]) + summary.adopted // len(TABLES)
    assert summary.sources == 40 - 10 * done > 0
    fixed = pc.equal(dataset.read("quality", columns=["sharpness"])["sharpness"], -1.0)
    assert pc.sum(fixed).as_py() == summary.sources
    assert run_inline(corpus, own, recipe=RECIPE, limits=LIMITS).shards == 0


def pack(archive: Path, photos: dict[str, str]) -> None:
    """Write an archive anew, whose members keep their names, bytes and times, in this order."""
    archive.unlink(missing_ok=True)
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as new:
            for name, photo in photos.items():
                new.writestr(zipfile.ZipInfo(name), PHOTOS[photo].read_bytes())
        return
    with tarfile.open(archive, "w:gz" if archive.suffix == ".gz" else "w") as tape:
        for name, photo in photos.items():
            info = tarfile.TarInfo(name)
            info.size = PHOTOS[photo].stat().st_size
            with PHOTOS[photo].open("rb") as file:
                tape.addfile(info, file)


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
def test_members_of_an_archive_that_was_written_anew_are_found_where_they_lie_now(
    tmp_path: Path, ending: str
) -> None:
    corpus = tmp_path / "in"
    corpus.mkdir()
    archive = corpus / f"export.{ending}"
    pack(archive, {"b.jpg": "china.jpg", "d.jpg": "flower.jpg", "f.jpg": "rocket.jpg"})
    own, one = tmp_path / "own", "[analyzers.image]\n"
    run_inline(corpus, own, recipe=one, limits=LIMITS)
    between = {"a.jpg": "rocket.jpg", "c.jpg": "rocket.jpg", "e.jpg": "china.jpg"}
    known = {"b.jpg": "china.jpg", "d.jpg": "flower.jpg", "f.jpg": "rocket.jpg"}
    pack(archive, dict(sorted({**known, **between}.items())))
    # The archive itself and its new members; what is known of the others holds.
    assert run(corpus, recipe=one)["read"] == 4
    assert run_inline(corpus, own, recipe=one, limits=LIMITS).shards == 0
    assert run(corpus, recipe=f"{one}[analyzers.quality]\n")["read"] == 6
    quality = Dataset.open(str(own)).read("quality", columns=["status"])
    assert quality["status"].to_pylist() == ["ok"] * 6


def test_members_that_moved_between_their_listing_and_their_reading_are_done_again_unasked(
    tmp_path: Path,
) -> None:
    corpus, own, recipe = tmp_path / "in", tmp_path / "own", "[analyzers.image]\n"
    corpus.mkdir()
    archive = corpus / "export.tar"
    photos = {"a.jpg": "china.jpg", "b.jpg": "flower.jpg"}
    pack(archive, photos)

    def anew() -> None:
        pack(archive, dict(reversed(photos.items())))

    missed = run_inline(corpus, own, recipe=recipe, before_work=anew)
    assert missed.outcomes == {"archive": 1, "fetch.changed": 2}
    assert run(corpus, recipe=recipe)["read"] == 3
    outcomes = Dataset.open(str(own)).read(SOURCES, columns=["status"])
    assert sorted(outcomes["status"].to_pylist()) == ["filtered", "ok", "ok"]


def test_a_member_that_was_encrypted_and_is_no_more_is_read(tmp_path: Path) -> None:
    corpus = tmp_path / "in"
    corpus.mkdir()
    archive = corpus / "export.zip"
    pack(archive, {"a.jpg": "china.jpg"})
    plain = archive.read_bytes()
    entry = plain.rfind(b"PK\x01\x02")
    archive.write_bytes(plain[: entry + 8] + b"\x01\x00" + plain[entry + 10 :])
    os.utime(archive, (1, 1))
    recipe = "[analyzers.image]\n"
    encrypted = run_inline(corpus, tmp_path / "own", recipe=recipe)
    assert encrypted.outcomes == {"archive": 1, "archive.encrypted": 1}
    archive.write_bytes(plain)
    run(corpus, recipe=recipe)
    outcomes = Dataset.open(str(tmp_path / "own")).read(SOURCES, columns=["error_class"])
    assert sorted(outcomes["error_class"].to_pylist(), key=str) == [None, "archive"]
