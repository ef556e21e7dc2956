"""Posts that are to be forgotten enter; what the dataset knows of them leaves.

Of posts, those that are named, those of named authors, and those from before a moment; and with
them what goes with them (`posts_theirs`).

What their tombstones are made of stands in `imgbatch.dataset.post_marks`; the rows leave in
`imgbatch.dataset.posts_leaving`.
"""

# ruff: noqa: S608 - statements are put together of words of this room

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset import posts
from imgbatch.dataset.former import BARE, KEY, by_link
from imgbatch.dataset.post_marks import (
    REDDIT,
    SAME,
    UNTOLD,
    author_mark,
    other_forms,
    platform_of,
)
from imgbatch.dataset.posts import POSTS
from imgbatch.dataset.posts_meant import of_posts
from imgbatch.dataset.posts_theirs import (
    KnownPosts,
    count_of,
    gone_from,
    gone_in,
    known_of,
    opened,
    tuples_of,
)
from imgbatch.dataset.spill import Spill, quoted
from imgbatch.platforms import MARKED, NAMELESS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.posts_named import IdsInNames

__all__ = ["KnownPosts", "look_up", "look_up_rows", "older"]

# Of posts: platform ("": any), id, and by what it was given: that may have several forms.
GIVEN = pa.schema([(name, pa.string()) for name in ("platform", "own", "word")])
# As `post_marks.platform_of` makes it, in SQL.
PLATFORM = (
    "CASE "
    + " ".join(f"WHEN lower(p.platform) = '{name}' THEN '{own}'" for name, own in SAME.items())
    + " ELSE lower(p.platform) END"
)
# A post's platform, and without the mark of a file or dump: who says `table` means any.
UNMARKED = f"regexp_replace(lower(p.platform), '{MARKED}', '\\1')"
NAMED = f"({PLATFORM}, {UNMARKED})"
# What a zip of 4CAT alone says is of an id is of that id on any platform.
LINKED = f"({by_link('p')} AND g.platform NOT IN ({BARE}))"
MEANT = f"(g.platform = '' OR g.platform IN {NAMED} OR {LINKED})"
# Until when posts of an input are old, in microseconds.
MOMENT = pa.schema([("input", pa.string()), ("until", pa.int64())])
# Seconds of up to 8 digits, in microseconds.
FEW_DIGITS = 10**14
# Of other forms of ids, see `other_forms`.
ALSO = f"g.own = p.post_id AND (p.platform = '{REDDIT}' OR {LINKED})"


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
    with opened(dataset) as spill:
        spill.fill("given", GIVEN, _given(wanted, plain))
        spill.fill("also", GIVEN, _also(wanted, plain))
        spill.fill("people", GIVEN, _given(people))
        spill.run(
            "CREATE TABLE gone AS SELECT DISTINCT p.platform, p.post_id FROM post p "
            f"JOIN given g ON g.own = p.post_id AND {MEANT} "
            f"UNION SELECT p.platform, p.post_id FROM post p JOIN also g ON {ALSO} "
            # Of several copies one may say whose a post is, and the newest not.
            "UNION SELECT p.platform, p.post_id FROM reading p "
            f"JOIN people a ON a.own = p.author_id AND a.platform IN {NAMED}"
        )
        found = "(FROM post SEMI JOIN gone USING (platform, post_id))"
        unknown = count_of(
            spill,
            "SELECT count(DISTINCT word) FROM given WHERE word NOT IN ("
            f"SELECT word FROM given g JOIN {found} p ON g.own = p.post_id AND {MEANT} "
            f"UNION ALL SELECT word FROM also g JOIN {found} p ON {ALSO})",
        )
        gone = gone_in(spill)
        meant = set(wanted) | {one for one in gone if people or one[0] == NAMELESS}
        in_names = of_posts(dataset, gone_from(spill), wanted, plain)
        known = known_of(dataset, spill, meant, ids, in_names)
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
    with opened(dataset) as spill:
        spill.fill("given", GIVEN, _given(sorted(given)))
        spill.run(
            "CREATE TABLE gone AS SELECT p.platform, p.post_id FROM post p "
            "JOIN given g ON g.own = p.post_id AND g.platform = p.platform"
        )
        in_names = of_posts(dataset, gone_from(spill))
        return known_of(dataset, spill, set(given.values()), ids, in_names)


