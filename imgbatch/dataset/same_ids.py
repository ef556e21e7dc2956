"""Posts with the same id enter, in a `Spill`: which of them are one post, and which are several.

    one_of_each(...)       of what was read: pieces of a post add up, else the last stays (the
                           last whole one), and files of other copies are kept for it (`copies`)
    follow(...)            posts of a table that has another name now keep their place
    drop_nameless(...)     what was a file's post by its id alone is that of a platform now
    of_other_inputs(...)   a platform's post is the same wherever it comes from: the last stays
                           (what that one lacks later, another may have still: see `lacked`)
    of_other_tables(...)   a table's post is not: all stay (see `imgbatch.platforms`)

Whatever is not kept, or is kept apart, is counted as a gap.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.copies import keep_apart, keep_copies, note_read
from imgbatch.dataset.former import COPY, FILE, KEY, LINK
from imgbatch.dataset.lacked import REF, lacked
from imgbatch.dataset.post_columns import DUPLICATE, HIDDEN, MEDIA, OTHER_INPUT, SCHEMAS
from imgbatch.dataset.spill import quoted
from imgbatch.platforms import FORMS, MARKED, NAMELESS, marked

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgbatch.dataset.spill import Spill

    # Takes a gap's kind, message and count.
    Say = Callable[[str, str, int], None]
    # Takes the name of a file of the dump.
    Listed = Callable[[str], str | None]

JOINING = ("joined_by", "source_id", "version")
MEDIUM = ", ".join(f.name for f in SCHEMAS[MEDIA] if f.name not in (*JOINING, "media_idx"))
LAST = "of each the one that was read last stays"
DIFFERING = f"rows of one post that name another author or text; {LAST}"
HAS_TOO = f"the post is in this input too; {LAST}"
HAS_PART = "a part of the post is in this input too; what the other says stays"
TWICE = f"posts that came more than once; {LAST}"
OTHER_TABLE = (
    "posts whose ids are those of posts in other tables too; all stay. A column platform says that "
    "ids count everywhere"
)
# A part of a post comes before each whole copy, whenever it was read.
NEWEST = f"CASE WHEN partial THEN seq - {2**40} ELSE seq END"
# What pieces of one post have to agree in.
SAYING = ("text", "author_id", "author_name")
# The kind of gap by which 4CAT's zips tell of posts that the export beside them lacks.
LACKING = "not-exported"
# A platform without the mark of a file or a dump.
FORM = f"regexp_replace(platform, '{MARKED}', '\\1')"


def one_of_each(spill: Spill, pieces: Mapping[str, str]) -> None:
    """Make tables `post` and `medium` of `read` and `media_read`, which leave.

    Args:
        spill: where all of it lies; a table `gap` too.
        pieces: see `Gathered.settle`.
    """
    spill.run(
        f"CREATE TABLE last AS SELECT max_by(seq, {NEWEST}) AS seq, {KEY}, "
        f"max_by(dump, {NEWEST}) AS dump, max_by(raw_ref, {NEWEST}) AS raw_ref "
        f"FROM read GROUP BY {KEY}"
    )
    same_file = f"{_file('read.raw_ref')} = {_file('last.raw_ref')}"
    same_folder = f"{_folder('read.raw_ref')} = {_folder('last.raw_ref')}"
    spill.run(
        "CREATE TABLE kept AS SELECT read.seq AS piece, last.seq AS seq, "
        f"read.dump IN ({_those(pieces, '')}) AS by_folder FROM read "
        f"JOIN last USING ({KEY}) WHERE read.seq = last.seq OR (read.dump = last.dump "
        f"AND (read.dump IN ({_those(pieces, 'dump')}) "
        f"OR (read.dump IN ({_those(pieces, 'file')}) AND {same_file}) "
        f"OR (read.dump IN ({_those(pieces, '')}) AND {same_folder})))"
    )
    spill.run(
        "CREATE TABLE post AS SELECT * EXCLUDE (partial) FROM read SEMI JOIN last USING (seq)"
    )
    spill.run(
        "CREATE TABLE in_part AS SELECT seq FROM read SEMI JOIN last USING (seq) WHERE partial"
    )
    _add_up(spill)
    # By file: that it gave posts shows in no row.
    spill.run(
        f"INSERT INTO gap SELECT {quoted(DUPLICATE)}, {_file('raw_ref')}, NULL, {quoted(TWICE)}, "
        "count(*), input FROM read WHERE seq NOT IN (SELECT piece FROM kept) GROUP BY ALL"
    )
    keep_apart(spill)
    note_read(spill)
    for name in ("read", "media_read", "last", "kept"):
        spill.run(f"DROP TABLE {name}")


def _those(pieces: Mapping[str, str], within: str) -> str:
    return ", ".join(quoted(name) for name, far in pieces.items() if far == within) or "''"


def _file(column: str) -> str:
    return f"regexp_replace({column}, ':[0-9]+$', '')"


def _folder(column: str) -> str:
    return f"regexp_replace({column}, '[^/]*$', '')"


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
        # A file that a folder's metadata tell of twice may have had another address each time.
        "PARTITION BY k.seq, media_key, local_path, "
        "CASE WHEN NOT by_folder OR local_path IS NULL THEN source_url END "
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


def follow(spill: Spill, input_: str, listed: Listed) -> None:
    """Give posts in `former` the platform that they are read with now, and their media.

    Those of this input whose file is not listed any more, while one that is has a new post with the
    same id, author and time: the file has another name. Where it had some posts before, the text
    has to be the same too.

    Args:
        spill: where all of it lies.
        input_: that was read.
        listed: gives the address of a file or, of "", of the dump; None: it is not there. A file
            that is there and cannot be read keeps its posts.
    """
    its = f"input = {quoted(input_)}"
    gone = _unlisted(spill, its, listed)
    if not gone:
        return
    columns = f"seq, platform, {FORM} AS form, post_id, author_id, created_at, text"
    new = (
        f"(SELECT {columns}, platform IN (SELECT DISTINCT platform FROM former WHERE {its}) "
        f"AS known FROM post ANTI JOIN former USING ({KEY}))"
    )
    # What says nothing but its id is some post of its file, and could be one of any other.
    same_text = (
        "f.text IS NOT DISTINCT FROM p.text AND (p.author_id IS NOT NULL "
        "OR p.created_at IS NOT NULL OR p.text IS NOT NULL)"
    )
    spill.run(
        "CREATE TABLE followed AS SELECT seq, platform FROM ("
        "SELECT f.seq, p.platform, p.seq AS other FROM "
        f"(SELECT {columns} FROM former WHERE {its} "
        f"AND platform IN ({', '.join(map(quoted, gone))})) f JOIN {new} p ON f.form = p.form "
        "AND f.post_id = p.post_id AND f.author_id IS NOT DISTINCT FROM p.author_id "
        f"AND f.created_at IS NOT DISTINCT FROM p.created_at AND (NOT p.known OR ({same_text})) "
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


def drop_nameless(spill: Spill, input_: str) -> None:
    """Take posts without a platform out of `former` that came now with theirs, and their media.

    4CAT's zips say whose a file is by the post's id alone. Where no format read that post, or none
    asked for its files, as before version 3, it was a post of its own: it is not removed. Nor is
    one that an export has not, which came since or stood beside it before version 5.

    Args:
        spill: where all of it lies.
        input_: that was read.
    """
    its = f"input = {quoted(input_)}"
    named = (
        f"SELECT * FROM post WHERE {its} AND platform <> {quoted(NAMELESS)} "
        f"AND NOT regexp_matches(platform, '{MARKED}')"
    )
    same_file = (
        "m.source_url IS NOT DISTINCT FROM n.source_url "
        "AND m.local_path IS NOT DISTINCT FROM n.local_path"
    )
    spill.run(
        f"CREATE TABLE named AS SELECT seq FROM former f ANTI JOIN post USING ({KEY}) "
        f"WHERE {its} AND platform = {quoted(NAMELESS)} AND (post_id IN (SELECT post_id FROM "
        f"({named})) OR (regexp_matches(raw_ref, '{LINK}') AND (EXISTS ({named}) "
        f"OR EXISTS (FROM gap WHERE kind = {quoted(LACKING)} AND {its}))) "
        f"OR (regexp_matches(post_id, '{HIDDEN}') "
        "AND seq IN (SELECT seq FROM former_medium) AND seq NOT IN (SELECT n.seq "
        f"FROM former_medium n ANTI JOIN (FROM medium SEMI JOIN ({named}) USING (seq)) m "
        f"ON {same_file})))"
    )
    for table in ("former", "former_medium"):
        spill.run(f"DELETE FROM {table} WHERE seq IN (FROM named)")
    spill.run("DROP TABLE named")


def _unlisted(spill: Spill, its: str, listed: Listed) -> list[str]:
    """Return the marked platforms of an input whose file or dump is not listed."""
    found: set[str] = set()
    there: set[str] = set()
    for batch in spill.batches(
        f"SELECT DISTINCT platform, {FORM}, {FILE} FROM former WHERE {its} "
        f"AND regexp_matches(platform, '{MARKED}') "
        "AND platform NOT IN (SELECT DISTINCT platform FROM post)"
    ):
        for platform, form, file in zip(*(c.to_pylist() for c in batch.columns), strict=True):
            found.add(platform)
            address = listed(file if FORMS[form] == "file" else "")
            if address is not None and marked(form, address) == platform:
                there.add(platform)
    return sorted(found - there)


def of_other_inputs(spill: Spill, input_: str, *, whole: bool) -> None:
    """Tell in `gap` of each post that was read and that `former` has of another input, which.

    The row leaves that input, and its export has the post still. So the gap is of that input, and
    lasts until it is read again; as does one of the file that gave it.

    Args:
        spill: where all of it lies.
        input_: that was read.
        whole: False: what it lacks it may have all the same, as far as it had it before.
    """
    spill.run(
        f"CREATE TABLE twice AS SELECT {KEY}, {', '.join(f'f.{n}' for n in COPY)}, "
        f"{quoted(HAS_TOO)} AS message FROM post JOIN former f USING ({KEY}) "
        f"WHERE f.input <> {quoted(input_)} AND f.state = 'present' AND NOT {lacked('f.')} "
        f"UNION ALL SELECT {KEY}, {', '.join(COPY)}, {quoted(HAS_PART)} FROM behind_others"
    )
    spill.run(
        f"INSERT INTO gap SELECT {quoted(OTHER_INPUT)}, {REF}, NULL, message, 1, input FROM twice"
    )
    spill.run(
        f"INSERT INTO gap SELECT {quoted(DUPLICATE)}, {_file('raw_ref')}, NULL, {quoted(TWICE)}, "
        "count(*), input FROM twice GROUP BY ALL"
    )
    spill.run("INSERT INTO copy BY NAME SELECT * EXCLUDE (message) FROM twice")
    keep_copies(spill, input_, whole=whole)
    if not whole:
        spill.run(
            f"INSERT INTO gap FROM gaps_then WHERE kind = {quoted(OTHER_INPUT)} "
            f"AND input = {quoted(input_)} AND ref NOT IN "
            f"(SELECT {REF} FROM post UNION ALL SELECT {REF} FROM behind_others)"
        )
    for name in ("twice", "behind_others"):
        spill.run(f"DROP TABLE {name}")


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
