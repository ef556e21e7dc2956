"""Posts that are to be forgotten enter; what the dataset knows of them leaves.

A forgotten post has a tombstone beside those of sources (`imgbatch.dataset.tombstones`): the keyed
hash of `post PLATFORM ID`, or of `post  ID` where nobody said which platform; an author all of
whose posts are deleted has one of `author PLATFORM ID`, and a medium whose source is forgotten of
`medium PLATFORM ID PLACE`. So a dump that holds it still brings it back no more.

The rows leave in `imgbatch.dataset.posts_leaving`.
"""

# ruff: noqa: S608 - statements are put together of words of this room

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import posts
from imgbatch.dataset.gathered import AT_ONCE
from imgbatch.dataset.posts import MEDIA, POSTS, SCHEMAS
from imgbatch.dataset.spill import Spill
from imgbatch.platforms import MARKED, unmarked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones

FORGOTTEN = "forgotten"
GIVEN = pa.schema([("platform", pa.string()), ("own", pa.string())])
POSTS_NOW = (
    "platform",
    "post_id",
    "author_id",
    "state",
    "repost_of",
    "created_at",
    "raw_ref",
    "input",
)
MEDIA_NOW = ("platform", "post_id", "source_id")
# A post's platform, and without the mark of a file or dump: who says `table` means any.
NAMED = f"(p.platform, regexp_replace(p.platform, '{MARKED}', '\\1'))"
MEANT = f"(g.platform = '' OR g.platform IN {NAMED})"


@dataclass(frozen=True, slots=True)
class KnownPosts:
    """What a dataset knows of some given posts.

    Attributes:
        marks: what their tombstones are made of, of unknown ones too.
        here: how many of them the dataset holds.
        unknown: how many it does not hold.
        sources: ids of the sources that belong to them and to no other present post.
        shared: how many of their sources another present post has; these stay.
        shares: how many posts that stay share one of them.
        authors: how many authors were given, all of whose posts are meant.
        files: addresses of the metadata files that they were read from.
        platforms: that their marks name; "": any.
    """

    marks: frozenset[str] = frozenset()
    here: int = 0
    unknown: int = 0
    sources: frozenset[str] = frozenset()
    shared: int = 0
    shares: int = 0
    authors: int = 0
    files: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()


def mark(platform: str, post_id: str) -> str:
    """Return what the tombstone of a post is made of; `platform` may be ""."""
    return f"post {platform} {post_id}"


def is_forgotten(stones: Tombstones, platform: str | None, post_id: str | None) -> bool:
    """Tell whether a post has a tombstone."""
    if post_id is None or not stones.hashes:
        return False
    names = {"", platform or "", unmarked(platform or "")}
    return any(mark(name, post_id) in stones for name in names)


def author_mark(platform: str, author_id: str) -> str:
    """Return what the tombstone of an author is made of, all of whose posts are deleted."""
    return f"author {platform} {author_id}"


def is_author_forgotten(stones: Tombstones, platform: str | None, author_id: str | None) -> bool:
    """Tell whether all posts of an author are."""
    if author_id is None or not stones.hashes:
        return False
    names = {platform or "", unmarked(platform or "")}
    return any(author_mark(name, author_id) in stones for name in names)


def medium_mark(platform: str, post_id: str, place: int) -> str:
    """Return what the tombstone of a post's medium is made of."""
    return f"medium {platform} {post_id} {place}"


def is_medium_forgotten(stones: Tombstones, platform: str, post_id: str, place: int) -> bool:
    """Tell whether the source of a post's medium is forgotten, as far as the medium tells."""
    names = {platform, unmarked(platform)}
    return any(medium_mark(name, post_id, place) in stones for name in names)


def media_marks(dataset: Dataset, sources: Iterable[str]) -> frozenset[str]:
    """Return what the tombstones of the media are made of that are joined to some sources.

    What joined them, the last part of an address say, names the source no more when it is gone.
    """
    wanted = pa.array(sorted(sources), pa.string())
    found: set[str] = set()
    if not len(wanted) or MEDIA not in posts.here(dataset):
        return frozenset()
    for batch in dataset.table(MEDIA).batches(["platform", "post_id", "media_idx", "source_id"]):
        ours = batch.filter(pc.is_in(batch.column("source_id"), value_set=wanted))
        found.update(medium_mark(*one) for one in _pairs(ours.select([0, 1, 2])))
    return frozenset(found)


