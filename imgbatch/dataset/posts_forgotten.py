"""Posts that are to be forgotten enter; what the dataset knows of them leaves.

Of posts, those that are named, those of named authors, and those from before a moment; and with
them the sources that no other post has: joined to them, or called after them (`posts_named`).

What their tombstones are made of stands in `imgbatch.dataset.post_marks`; the rows leave in
`imgbatch.dataset.posts_leaving`.
"""

# ruff: noqa: S608 - statements are put together of words of this room

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import posts
from imgbatch.dataset.former import AT_ONCE, BARE, KEY
from imgbatch.dataset.joining import BY_KEY
from imgbatch.dataset.post_columns import GAPS, OTHER_COPY
from imgbatch.dataset.post_marks import (
    SAME,
    UNTOLD,
    author_mark,
    mark,
    platform_of,
)
from imgbatch.dataset.posts import MEDIA, POSTS, SCHEMAS
from imgbatch.dataset.posts_meant import names_of, of_posts
from imgbatch.dataset.posts_named import beside_sources, named_sources
from imgbatch.dataset.spill import Spill, quoted
from imgbatch.platforms import MARKED, SUBMISSION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.posts_meant import Meant
    from imgbatch.dataset.posts_named import IdsInNames

GIVEN = pa.schema([("platform", pa.string()), ("own", pa.string())])
# As `post_marks.platform_of` makes it, in SQL.
PLATFORM = (
    "CASE "
    + " ".join(f"WHEN lower(p.platform) = '{name}' THEN '{own}'" for name, own in SAME.items())
    + " ELSE lower(p.platform) END"
)
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
# A post's platform, and without the mark of a file or dump: who says `table` means any.
UNMARKED = f"regexp_replace(lower(p.platform), '{MARKED}', '\\1')"
NAMED = f"({PLATFORM}, {UNMARKED})"
MEANT = f"(g.platform = '' OR g.platform IN {NAMED})"
# Seconds of up to 8 digits, in microseconds.
FEW_DIGITS = 10**14
# Reddit's submissions have the same ids without this, in lists and in datasets of before.
ALSO = (
    f"p.post_id = (CASE WHEN starts_with(g.own, '{SUBMISSION}') "
    f"THEN substr(g.own, {len(SUBMISSION) + 1}) ELSE '{SUBMISSION}' || g.own END) "
    "AND p.platform = 'reddit' AND g.platform IN ('', 'reddit')"
)
MEDIA_NOW = ("platform", "post_id", "media_key", "source_id", "status")
FORMS_BY_KEY = ", ".join(f"'{form}'" for form in BY_KEY)
# Of a gap that tells in which metadata file another copy of a post is.
COPIES = pa.schema([(name, pa.string()) for name in ("ref", "message", "input")])
WHOSE = "file.ref = gone.platform || ' ' || gone.post_id"


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
        shares: how many posts that stay share one of them.
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
    shares: int = 0
    authors: int = 0
    authors_here: int = 0
    untold: dict[str, int] = field(default_factory=dict)
    doubtful: int = 0
    files: frozenset[str] = frozenset()
    platforms: frozenset[str] = frozenset()


def look_up(
    dataset: Dataset,
    given: Iterable[tuple[str, str]],
    authors: Iterable[tuple[str, str]] = (),
    *,
    ids: IdsInNames | None = None,
    plain: Mapping[str, str] | None = None,
) -> KnownPosts:
    """Find out what a dataset knows of some posts.

    Args:
        dataset: where to look.
        given: posts, by platform ("": any) and id.
        authors: by platform and id; all posts of theirs are meant, too.
        ids: finds ids of posts in names of sources; without it no source is known by its name.
        plain: what names have for the ids of given posts, by these, where they are pseudonyms.
    """
    wanted = sorted({(platform_of(platform), own) for platform, own in given})
    people = sorted({(platform_of(platform), own) for platform, own in authors})
    with _opened(dataset) as spill:
        spill.fill("given", GIVEN, _given(wanted))
        spill.fill("people", GIVEN, _given(people))
        spill.run(
            "CREATE TABLE gone AS SELECT DISTINCT p.platform, p.post_id FROM post p "
            f"JOIN given g ON g.own = p.post_id AND {MEANT} "
            f"UNION SELECT p.platform, p.post_id FROM post p JOIN given g ON {ALSO} "
            "UNION SELECT p.platform, p.post_id FROM post p "
            f"JOIN people a ON a.own = p.author_id AND a.platform IN {NAMED}"
        )
        unknown = _one(
            spill,
            "SELECT count(*) FROM given g WHERE NOT EXISTS (FROM gone p "
            f"WHERE g.own = p.post_id AND {MEANT}) AND NOT EXISTS (FROM gone p WHERE {ALSO})",
        )
        meant = set(wanted) | (_gone(spill) if people else set())
        in_names = of_posts(dataset, _gone_from(spill), wanted, plain)
        known = _known(dataset, spill, meant, ids, in_names)
        marks = known.marks | {author_mark(*one) for one in people}
        if people:
            known = _with_authors(known, spill)
        return replace(known, marks=marks, unknown=unknown, authors=len(people))


