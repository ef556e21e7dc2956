"""Copies of posts enter, in a `Spill`; their files leave with the posts that stay.

    keep_apart(...)   of what was read: copies that did not stay, and their media, each file once
    lend(...)         and those of other inputs
    lend_absent(...)  and those of posts that were not read again
    add_up(...)       once all are joined: a copy's file takes the place of a medium that has none;
                      any other comes behind the post's own media, with the status `other-copy`
    note_read(...)    where else a post was read, and of whom and when that says it is: a table
    keep_copies(...)  `copy`, with what was known of this before and holds still

A copy is joined as a post of its own: where it was read tells which files are beside it.

Decision, 2026-11: each file that some copy of a post has is a row of `post_media`, as long as the
copy is there. So a takedown finds it, and it is not counted as nobody's. Drawback: of a post that
ten exports bring with its picture there are ten rows, and whoever counts pictures leaves out nine,
by their status.
Decision, 2026-11: a file of a copy that is gone stays joined, by what it was joined to, unless a
present post has it otherwise. So a takedown finds what nobody names any more, and takes nothing
that was given to another post since. Drawback: which file of its copies a post has lost, no row
says.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset.former import COPY, FILE, KEY, MEDIUM
from imgbatch.dataset.joining import each
from imgbatch.dataset.lacked import lacked
from imgbatch.dataset.post_columns import OTHER_COPY, VAGUE_COPY
from imgbatch.dataset.post_marks import FORGOTTEN
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from imgbatch.dataset.spill import Spill

    # Takes and gives rows of SPARE; their paths mean the same wherever they are said, then.
    Exact = Callable[[pa.Table], pa.Table]

# Of a medium: the number of its copy, that of the post which stays, where the copy was read, where
# it was read before, what it was joined to, that no copy is known any more to have it, and the path
# as it was said, if that is known.
SPARE = pa.schema(
    [
        ("seq", pa.int64()),
        ("winner", pa.int64()),
        ("raw_ref", pa.string()),
        *((f.name, f.type) for f in MEDIUM),
        ("was", pa.string()),
        ("was_by", pa.string()),
        ("gone", pa.bool_()),
        ("said", pa.string()),
    ]
)
NAMES = [f.name for f in MEDIUM]
BEARER = "seq, platform, post_id, input, dump, raw_ref"
# By these two media are one file, where their metadata files are in one folder.
SAME_FILE = ("media_key", "source_url", "local_path", "sha256")
# What a medium says, whatever its place and its fate.
SAYS = ", ".join(
    n for n in NAMES if n not in ("platform", "post_id", "media_idx", "status", "input")
)
COPY_STATUS = quoted(OTHER_COPY)
LENT = [*NAMES, "was", "was_by"]
VAGUE = "media that several files may be, and that the newest copy lacks or has otherwise"
# Of a medium `m` that a copy of the post `f` had: the copy's input was read without the post since.
LOST = "m.input <> f.input AND (m.seq, m.input) NOT IN (SELECT seq, input FROM former_copy)"
# Below the numbers of all posts, read now or before.
BELOW = -(2**40)


def keep_apart(spill: Spill) -> None:
    """Make tables `copies` and `inexact` of what was read; see `one_of_each`."""
    spill.run(
        f"CREATE TABLE copies AS SELECT {_of('r', BEARER.split(', '))}, l.seq AS winner "
        f"FROM read r JOIN last l USING ({KEY}) ANTI JOIN kept k ON k.piece = r.seq"
    )
    same = " AND ".join(f"o.{name} IS NOT DISTINCT FROM m.{name}" for name in SAME_FILE)
    where = "regexp_replace({0}.raw_ref, '[^/]*$', '')"
    spill.run(
        f"CREATE TABLE inexact AS SELECT m.seq, m.winner, m.raw_ref, {_of('m', NAMES)}, "
        "NULL::VARCHAR AS was, NULL::VARCHAR AS was_by, false AS gone FROM "
        f"(SELECT m.*, c.winner, c.raw_ref, {where.format('c')} AS folder FROM media_read m "
        "JOIN copies c USING (seq) WHERE m.status = '') m ANTI JOIN "
        f"(SELECT m.*, {where.format('p')} AS folder FROM medium m JOIN post p USING (seq) "
        "WHERE m.status = '') o "
        f"ON o.seq = m.winner AND o.folder = m.folder AND {same} "
        f"QUALIFY row_number() OVER (PARTITION BY m.winner, m.folder, {_of('m', SAME_FILE)} "
        "ORDER BY m.seq DESC, m.media_idx) = 1"
    )


def lend(spill: Spill, input_: str, exact: Exact) -> None:
    """Make table `spare` of these, and of media in `former_medium` that other copies brought.

    Of this input those are gone that were not read again, and of another what it lacks by now.

    Args:
        spill: where all of it lies.
        input_: that was read.
        exact: see `Exact`.
    """
    its = f"m.input = {quoted(input_)}"
    spill.run(
        f"CREATE TABLE lent AS SELECT p.seq AS winner, f.raw_ref, {_of('m', LENT)}, "
        f"{its} OR ({LOST}) OR (m.input = f.input AND {lacked('f.')}) AS gone "
        "FROM former_medium m JOIN former f USING (seq) JOIN post p ON p.platform = f.platform "
        f"AND p.post_id = f.post_id WHERE m.status = {COPY_STATUS} OR (m.status = '' AND NOT {its})"
    )
    _number(spill, "inexact")
    spill.fill("spare", SPARE, each(spill.batches("FROM inexact"), exact))
    spill.run("DROP TABLE inexact")


def lend_absent(spill: Spill, input_: str, *, whole: bool) -> None:
    """Put into `spare` what copies of the posts in `absent` had, and into `medium` what is theirs.

    Where the file of a copy that is gone stands in for a medium, of that no more is known than that
    there was one; the file has to stand in for it again.

    Args:
        spill: where all of it lies.
        input_: that was read.
        whole: of posts that another input has, it has no copies any more where it has none now.
    """
    lost = f"m.input <> f.input AND m.input = {quoted(input_)}" if whole else "false"
    spill.run(
        "CREATE VIEW kept AS SELECT m.*, f.raw_ref, f.input AS own, "
        f"m.status IN ('', {COPY_STATUS}) AND (({lost}) OR ({LOST})) AS gone "
        "FROM former_medium m JOIN absent f USING (seq)"
    )
    spill.run(
        f"INSERT INTO medium BY NAME SELECT seq, {', '.join(NAMES)}, was_by FROM kept "
        f"WHERE NOT gone AND status <> {COPY_STATUS} UNION ALL BY NAME "
        "SELECT seq, platform, post_id, media_idx, kind, status, own AS input FROM kept "
        "WHERE gone AND status = ''"
    )
    spill.run(
        f"CREATE TABLE lent AS SELECT seq AS winner, raw_ref, {', '.join(LENT)}, gone FROM kept "
        f"WHERE gone OR status = {COPY_STATUS}"
    )
    spill.run("DROP VIEW kept")
    _number(spill, "spare")


def _number(spill: Spill, table: str) -> None:
    """Move `lent` into a table of media, by copies that are numbered downwards."""
    lowest = f"least({BELOW}, (SELECT coalesce(min(seq), 0) FROM copies))"
    # What lay beside its metadata file is not known any more, but for the path.
    spill.run(
        f"CREATE TABLE numbered AS SELECT {lowest} - row_number() OVER () AS seq, * FROM "
        "(SELECT DISTINCT winner, platform, post_id, input FROM lent)"
    )
    spill.run("INSERT INTO copies BY NAME SELECT n.*, '' AS dump, '' AS raw_ref FROM numbered n")
    spill.run(
        f"INSERT INTO {table} BY NAME SELECT n.seq, l.* REPLACE ('' AS status, "
        # Behind the post's own media it had a place that says nothing of its own.
        f"CASE WHEN status <> {COPY_STATUS} THEN media_idx END AS media_idx) FROM lent l "
        "JOIN numbered n ON n.winner = l.winner AND n.input = l.input"
    )
    spill.run("DROP TABLE numbered")
    spill.run("DROP TABLE lent")


def note_read(spill: Spill) -> None:
    """Make table `copy` of what was read: of each post the copies and pieces, but for the last."""
    said = f"{KEY}, {', '.join(n for n in COPY if n != 'raw_ref')}"
    spill.run(
        f"CREATE TABLE copy AS SELECT {KEY}, {', '.join(COPY)} FROM ("
        f"SELECT {said}, {FILE} AS file, min(raw_ref) AS raw_ref FROM read ANTI JOIN last "
        "USING (seq) GROUP BY ALL) c ANTI JOIN "
        f"(SELECT {said}, {FILE} AS file FROM read SEMI JOIN last USING (seq)) l ON "
        + " AND ".join(f"c.{n} IS NOT DISTINCT FROM l.{n}" for n in ("file", *said.split(", ")))
    )


def keep_copies(spill: Spill, input_: str, *, whole: bool) -> None:
    """Put into `copy` what `former_copy` says of other inputs, and of posts that were not read.

    Args:
        spill: with tables `post` and `behind_others` of what was read.
        input_: that was read.
        whole: False: what it lacks it may have all the same.
    """
    its = f"c.input = {quoted(input_)}"
    read = f"(SELECT {KEY} FROM post UNION ALL SELECT {KEY} FROM behind_others)"
    stays = f"f.input = {quoted(input_)}" if whole else "true"
    spill.run(
        f"INSERT INTO copy BY NAME SELECT {KEY}, {_of('c', COPY)} FROM former_copy c "
        f"JOIN (SELECT seq, {KEY}, input FROM former) f USING (seq) "
        f"WHERE NOT {its} OR ({stays} AND ({KEY}) NOT IN {read})"
    )


def changed_media() -> str:
    """Return the query of the posts in `post` that have other media than in `former_medium`.

    A file of a copy changes nothing: neither where it stands in for a medium, nor behind them.
    """
    own = ", ".join(name for name in NAMES if name != "input")
    said = SAYS.split(", ")
    same, alike = (
        " AND ".join(f"s.{n} IS NOT DISTINCT FROM {of}.{n}" for n in said) for of in ("f", "a")
    )
    lent = f"spare s ON s.platform = f.platform AND s.post_id = f.post_id AND {same}"
    return (
        f"SELECT {KEY} FROM (SELECT {own} FROM medium EXCEPT SELECT {own} FROM former_medium) a "
        f"ANTI JOIN (SELECT {_of('f', [*KEY.split(', '), 'media_idx'])} FROM former_medium f "
        f"SEMI JOIN {lent} WHERE f.status <> {COPY_STATUS}) b USING ({KEY}, media_idx) "
        f"ANTI JOIN (FROM former_medium WHERE status = {COPY_STATUS}) s ON s.platform = a.platform "
        f"AND s.post_id = a.post_id AND {alike} "
        f"UNION SELECT {KEY} FROM (SELECT {_of('f', own.split(', '))} FROM former_medium f "
        f"ANTI JOIN {lent} WHERE f.status <> {COPY_STATUS} EXCEPT SELECT {own} FROM medium) "
        f"SEMI JOIN post USING ({KEY})"
    )


def add_up(spill: Spill) -> None:
    """Settle, of `medium` and `found`, what copies have; and count anew what each post has."""
    if spill.first("SELECT 1 FROM spare LIMIT 1") is None:
        return
    # A copy that was read before is not known by its own metadata file any more.
    spill.run(
        "INSERT INTO found SELECT m.id, s.sid, m.was_by FROM medium m JOIN source s "
        "ON s.source_id = m.was ANTI JOIN found f ON f.id = m.id WHERE m.seq <> m.winner"
    )
    spill.run(
        f"INSERT INTO gap SELECT {quoted(VAGUE_COPY)}, platform || ' ' || post_id, NULL, "
        f"{quoted(VAGUE)}, count(*), input FROM (SELECT DISTINCT id FROM vague) "
        "JOIN medium m USING (id) ANTI JOIN found USING (id) "
        "WHERE m.seq <> m.winner GROUP BY ALL"
    )
    spill.run(
        "CREATE TABLE lender AS SELECT m.*, sid FROM medium m JOIN found USING (id) "
        "WHERE m.seq <> m.winner"
    )
    spill.run(
        "CREATE TABLE had AS SELECT DISTINCT sid, winner FROM found "
        "SEMI JOIN (SELECT sid FROM lender WHERE gone) USING (sid) JOIN medium m USING (id) "
        "JOIN post p ON p.seq = m.winner WHERE p.state = 'present' AND m.gone IS NOT TRUE"
    )
    spill.run(
        "DELETE FROM lender WHERE gone AND EXISTS (SELECT 1 FROM had h "
        "WHERE h.sid = lender.sid AND h.winner <> lender.winner)"
    )
    # By the platform's id of a medium; else by its place. What is forgotten has none to stand in
    # for it: nothing says which it was.
    spill.run(
        "CREATE TABLE stand_in AS SELECT id, own, media_idx FROM (SELECT l.id, u.id AS own, "
        "u.media_idx FROM lender l JOIN medium u ON u.seq = l.winner AND u.kind = l.kind "
        "AND (u.media_key = l.media_key OR ((u.media_key IS NULL OR l.media_key IS NULL) "
        "AND u.media_idx = l.media_idx)) WHERE u.id NOT IN (SELECT id FROM found) "
        f"AND u.status <> {quoted(FORGOTTEN)} "
        "QUALIFY row_number() OVER (PARTITION BY u.id ORDER BY l.seq DESC, l.media_idx) = 1) "
        "QUALIFY row_number() OVER (PARTITION BY id ORDER BY media_idx) = 1"
    )
    spill.run(
        "CREATE TABLE behind AS SELECT id, winner, sid FROM lender l "
        "ANTI JOIN stand_in USING (id) ANTI JOIN (SELECT m.winner, f.sid FROM medium m "
        "JOIN found f USING (id) WHERE m.seq = m.winner OR id IN (SELECT id FROM stand_in)) h "
        "ON h.winner = l.winner AND h.sid = l.sid "
        "QUALIFY row_number() OVER (PARTITION BY winner, sid ORDER BY seq DESC, media_idx) = 1"
    )
    last = "SELECT seq, max(media_idx) AS last FROM medium WHERE seq = winner GROUP BY seq"
    spill.run(
        "CREATE TABLE placed AS SELECT id, media_idx, '' AS status FROM stand_in UNION ALL "
        "SELECT b.id, (coalesce(last, -1) + row_number() OVER (PARTITION BY b.winner ORDER BY "
        f"s.name))::INTEGER, {COPY_STATUS} FROM behind b JOIN source s USING (sid) "
        f"LEFT JOIN ({last}) l ON l.seq = b.winner"
    )
    spill.run("ALTER TABLE medium RENAME TO all_media")
    spill.run(
        "CREATE TABLE medium AS FROM all_media WHERE seq = winner "
        "AND id NOT IN (SELECT own FROM stand_in) UNION ALL BY NAME "
        "SELECT m.* REPLACE (winner AS seq, p.media_idx AS media_idx, p.status AS status) "
        "FROM all_media m JOIN placed p USING (id)"
    )
    spill.run(
        "CREATE OR REPLACE TABLE counted AS SELECT seq, count(*) AS n FROM medium "
        f"WHERE status <> {COPY_STATUS} GROUP BY seq"
    )
    for name in ("had", "lender", "stand_in", "behind", "placed", "all_media"):
        spill.run(f"DROP TABLE {name}")


def _of(table: str, names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"{table}.{name}" for name in names)