def _with_authors(known: KnownPosts, spill: Spill) -> KnownPosts:
    """Add how many of the authors in the table `people` were found, and where they might be."""
    here = (
        "SELECT count(*) FROM people a WHERE EXISTS (FROM reading p "
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
        authors_here=count_of(spill, here),
        untold={name: count for batch in counted for name, count in tuples_of(batch)},
        doubtful=count_of(spill, doubtful),
    )


def _given(
    wanted: Iterable[tuple[str, str]], plain: Mapping[str, str] | None = None
) -> list[pa.RecordBatch]:
    """Return rows of GIVEN; `plain` has what pseudonyms were given by."""
    told = plain or {}
    return _rows((platform, own, told.get(own, f"{platform} {own}")) for platform, own in wanted)


def _also(
    wanted: Iterable[tuple[str, str]], plain: Mapping[str, str] | None
) -> list[pa.RecordBatch]:
    """Return the other forms of ids that may be Reddit's, by what was given."""
    told = plain or {}
    return _rows(
        (platform, form, told.get(own, f"{platform} {own}"))
        for platform, own in wanted
        if platform in ("", REDDIT)
        for form in other_forms(own)
    )


def _rows(given: Iterable[tuple[str, str, str]]) -> list[pa.RecordBatch]:
    columns = [list(one) for one in zip(*given, strict=True)] or [[] for _ in GIVEN]
    batches: list[pa.RecordBatch] = pa.table(columns, schema=GIVEN).to_batches()
    return batches


def older(
    dataset: Dataset, before: float | Mapping[str, float], *, ids: IdsInNames | None = None
) -> tuple[KnownPosts, int]:
    """Find out what a dataset knows of posts from before a moment.

    Args:
        dataset: where to look.
        before: seconds since 1970; or these by the root of an input: of a post that several have,
            the latest holds, and one that none of them has is not meant.
        ids: as for `look_up`.

    Returns:
        what it knows of them, and how many posts that are meant have no time, and so no end.
    """
    with opened(dataset) as spill:
        told = f"CASE WHEN NOT {_misread(dataset)} THEN created_at END"
        # Where the newest copy of a post does not say when it was made, another may.
        spill.run(
            f"CREATE TABLE aged AS SELECT {KEY}, coalesce(own, copied) AS made FROM "
            f"(SELECT {KEY}, {told} AS own FROM post) LEFT JOIN "
            f"(SELECT {KEY}, max({told}) AS copied FROM copy GROUP BY ALL) USING ({KEY})"
        )
        meant = _until(spill, before)
        spill.run(f"CREATE TABLE gone AS SELECT {KEY} FROM {meant} WHERE made < until")
        timeless = count_of(spill, f"SELECT count(*) FROM {meant} WHERE made IS NULL")
        in_names = of_posts(dataset, gone_from(spill))
        return known_of(dataset, spill, gone_in(spill), ids, in_names), timeless


def _until(spill: Spill, before: float | Mapping[str, float]) -> str:
    """Return what to ask for the posts in `aged` that are meant, and until when each is old."""
    if isinstance(before, int | float):
        return f"(SELECT *, {int(before * 1e6)} AS until FROM aged)"
    columns = [list(before), [int(moment * 1e6) for moment in before.values()]]
    spill.fill("moment", MOMENT, pa.table(columns, schema=MOMENT).to_batches())
    latest = (
        f"SELECT {KEY}, max(until) AS until FROM reading JOIN moment USING (input) GROUP BY ALL"
    )
    return f"(FROM aged JOIN ({latest}) USING ({KEY}))"


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