def look_up(
    dataset: Dataset,
    given: Iterable[tuple[str, str]],
    authors: Iterable[tuple[str, str]] = (),
) -> KnownPosts:
    """Find out what a dataset knows of some posts.

    Args:
        dataset: where to look.
        given: posts, by platform ("": any) and id.
        authors: by platform and id; all posts of theirs are meant, too.
    """
    wanted, people = sorted(set(given)), sorted(set(authors))
    with _opened(dataset) as spill:
        spill.fill("given", GIVEN, _given(wanted))
        spill.fill("people", GIVEN, _given(people))
        spill.run(
            "CREATE TABLE gone AS SELECT DISTINCT p.platform, p.post_id FROM post p "
            f"JOIN given g ON g.own = p.post_id AND {MEANT} "
            "UNION SELECT p.platform, p.post_id FROM post p "
            f"JOIN people a ON a.own = p.author_id AND a.platform IN {NAMED}"
        )
        unknown = _one(
            spill,
            "SELECT count(*) FROM given g WHERE NOT EXISTS (FROM gone p "
            f"WHERE g.own = p.post_id AND {MEANT})",
        )
        meant = set(wanted) | (_gone(spill) if people else set())
        known = _known(dataset, spill, meant)
        marks = known.marks | {author_mark(*one) for one in people}
        return replace(known, marks=marks, unknown=unknown, authors=len(people))


def _given(wanted: list[tuple[str, str]]) -> list[pa.RecordBatch]:
    rows = [list(one) for one in zip(*wanted, strict=True)] or [[], []]
    batches: list[pa.RecordBatch] = pa.table(rows, schema=GIVEN).to_batches()
    return batches


def older(dataset: Dataset, before: float) -> tuple[KnownPosts, int]:
    """Find out what a dataset knows of posts from before a moment.

    Args:
        dataset: where to look.
        before: seconds since 1970.

    Returns:
        what it knows of them, and how many posts have no time, and so no end.
    """
    with _opened(dataset) as spill:
        spill.run(
            "CREATE TABLE gone AS SELECT platform, post_id FROM post WHERE created_at < ?",
            [int(before * 1e6)],
        )
        timeless = _one(spill, "SELECT count(*) FROM post WHERE created_at IS NULL")
        return _known(dataset, spill, _gone(spill)), timeless


def _gone(spill: Spill) -> set[tuple[str, str]]:
    return {(one[0], one[1]) for batch in spill.batches("FROM gone") for one in _pairs(batch)}


@contextlib.contextmanager
def _opened(dataset: Dataset) -> Iterator[Spill]:
    """Bring posts and media, as far as they are asked for, onto the disk."""
    with contextlib.closing(Spill()) as spill:
        for name, own, columns in ((POSTS, "post", POSTS_NOW), (MEDIA, "medium", MEDIA_NOW)):
            schema = pa.schema([_plain(SCHEMAS[name].field(column)) for column in columns])
            spill.fill(own, schema, _rows(dataset, name, schema))
        yield spill


def _plain(field: pa.Field) -> pa.Field:
    # Times are numbers here: DuckDB would ask which time zone a session is in.
    kind = pa.int64() if pa.types.is_timestamp(field.type) else field.type
    return pa.field(field.name, kind)


def _rows(dataset: Dataset, name: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    if name in posts.here(dataset):
        for batch in dataset.table(name).batches(schema.names, at_once=AT_ONCE):
            yield from pa.Table.from_batches([batch]).cast(schema).to_batches()


def _known(dataset: Dataset, spill: Spill, meant: set[tuple[str, str]]) -> KnownPosts:
    """Return what is known of the posts in the table `gone`, where `meant` get tombstones."""
    key = "platform, post_id"
    theirs = f"medium SEMI JOIN gone USING ({key})"
    others = f"medium ANTI JOIN gone USING ({key}) SEMI JOIN (FROM post WHERE state = 'present')"
    sources = "AS SELECT DISTINCT source_id FROM"
    spill.run(f"CREATE TABLE theirs {sources} {theirs} WHERE source_id IS NOT NULL")
    spill.run(f"CREATE TABLE others {sources} {others} USING ({key})")
    own = spill.read("FROM theirs ANTI JOIN others USING (source_id)")["source_id"].to_pylist()
    here = _one(spill, "SELECT count(*) FROM gone")
    shares = (
        f"SELECT count(*) FROM (FROM post ANTI JOIN gone USING ({key})) p "
        "JOIN gone g ON g.platform = p.platform AND g.post_id = p.repost_of"
    )
    return KnownPosts(
        marks=frozenset(mark(*one) for one in meant),
        here=here,
        sources=frozenset(own),
        shared=_one(spill, "SELECT count(*) FROM theirs") - len(own),
        shares=_one(spill, shares),
        files=_files(dataset, spill),
        platforms=frozenset(platform for platform, _ in meant),
    )


def _files(dataset: Dataset, spill: Spill) -> frozenset[str]:
    """Return the addresses of the metadata files that the posts in the table `gone` are of."""
    made = posts.record(dataset) if POSTS in posts.here(dataset) else None
    before = {name: own["before"] for name, own in made["inputs"].items()} if made else {}
    told = (
        "SELECT DISTINCT input, regexp_replace(raw_ref, ':[0-9]+$', '') AS file "
        "FROM post SEMI JOIN gone USING (platform, post_id)"
    )
    pairs = (one for batch in spill.batches(told) for one in _pairs(batch))
    return frozenset(before.get(name, f"{name}/") + file for name, file in pairs)


def _one(spill: Spill, query: str) -> int:
    found = spill.first(query)
    assert found is not None, "a count is one row"
    return int(found[0])


def _pairs(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
