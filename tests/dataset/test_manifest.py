from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from imgbatch.dataset import MANIFEST, Dataset, manifest
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.shards import Members, all_shards, archives, read_shard
from imgbatch.errors import InputError
from imgbatch.records import Source, Verdict
from imgbatch.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = "file:///corpus"


def source(name: str, *, version: str = "v1", size: int = 10) -> Source:
    return Source(f"{ROOT}/{name}", version, size)


def member(archive: str, number: int) -> Source:
    address = f"{ROOT}/{archive}!/{number:05}"
    offset = (7 * number) % 1000
    return Source(address, "v", 10, f"{ROOT}/{archive}", "stream", offset, 10)


def freeze(
    dataset: Dataset,
    sources: Iterable[Source],
    *,
    whole: bool = True,
    limits: Limits | None = None,
) -> manifest.Changes:
    listed = manifest.listing(sources, root=ROOT)
    changes = manifest.compare(dataset, listed, root=ROOT, whole=whole)
    if not changes.nothing:
        number = take_number(dataset, "run")
        manifest.freeze(
            dataset, changes, limits=limits or Limits(shard_sources=10), run="run", number=number
        )
    return changes


def frozen(dataset: Dataset) -> dict[str, list[Source]]:
    return {s.label: read_shard(dataset, s)[0] for s in all_shards(dataset)}


def test_every_source_is_in_exactly_one_shard_with_all_that_is_known(dataset: Dataset) -> None:
    sources = [source(f"{n}.jpg") for n in range(95)]
    sources.append(Source(f"{ROOT}/a.zip!/x", "crc", 5, f"{ROOT}/a.zip", "zip", 0, 3, 8))
    link = Verdict("filtered", "link", "a link to y")
    sources.append(Source(f"{ROOT}/a.zip!/l", "crc", 0, f"{ROOT}/a.zip", "zip", 9, 0, 0, link))
    freeze(dataset, sources)
    shards = frozen(dataset)
    assert sorted(len(s) for s in shards.values()) == [7] + [10] * 9
    back = sorted((s for shard in shards.values() for s in shard), key=lambda s: s.address)
    assert back == sorted(sources, key=lambda s: s.address)


