"""Posts that will go, in a table `gone`, enter; what goes with them leaves.

The sources that no other post has: joined to them, or called after them (`posts_named`); and the
metadata files that tell of them. Which posts are meant is found out in `posts_forgotten`.
"""

# ruff: noqa: S608 - statements are put together of words of this room

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import posts
from imgbatch.dataset.former import AT_ONCE, FILE
from imgbatch.dataset.joining import BY_KEY
from imgbatch.dataset.post_columns import COPIES, GAPS, VAGUE_COPY
from imgbatch.dataset.post_marks import (
    mark,
    marks_of,
    other_forms,
    platform_of,
)
from imgbatch.dataset.posts import MEDIA, POSTS, SCHEMAS
from imgbatch.dataset.posts_meant import names_of
from imgbatch.dataset.posts_named import beside_sources, named_sources
from imgbatch.dataset.spill import Spill
from imgbatch.platforms import SUBMISSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.posts_meant import Meant
    from imgbatch.dataset.posts_named import IdsInNames

POSTS_NOW = (
    "platform",
    "post_id",
    "author_id",
    "state",
    "repost_of",
    "created_at",
    "raw_ref",
    "dump",
    "input",
)
MEDIA_NOW = ("platform", "post_id", "media_key", "source_id", "status")
FORMS_BY_KEY = ", ".join(f"'{form}'" for form in BY_KEY)
# Of a copy or piece of a post, as of the post itself.
COPIES_NOW = ("platform", "post_id", "author_id", "created_at", "raw_ref", "dump", "input")
VAGUE_COPIES = "FROM vague JOIN gone ON ref = gone.platform || ' ' || gone.post_id"
NAMED = pa.schema([("own", pa.string())])
VAGUE_NOW = pa.schema([("ref", pa.string()), ("count", pa.int64())])


@dataclass(frozen=True, slots=True)
class KnownPosts:
    """What a dataset knows of some given posts.

    Attributes:
        marks: what their tombstones are made of, of unknown ones too.
        names: what those are made of that tell in which input a name means one of them.
        here: how many of them the dataset holds.
        unknown: how many it does not hold.
        sources: ids of the sources that belong to them and to no other present post.
        named: how many of these are joined to none of them, and have an id of theirs in their name.
        files_gone: how many are their metadata files, by the names of media beside them.
        vague: how many media of theirs could be several files, and may be left in one of these.
        shared: how many of their sources another present post has; these stay.
        shared_by: ids of posts that stay and share one of them, of unknown ones too.
        authors: how many authors were given, all of whose posts are meant.
        authors_here: how many of them have posts here.
        untold: how many posts here do not say which platform they are from, by what stands there.
        doubtful: how many of these have an author by an id that was given.
        files: addresses of the metadata files that have them, or copies of them.
        platforms: that their marks name; "": any.
    """

    marks: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    here: int = 0
    unknown: int = 0
    sources: frozenset[str] = frozenset()
    named: int = 0
    files_gone: int = 0
    vague: int = 0
    shared: int = 0
    shared_by: tuple[str, ...] = ()
    authors: int = 0
    authors_here: int = 0
    untold: dict[str, int] = field(default_factory=dict)
    doubtful: int = 0
    files: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()


def gone_in(spill: Spill) -> set[tuple[str, str]]:
    """Return platform and id of the posts in the table `gone`."""
    return {(one[0], one[1]) for batch in spill.batches("FROM gone") for one in tuples_of(batch)}


def gone_from(spill: Spill) -> Iterator[tuple[Any, ...]]:
    """Yield of the posts in the table `gone` platform, id, input and format.

    As each copy of theirs has it. And the same of what names of files have instead: ids of their
    media, or a part of theirs.
    """
    gone = "FROM reading SEMI JOIN gone USING (platform, post_id)"
    media = (
        f"SELECT DISTINCT platform, media_key, input, dump FROM ({gone} WHERE "
        f"dump IN ({FORMS_BY_KEY})) JOIN medium USING (platform, post_id) "
        "WHERE media_key IS NOT NULL AND media_key <> 'thumbnail' AND media_key <> post_id"
    )
    # Names of files lack what Reddit's ids begin with.
    bare = (
        f"SELECT platform, substr(post_id, {len(SUBMISSION) + 1}), input, dump {gone} "
        f"WHERE platform = 'reddit' AND starts_with(post_id, '{SUBMISSION}')"
    )
    own = f"SELECT platform, post_id, input, dump {gone}"
    for batch in spill.batches(f"{own} UNION ALL {media} UNION ALL {bare}"):
        yield from tuples_of(batch)


@contextlib.contextmanager
def opened(dataset: Dataset) -> Iterator[Spill]:
    """Bring posts and media, as far as they are asked for, onto the disk."""
    with contextlib.closing(Spill()) as spill:
        for name, own, columns in (
            (POSTS, "post", POSTS_NOW),
            (MEDIA, "medium", MEDIA_NOW),
            (COPIES, "copy", COPIES_NOW),
        ):
            schema = pa.schema([_plain(SCHEMAS[name].field(column)) for column in columns])
            spill.fill(own, schema, _rows(dataset, name, schema))
        vague = pc.field("kind") == VAGUE_COPY
        spill.fill("vague", VAGUE_NOW, _rows(dataset, GAPS, VAGUE_NOW, vague))
        spill.run(
            f"CREATE VIEW reading AS SELECT {', '.join(COPIES_NOW)}, {FILE} AS file FROM "
            f"(FROM copy UNION ALL SELECT {', '.join(COPIES_NOW)} FROM post)"
        )
        yield spill


