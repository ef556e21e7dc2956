"""Posts with the same id enter, in a `Spill`: which of them are one post, and which are several.

    one_of_each(...)       of what was read: pieces of a post add up, else the last stays
    follow(...)            posts of a table that has another name now keep their place
    of_other_inputs(...)   a platform's post is the same wherever it comes from: the last stays
    of_other_tables(...)   a table's post is not: all stay (see `imgbatch.platforms`)

Whatever is not kept, or is kept apart, is counted as a gap.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.post_columns import MEDIA, SCHEMAS
from imgbatch.dataset.spill import quoted
from imgbatch.platforms import FORMS, MARKED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgbatch.dataset.spill import Spill

    # Takes a gap's kind, message and count.
    Say = Callable[[str, str, int], None]

KEY = "platform, post_id"
JOINING = ("joined_by", "source_id", "version")
MEDIUM = ", ".join(f.name for f in SCHEMAS[MEDIA] if f.name not in (*JOINING, "media_idx"))
LAST = "of each the one that was read last stays"
DIFFERING = f"rows of one post that name another author or text; {LAST}"
OTHER_TABLE = (
    "posts whose ids are those of posts in other tables too; all stay. A column platform says that "
    "ids count everywhere"
)
# What pieces of one post have to agree in.
SAYING = ("text", "author_id", "author_name")
# A platform without the mark of a file or a dump.
FORM = f"regexp_replace(platform, '{MARKED}', '\\1')"


def one_of_each(spill: Spill, pieces: Mapping[str, str], say: Say) -> None:
    """Make tables `post` and `medium` of `read` and `media_read`, which leave.

    Args:
        spill: where all of it lies; a table `gap` too.
        pieces: see `Gathered.settle`.
        say: told what does not stay.
    """
    spill.run(
        f"CREATE TABLE last AS SELECT max(seq) AS seq, {KEY}, max_by(dump, seq) AS dump, "
        f"max_by(raw_ref, seq) AS raw_ref FROM read GROUP BY {KEY}"
    )
    same_file = f"{_file('read.raw_ref')} = {_file('last.raw_ref')}"
    spill.run(
        "CREATE TABLE kept AS SELECT read.seq AS piece, last.seq AS seq FROM read "
        f"JOIN last USING ({KEY}) WHERE read.seq = last.seq OR (read.dump = last.dump "
        f"AND (read.dump IN ({_those(pieces, 'dump')}) "
        f"OR (read.dump IN ({_those(pieces, 'file')}) AND {same_file})))"
    )
    spill.run("CREATE TABLE post AS FROM read SEMI JOIN last USING (seq)")
    _add_up(spill)
    if twice := _one(spill, "SELECT (SELECT count(*) FROM read) - (SELECT count(*) FROM kept)"):
        say("duplicate-posts", f"posts that came more than once; {LAST}", twice)
    for name in ("read", "media_read", "last", "kept"):
        spill.run(f"DROP TABLE {name}")


def _those(pieces: Mapping[str, str], within: str) -> str:
    return ", ".join(quoted(name) for name, far in pieces.items() if far == within) or "''"


def _file(column: str) -> str:
    return f"regexp_replace({column}, ':[0-9]+$', '')"


def _add_up(spill: Spill) -> None:
    """Take the media of the posts that stay, and of their other pieces, each file once."""
    if not _one(spill, "SELECT count(*) FROM kept WHERE piece <> seq"):
        spill.run("CREATE TABLE medium AS FROM media_read SEMI JOIN last USING (seq)")
        return
    spill.run(
        "CREATE TABLE medium AS SELECT seq, (row_number() OVER (PARTITION BY seq "
        f"ORDER BY piece, media_idx) - 1)::INTEGER AS media_idx, {MEDIUM} FROM ("
        "SELECT m.* REPLACE (k.seq AS seq), k.piece FROM media_read m "
        "JOIN kept k ON m.seq = k.piece QUALIFY row_number() OVER ("
        "PARTITION BY k.seq, media_key, source_url, local_path "
        "ORDER BY k.piece, media_idx) = 1)"
    )
    differ = " OR ".join(
        f"(p.{name} IS NOT NULL AND p.{name} IS DISTINCT FROM l.{name})" for name in SAYING
    )
    line = "try_cast(regexp_extract(p.raw_ref, ':([0-9]+)$', 1) AS BIGINT)"
    spill.run(
        "INSERT INTO gap BY NAME SELECT 'differing-rows' AS kind, "
        f"{_file('p.raw_ref')} AS ref, min({line}) AS line, {quoted(DIFFERING)} AS message, "
        "count(*) AS count, p.input FROM kept k JOIN read p ON p.seq = k.piece "
        f"JOIN read l ON l.seq = k.seq WHERE k.piece <> k.seq AND ({differ}) GROUP BY ALL"
    )


def follow(spill: Spill, input_: str, *, whole: bool) -> None:
    """Give posts in `former` the platform that they are read with now, and their media.

    Those of this input whose table is not there any more, while a table that was not there before
    has the same id, author and time: the file has another name, or the mark is new.

    Args:
        spill: where all of it lies.
        input_: that was read.
        whole: False: a table that is not there may be damaged, and keeps its posts.
    """
    forms = ", ".join(map(quoted, FORMS))
    its = f"input = {quoted(input_)}"
    gone = (
        "(SELECT DISTINCT platform FROM former "
        f"WHERE {its} AND {FORM if whole else 'platform'} IN ({forms}) "
        "EXCEPT SELECT DISTINCT platform FROM post)"
    )
    if not _one(spill, f"SELECT count(*) FROM {gone}"):
        return
    new = (
        "(SELECT DISTINCT platform FROM post "
        f"EXCEPT SELECT DISTINCT platform FROM former WHERE {its})"
    )
    columns = f"seq, platform, {FORM} AS form, post_id, author_id, created_at"
    spill.run(
        "CREATE TABLE followed AS SELECT seq, platform FROM ("
        "SELECT f.seq, p.platform, p.seq AS other FROM "
        f"(SELECT {columns} FROM former WHERE {its} AND platform IN {gone}) f JOIN "
        f"(SELECT {columns} FROM post WHERE platform IN {new}) p ON f.form = p.form "
        "AND f.post_id = p.post_id AND f.author_id IS NOT DISTINCT FROM p.author_id "
        "AND f.created_at IS NOT DISTINCT FROM p.created_at "
        # One for one: what two tables had is not one post in the next.
        "QUALIFY row_number() OVER (PARTITION BY f.seq ORDER BY p.seq) = 1) "
        "QUALIFY row_number() OVER (PARTITION BY other ORDER BY seq DESC) = 1"
    )
    for name in ("former", "former_medium"):
        spill.run(
            f"UPDATE {name} SET platform = followed.platform FROM followed "
            f"WHERE {name}.seq = followed.seq"
        )
    spill.run("DROP TABLE followed")


def of_other_inputs(spill: Spill, input_: str, say: Say) -> None:
    """Count posts in `post` that `former` has of another input, and that leave it."""
    count = _one(
        spill,
        f"SELECT count(*) FROM post SEMI JOIN "
        f"(FROM former WHERE input <> {quoted(input_)}) USING ({KEY})",
    )
    if count:
        say("same-id-in-other-input", f"posts that another input has too; {LAST}", count)


def of_other_tables(spill: Spill, input_: str, say: Say) -> None:
    """Count posts of this input in `post` whose ids are there again, and that are kept apart."""
    marked = f"SELECT DISTINCT platform FROM post WHERE regexp_matches(platform, '{MARKED}')"
    if _one(spill, f"SELECT count(*) FROM ({marked})") < 2:  # noqa: PLR2004 - two have the same id
        return
    own = f"SELECT {FORM} AS form, post_id, input FROM post WHERE platform IN ({marked})"
    count = _one(
        spill,
        f"SELECT count(*) FROM ({own} QUALIFY count(*) OVER (PARTITION BY form, post_id) > 1) "
        f"WHERE input = {quoted(input_)}",
    )
    if count:
        say("same-id-in-other-table", OTHER_TABLE, count)


def _one(spill: Spill, query: str) -> int:
    found = spill.first(query)
    assert found is not None, "a count is one row"
    return int(found[0])