def look_up_rows(
    dataset: Dataset,
    given: Mapping[tuple[str, str], tuple[str, str]],
    *,
    ids: IdsInNames | None = None,
) -> KnownPosts:
    """Find out what a dataset knows of posts by these very rows.

    Args:
        dataset: where to look.
        given: by platform and id as the rows have them, those that their tombstones are made of.
        ids: as for `look_up`.
    """
    with _opened(dataset) as spill:
        spill.fill("given", GIVEN, _given(sorted(given)))
        spill.run(
            "CREATE TABLE gone AS SELECT p.platform, p.post_id FROM post p "
            "JOIN given g ON g.own = p.post_id AND g.platform = p.platform"
        )
        in_names = of_posts(dataset, _gone_from(spill))
        return _known(dataset, spill, set(given.values()), ids, in_names)


def _with_authors(known: KnownPosts, spill: Spill) -> KnownPosts:
    """Add how many of the authors in the table `people` were found, and where they might be."""
    here = (
        "SELECT count(*) FROM people a WHERE EXISTS (FROM post p "
        f"WHERE a.own = p.author_id AND a.platform IN {NAMED})"
    )
    others = ", ".join(f"'{name}'" for name in UNTOLD)
    untold = (
        f"FROM post p WHERE {UNMARKED} IN ({others}) "
        f"AND {UNMARKED} NOT IN (SELECT platform FROM people)"
    )
    doubtful = f"SELECT count(*) {untold} AND author_id IN (SELECT own FROM people)"
    counted = spill.batches(f"SELECT {UNMARKED}, count(*) {untold} GROUP BY 1 ORDER BY 1")
    return replace(
        known,
        authors_here=_one(spill, here),
        untold={name: count for batch in counted for name, count in _pairs(batch)},
        doubtful=_one(spill, doubtful),
    )


def _given(wanted: list[tuple[str, str]]) -> list[pa.RecordBatch]:
    rows = [list(one) for one in zip(*wanted, strict=True)] or [[], []]
    batches: list[pa.RecordBatch] = pa.table(rows, schema=GIVEN).to_batches()
    return batches


def older(
    dataset: Dataset, before: float, *, ids: IdsInNames | None = None
) -> tuple[KnownPosts, int]:
    """Find out what a dataset knows of posts from before a moment.

    Args:
        dataset: where to look.
        before: seconds since 1970.
        ids: as for `look_up`.

    Returns:
        what it knows of them, and how many posts have no time, and so no end.
    """
    with _opened(dataset) as spill:
        spill.run(
            f"CREATE TABLE gone AS SELECT {KEY} FROM post WHERE created_at < ? "
            f"AND NOT {_misread(dataset)}",
            [int(before * 1e6)],
        )
        timeless = _one(
            spill,
            f"SELECT count(*) FROM post WHERE created_at IS NULL OR {_misread(dataset)}",
        )
        in_names = of_posts(dataset, _gone_from(spill))
        return _known(dataset, spill, _gone(spill), ids, in_names), timeless