def _plain(field: pa.Field) -> pa.Field:
    # Times are numbers here: DuckDB would ask which time zone a session is in.
    kind = pa.int64() if pa.types.is_timestamp(field.type) else field.type
    return pa.field(field.name, kind)


def _rows(
    dataset: Dataset, name: str, schema: pa.Schema, where: pc.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    if name in posts.here(dataset):
        for batch in dataset.table(name).batches(schema.names, where, at_once=AT_ONCE):
            yield from pa.Table.from_batches([batch]).cast(schema).to_batches()


def known_of(
    dataset: Dataset,
    spill: Spill,
    meant: Collection[tuple[str, str]],
    ids: IdsInNames | None,
    in_names: Meant,
) -> KnownPosts:
    """Return what is known of the posts in the table `gone`, where `meant` get tombstones."""
    key = "platform, post_id"
    theirs = f"medium SEMI JOIN gone USING ({key})"
    others = f"medium ANTI JOIN gone USING ({key}) SEMI JOIN (FROM post WHERE state = 'present')"
    sources = "AS SELECT DISTINCT source_id FROM"
    spill.run(f"CREATE TABLE theirs {sources} {theirs} WHERE source_id IS NOT NULL")
    spill.run(f"CREATE TABLE others {sources} {others} USING ({key})")
    own = spill.read("FROM theirs ANTI JOIN others USING (source_id)")["source_id"].to_pylist()
    here = count_of(spill, "SELECT count(*) FROM gone")
    marks = frozenset(mark(*one) for one in meant)
    known = KnownPosts(
        marks=marks,
        names=names_of(gone_from(spill)),
        here=here,
        sources=frozenset(own),
        vague=count_of(spill, f"SELECT count(*) FROM {theirs} WHERE status = 'ambiguous'")
        + count_of(spill, f"SELECT coalesce(sum(count), 0) {VAGUE_COPIES}"),
        shared=count_of(spill, "SELECT count(*) FROM theirs") - len(own),
        shared_by=_shared_by(spill, meant, marks),
        files=_files(dataset, spill),
        platforms=frozenset(platform_of(platform) for platform, _ in meant),
    )
    return _with_named(known, dataset, spill, ids, in_names) if ids and meant else known


def _shared_by(
    spill: Spill, meant: Collection[tuple[str, str]], marks: frozenset[str]
) -> tuple[str, ...]:
    """Return the ids of posts that stay and name one of those that go as what they share.

    Many exports hold what a post shares with the post alone, so most of these are no rows here.

    Args:
        spill: with the tables of posts.
        meant: posts that get tombstones, by platform ("": any) and id.
        marks: what these are made of.
    """
    gone = gone_in(spill)
    ids = sorted({form for _, own in (*gone, *meant) for form in (own, *other_forms(own))})
    spill.fill("named", NAMED, pa.table([ids], schema=NAMED).to_batches())
    staying = "FROM post ANTI JOIN gone USING (platform, post_id)"
    asked = f"SELECT post_id, platform, repost_of {staying} WHERE repost_of IN (FROM named)"
    return tuple(
        sorted(
            own
            for batch in spill.batches(asked)
            for own, platform, shared in tuples_of(batch)
            if (platform, shared) in gone or not marks.isdisjoint(marks_of(platform, shared, None))
        )
    )


def _with_named(
    known: KnownPosts,
    dataset: Dataset,
    spill: Spill,
    ids: IdsInNames,
    in_names: Meant,
) -> KnownPosts:
    """Add the sources that are theirs by what they are called."""
    gone = gone_in(spill)
    named, kept = named_sources(dataset, ids, meant=in_names, stays=lambda *post: post not in gone)
    taken = known.sources | named.keys()
    beside = beside_sources(dataset, _files(dataset, spill, alone=True), taken) - taken
    joined = {
        one
        for batch in spill.batches("SELECT DISTINCT source_id FROM theirs")
        for (one,) in tuples_of(batch)
    }
    vague = [
        one
        for batch in spill.batches(
            "SELECT post_id FROM medium SEMI JOIN gone USING (platform, post_id) "
            "WHERE status = 'ambiguous' "
            f"UNION ALL SELECT post_id {VAGUE_COPIES}"
        )
        for (one,) in tuples_of(batch)
    ]
    return replace(
        known,
        sources=taken | beside,
        named=len(named.keys() - known.sources),
        vague=sum(not any(one in address for address in named.values()) for one in vague),
        files_gone=len(beside),
        shared=known.shared + len(kept.keys() - joined),
    )


def _files(dataset: Dataset, spill: Spill, *, alone: bool = False) -> frozenset[str]:
    """Return the addresses of the metadata files that have the posts in the table `gone`.

    Args:
        dataset: whose posts.
        spill: with their tables.
        alone: only those that no other post was read from.
    """
    made = posts.record(dataset) if POSTS in posts.here(dataset) else None
    before = {name: own["before"] for name, own in made["inputs"].items()} if made else {}
    told = "SELECT DISTINCT input, file FROM reading SEMI JOIN gone USING (platform, post_id)"
    if alone:
        told += " EXCEPT SELECT input, file FROM reading ANTI JOIN gone USING (platform, post_id)"
    pairs = (one for batch in spill.batches(told) for one in tuples_of(batch))
    return frozenset(before.get(name, f"{name}/") + file for name, file in pairs)


def count_of(spill: Spill, query: str) -> int:
    """Return the one number that a query gives."""
    found = spill.first(query)
    assert found is not None, "a count is one row"
    return int(found[0])


def tuples_of(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Yield rows as tuples, in the order of their columns."""
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