def test_the_same_listing_in_any_order_gives_the_same_shards(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    labels = []
    for seed in range(2):
        made = Dataset.create(str(tmp_path_factory.mktemp("d")))
        made.table(MANIFEST).create(manifest.SCHEMA, fence=0, run="create")
        sources = [source(f"{n}.jpg", size=n) for n in range(50)]
        random.Random(seed).shuffle(sources)
        freeze(made, sources)
        labels.append([s.label for s in all_shards(made)])
    assert labels[0] == labels[1]


def test_shards_are_cut_by_bytes_as_well(dataset: Dataset) -> None:
    sources = [source(f"{n}", size=40) for n in range(9)] + [source("z-big", size=500)]
    freeze(dataset, sources, limits=Limits(shard_sources=100, shard_bytes=100))
    assert sorted(len(s) for s in frozen(dataset).values()) == [1, 1, 2, 2, 2, 2]


def test_freezing_again_changes_nothing(dataset: Dataset) -> None:
    sources = [source(f"{n}") for n in range(30)]
    freeze(dataset, sources)
    version = dataset.table(MANIFEST).version
    changes = freeze(dataset, sources)
    assert (changes.nothing, changes.same) == (True, 30)
    assert dataset.table(MANIFEST).version == version


def test_new_sources_make_new_shards_and_leave_the_old_ones_alone(dataset: Dataset) -> None:
    sources = [source(f"{n}") for n in range(30)]
    freeze(dataset, sources)
    before = set(frozen(dataset))
    freeze(dataset, [*sources, source("00-first"), source("zz-last")])
    after = frozen(dataset)
    assert before < set(after)
    (new,) = set(after) - before
    assert [s.address for s in after[new]] == [f"{ROOT}/00-first", f"{ROOT}/zz-last"]


def test_a_changed_and_a_removed_source_make_a_new_generation_of_their_shard(
    dataset: Dataset,
) -> None:
    sources = [source(f"{n:02}") for n in range(30)]
    freeze(dataset, sources)
    before = frozen(dataset)
    now = [source(f"{n:02}", version="v2" if n == 4 else "v1") for n in range(30) if n != 5]
    changes = freeze(dataset, now)
    assert (changes.changed.num_rows, changes.removed.num_rows, changes.same) == (1, 1, 28)
    after = frozen(dataset)
    assert len(set(before) & set(after)) == 2
    (new,) = set(after) - set(before)
    assert new.endswith("@1")
    assert {s.address[-2:]: s.version for s in after[new]} == {
        f"{n:02}": "v2" if n == 4 else "v1" for n in range(10) if n != 5
    }


def test_a_shard_whose_sources_are_all_gone_leaves_the_manifest(dataset: Dataset) -> None:
    sources = [source(f"{n:02}") for n in range(20)]
    freeze(dataset, sources)
    listed = manifest.listing(sources[10:], root=ROOT)
    changes = manifest.compare(dataset, listed, root=ROOT, whole=True)
    number = take_number(dataset, "run")
    manifest.freeze(dataset, changes, limits=Limits(), run="run", number=number)
    assert len(frozen(dataset)) == 1
    assert sum(len(s) for s in frozen(dataset).values()) == 10


def test_a_sample_removes_nothing(dataset: Dataset) -> None:
    sources = [source(f"{n}") for n in range(30)]
    freeze(dataset, sources)
    assert freeze(dataset, sources[:5], whole=False).nothing


def test_another_input_removes_nothing(dataset: Dataset) -> None:
    freeze(dataset, [source(f"{n}") for n in range(30)])
    other = "file:///other"
    listed = manifest.listing([Source(f"{other}/x", "v", 1)], root=other)
    changes = manifest.compare(dataset, listed, root=other, whole=True)
    assert (changes.new.num_rows, changes.removed.num_rows) == (1, 0)


def test_an_address_that_is_listed_twice_is_refused() -> None:
    with pytest.raises(InputError, match="corpus/x was listed twice"):
        manifest.listing([source("x"), source("y"), source("x")], root=ROOT)


def test_shards_of_a_compressed_tar_are_cut_on_their_own_and_in_its_order(
    dataset: Dataset,
) -> None:
    sources = [member("a.tgz", n) for n in range(25)] + [member("b.tgz", n) for n in range(5)]
    freeze(dataset, [*sources, *[source(f"{n}") for n in range(3)]])
    shards = all_shards(dataset)
    assert [s.stream and s.stream[-5:] for s in shards] == [None, *["a.tgz"] * 3, "b.tgz"]
    offsets = [
        s.offset or 0
        for shard in shards
        if shard.stream and shard.stream.endswith("a.tgz")
        for s in read_shard(dataset, shard)[0]
    ]
    assert offsets == sorted(offsets)
    assert len(offsets) == 25


def test_a_larger_sample_contains_every_smaller_one_and_has_its_share() -> None:
    listed = manifest.listing((source(str(n)) for n in range(20_000)), root=ROOT)
    small = manifest.sample(listed, limit=None, share=0.1)
    large = manifest.sample(listed, limit=None, share=0.3)
    assert set(small.read()["source_id"].to_pylist()) < set(large.read()["source_id"].to_pylist())
    assert 0.09 < small.num_rows / listed.num_rows < 0.11
    assert manifest.sample(listed, limit=None, share=1.0).num_rows == 20_000
    assert manifest.sample(listed, limit=None, share=0.0).num_rows == 0
    assert (
        manifest.sample(listed, limit=7, share=None).read()["address"].to_pylist()
        == (listed.read()["address"].to_pylist()[:7])
    )


def test_archives_and_their_members_are_recalled(dataset: Dataset) -> None:
    archive = Source(
        f"{ROOT}/a.tgz", "v7", 99, verdict=Verdict("filtered", "archive", "25 members")
    )
    inside = [member("a.tgz", n) for n in range(25)]
    freeze(dataset, [archive, *inside])
    assert archives(dataset) == {f"{ROOT}/a.tgz": "v7"}
    recalled = Members(dataset).of(f"{ROOT}/a.tgz")
    assert sorted(recalled, key=lambda s: s.address) == [archive, *inside]
    assert Members(dataset).of(f"{ROOT}/b.tgz") == []


def test_where_a_batch_ends_changes_neither_shards_nor_groups() -> None:
    rows = manifest.listing((source(f"{n:03}", size=n) for n in range(100)), root=ROOT).read()
    rows = rows.append_column("tape", pa.array(["", "a.tgz"] * 20 + ["b.tgz"] * 60))
    rows = rows.append_column("shard", pa.array([f"{n // 7:02}" for n in range(100)]))
    limits = Limits(shard_sources=9, shard_bytes=300)
    cut, grouped = [], []
    for size in (1, 2, 7, 8, 100):
        batches = rows.to_batches(max_chunksize=size)
        cut.append([(name, t["address"].to_pylist()) for name, t in manifest._cut(batches, limits)])
        groups = manifest._Groups(batches)
        # one in three is asked for and not there
        wanted = sorted([f"{n:02}" for n in range(15)] + [f"{n:02}-" for n in range(0, 15, 2)])
        found = [groups.take(shard) for shard in wanted]
        grouped.append([table and table["address"].to_pylist() for table in found])
    assert all(other == cut[0] for other in cut)
    assert all(other == grouped[0] for other in grouped)
    assert sum(len(addresses) for _, addresses in cut[0]) == 100
    assert [len(g) for g in grouped[0] if g] == [7] * 14 + [2]


def test_sources_taken_out_by_rows_of_the_manifest(dataset: Dataset) -> None:
    freeze(dataset, [source(f"{n:02}") for n in range(30)])
    rows = dataset.read(MANIFEST).sort_by("address")
    again, gone = rows.slice(3, 1), rows.slice(4, 20)
    changes = manifest.Changes.of_rows(changed=again, removed=gone)
    assert (changes.new.num_rows, changes.changed.num_rows, changes.removed.num_rows) == (0, 1, 20)
    number = take_number(dataset, "forget")
    manifest.freeze(dataset, changes, limits=Limits(), run="forget", number=number)
    assert sorted(len(shard) for shard in frozen(dataset).values()) == [4, 6]
    touched = dataset.read(MANIFEST).sort_by("address")["touched"].to_pylist()
    assert touched == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