def _misread(dataset: Dataset) -> str:
    """Return the condition that a post's time may be a day or a year that was read as seconds.

    A former version did so; the next run of its input reads it again.
    """
    made = posts.record(dataset) if POSTS in posts.here(dataset) else None
    inputs = made["inputs"].items() if made else ()
    then = [name for name, own in inputs if own.get("version", 0) < posts.DAYS_SINCE]
    read_then = ", ".join(map(quoted, then)) or "''"
    return (
        f"(input IN ({read_then}) AND dump IN ({BARE}) "
        f"AND coalesce(created_at, -1) BETWEEN 0 AND {FEW_DIGITS})"
    )


def _gone(spill: Spill) -> set[tuple[str, str]]:
    return {(one[0], one[1]) for batch in spill.batches("FROM gone") for one in _pairs(batch)}


def _gone_from(spill: Spill) -> Iterator[tuple[Any, ...]]:
    """Yield of the posts in the table `gone` platform, id, input and format.

    And the same of what names of files have instead: ids of their media, or a part of theirs.
    """
    gone = "FROM post SEMI JOIN gone USING (platform, post_id)"
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
        yield from _pairs(batch)


@contextlib.contextmanager
def _opened(dataset: Dataset) -> Iterator[Spill]:
    """Bring posts and media, as far as they are asked for, onto the disk."""
    with contextlib.closing(Spill()) as spill:
        for name, own, columns in ((POSTS, "post", POSTS_NOW), (MEDIA, "medium", MEDIA_NOW)):
            schema = pa.schema([_plain(SCHEMAS[name].field(column)) for column in columns])
            spill.fill(own, schema, _rows(dataset, name, schema))
        copy = pc.field("kind") == OTHER_COPY
        spill.fill("copy", COPIES, _rows(dataset, GAPS, COPIES, copy))
        spill.run(
            "CREATE VIEW file AS SELECT platform || ' ' || post_id AS ref, input, "
            "regexp_replace(raw_ref, ':[0-9]+$', '') AS file FROM post "
            "UNION ALL SELECT ref, input, message FROM copy"
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


def _known(
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
    here = _one(spill, "SELECT count(*) FROM gone")
    shares = (
        f"SELECT count(*) FROM (FROM post ANTI JOIN gone USING ({key})) p "
        "JOIN gone g ON g.platform = p.platform AND g.post_id = p.repost_of"
    )
    known = KnownPosts(
        marks=frozenset(mark(*one) for one in meant),
        names=names_of(_gone_from(spill)),
        here=here,
        sources=frozenset(own),
        vague=_one(spill, f"SELECT count(*) FROM {theirs} WHERE status = 'ambiguous'"),
        shared=_one(spill, "SELECT count(*) FROM theirs") - len(own),
        shares=_one(spill, shares),
        files=_files(dataset, spill),
        platforms=frozenset(platform_of(platform) for platform, _ in meant),
    )
    return _with_named(known, dataset, spill, ids, in_names) if ids and meant else known


def _with_named(
    known: KnownPosts,
    dataset: Dataset,
    spill: Spill,
    ids: IdsInNames,
    in_names: Meant,
) -> KnownPosts:
    """Add the sources that are theirs by what they are called."""
    gone = _gone(spill)
    named, kept = named_sources(dataset, ids, meant=in_names, stays=lambda *post: post not in gone)
    taken = known.sources | named.keys()
    beside = beside_sources(dataset, _files(dataset, spill, alone=True), taken) - taken
    joined = {
        one
        for batch in spill.batches("SELECT DISTINCT source_id FROM theirs")
        for (one,) in _pairs(batch)
    }
    vague = [
        one
        for batch in spill.batches(
            "SELECT post_id FROM medium SEMI JOIN gone USING (platform, post_id) "
            "WHERE status = 'ambiguous'"
        )
        for (one,) in _pairs(batch)
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
    theirs = f"FROM file SEMI JOIN gone ON {WHOSE}"
    told = f"SELECT DISTINCT input, file {theirs}"
    if alone:
        told += f" EXCEPT SELECT input, file FROM file ANTI JOIN gone ON {WHOSE}"
    pairs = (one for batch in spill.batches(told) for one in _pairs(batch))
    return frozenset(before.get(name, f"{name}/") + file for name, file in pairs)


def _one(spill: Spill, query: str) -> int:
    found = spill.first(query)
    assert found is not None, "a count is one row"
    return int(found[0])


def _pairs(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
