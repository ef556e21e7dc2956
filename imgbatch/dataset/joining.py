"""Media of posts and sources enter, in a `Spill`; which medium is which source leaves.

Levels, in this order; a medium that one of them finds is not asked about by the next:

    metadata   the file that the metadata names, there or under the same name in another archive
    stem       the metadata file is of this post alone, and the medium lies beside it by its name
    basename   the last part of the medium's address is the file's name, or but for its extension
    id         the file's name holds the post's id; several files go to several media by the
               numbers behind it. Of formats in BY_KEY, first: it holds the medium's own id
    hash       the digest that the dump says is that of a source's bytes

Where several files of different content would do, none is taken: a wrong row is worse than none.
Copies of one content count as one file, the first by address.

How far a name is trusted, `reach` says (`imgbatch.posts.telling`): to mean one thing in all inputs,
in that of its dump, or nowhere. Ids in names are compared within their reach; an id that tells
nothing (`17`, `beach`) is found in its own input, by a file that is called so and nothing else.
A file that holds the ids of posts of two platforms is ambiguous.

Decision, 2026-11: a name that tells nothing (`photo.jpg`, `1.jpg`) is joined by basename only
within its input, where one file has it that no other level found, and one address ends in it. Who
keeps a table of URLs and a folder of downloads in one INPUT has called the files so. Drawback:
where that medium was never downloaded and a foreign file of its name lies there, it is taken;
`joined_by` tells which rows to look at. And of downloads in another INPUT it finds none.
Decision, 2026-11: files without a number behind the id (ID.jpg beside ID_1.jpg, ID-aaa.jpg beside
ID-bbb.jpg) are in no order, and ambiguous where a post has several. Drawback: some of them are in
the order of their names, which nobody says.
"""

# ruff: noqa: S608 - statements are put together of the words of this module

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset import MANIFEST, SOURCES
from imgbatch.dataset.post_columns import OTHER_COPY
from imgbatch.platforms import MARKED, unmarked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.spill import Spill

# Of a medium: the address that its path means, that path inside its archive, what stands before
# the extension of its metadata file, the last part of its address, that without extension, what
# tells that address from others with the same end, and how far the end's name is trusted.
KEYS = pa.schema(
    [
        ("id", pa.int64()),
        *(
            (name, pa.string())
            for name in ("file", "name", "inner", "stem", "base", "leaf", "spot")
        ),
        ("reach", pa.int8()),
    ]
)
# Of a source, the same in its own names; `media`: its outcome is that of a picture or video.
SOURCE = pa.schema(
    [
        ("sid", pa.int64()),
        *(
            (name, pa.string())
            for name in ("source_id", "version", "input", "address", "kind", "sha256")
        ),
        *((name, pa.string()) for name in ("name", "inner", "noext", "base", "leaf")),
        ("media", pa.bool_()),
    ]
)
# The id of a post that a source's name may hold, the number behind it, how far it is trusted, and
# of which format's posts alone; None: of any.
SOURCE_IDS = pa.schema(
    [
        ("sid", pa.int64()),
        ("post_id", pa.string()),
        ("place", pa.int32()),
        ("reach", pa.int8()),
        ("dump", pa.string()),
    ]
)
OUTCOME = pa.schema(
    [(n, pa.string()) for n in ("source_id", "version", "kind", "status", "sha256")]
)
LISTED = pa.schema([(name, pa.string()) for name in ("source_id", "version", "input", "address")])
# Formats that put into the names of files what `media_key` says.
BY_KEY = ("yt-dlp",)
NOWHERE, INPUT, ANYWHERE = 0, 1, 2
FAR = f"m.reach = {ANYWHERE}"
NEAR = f"m.reach = {INPUT} AND m.input = s.input"
FREE = f"(m.reach > {NOWHERE} OR s.sid NOT IN (SELECT sid FROM found))"
ALIKE = "(m.kind = s.kind OR m.kind NOT IN ('image', 'video'))"
# A path that was said otherwise when it was read, and was found by the name that it ends in.
RESOLVED = "coalesce(was_by = 'basename' AND starts_with(spot, '//'), false)"
LEVELS = (
    ("metadata", "m.name = s.name"),
    ("metadata", "m.inner = s.inner AND m.input = s.input"),
    ("stem", "m.alone AND m.stem = s.name AND s.media"),
    ("stem", f"m.alone AND m.stem = s.noext AND m.n = 1 AND s.media AND {ALIKE}"),
    ("stem", f"m.alone AND m.stem || '_' || (m.media_idx + 1) = s.noext AND s.media AND {ALIKE}"),
    ("basename", f"NOT m.common AND m.base = s.base AND m.input = s.input AND s.media AND {FREE}"),
    ("basename", f"NOT m.common AND m.base = s.base AND s.media AND {FAR}"),
    ("basename", f"NOT m.common AND m.leaf = s.leaf AND s.media AND {ALIKE} AND ({NEAR} OR {FAR})"),
    ("key", ""),
    ("id", ""),
    ("hash", "m.sha256 = s.sha256"),
)


def bring_sources(
    spill: Spill,
    dataset: Dataset,
    named: Callable[[pa.Table], pa.Table],
    ids: Callable[[pa.Table, Sequence[str]], pa.Table],
) -> None:
    """Make tables `source` and `source_ids` of a manifest and its outcomes.

    Args:
        spill: where they are made; with posts in the tables `post` and `gone_read`.
        dataset: whose sources.
        named: see `Gathered.join`.
        ids: the same, of such rows and of the platforms that posts are of.
    """
    spill.fill("listed", LISTED, dataset.batches(MANIFEST, columns=LISTED.names))
    spill.fill("outcome", OUTCOME, dataset.batches(SOURCES, columns=OUTCOME.names))
    spill.run(
        "CREATE TABLE known AS SELECT row_number() OVER () AS sid, * FROM listed "
        "JOIN outcome USING (source_id, version)"
    )
    spill.run("DROP TABLE listed")
    spill.run("DROP TABLE outcome")
    spill.fill("source", SOURCE, each(spill.batches("FROM known"), named))
    media = "FROM known WHERE status = 'ok' OR (status = 'failed' AND kind IN ('image', 'video'))"
    posts = "SELECT platform FROM post UNION SELECT platform FROM gone_read"
    told = spill.read(posts)["platform"].to_pylist()
    # A pseudonym is the same whatever file its id counts within.
    platforms = sorted(set(map(unmarked, told)))
    spill.fill("source_ids", SOURCE_IDS, each(spill.batches(media), lambda t: ids(t, platforms)))
    spill.run("DROP TABLE known")


def each(
    batches: Iterable[pa.RecordBatch], made: Callable[[pa.Table], pa.Table]
) -> Iterator[pa.RecordBatch]:
    """Yield what is made of each batch."""
    for batch in batches:
        yield from made(pa.Table.from_batches([batch])).to_batches()


def join(spill: Spill, settle: Callable[[Spill], None]) -> None:
    """Make table `joined` of tables bearer, medium, keys, source and source_ids: see MEDIA.

    And table `counted`: of each post with media, how many it has.

    Args:
        spill: where they lie; `bearer` has posts, and other copies of them.
        settle: makes of `medium` and `found` those that the posts have.
    """
    _open(spill)
    for level, condition in LEVELS:
        if condition:
            _try(spill, condition)
        elif level == "key":
            _try_keys(spill)
        else:
            _try_ids(spill)
        said = "id" if level == "key" else level
        spill.run(f"INSERT INTO found SELECT id, sid, '{said}' FROM tried WHERE n = 1")
        spill.run("INSERT INTO vague SELECT id FROM tried WHERE n > 1")
        spill.run("DELETE FROM undone WHERE id IN (SELECT id FROM tried WHERE n = 1)")
    settle(spill)
    _close(spill)


def _open(spill: Spill) -> None:
    """Make the table of media that are to be found, with all that is known of them."""
    # Of one post alone: what its metadata file is called says something of its media.
    spill.run(
        "CREATE TABLE alone AS SELECT input, regexp_replace(raw_ref, ':[0-9]+$', '') AS file "
        "FROM bearer WHERE raw_ref <> '' GROUP BY ALL HAVING count(*) = 1"
    )
    # Many addresses end alike, such as /ID/720.mp4: such an end names no file.
    spill.run(
        "CREATE TABLE alike AS SELECT base FROM keys WHERE base IS NOT NULL "
        "GROUP BY base HAVING count(DISTINCT spot) > 1"
    )
    # Of copies of a post one speaks, that which has most of them: signed addresses are others in
    # each export.
    spill.run(
        f"CREATE TABLE spoken AS SELECT DISTINCT base, spot, {RESOLVED} AS resolved FROM "
        "(SELECT base, winner, seq, spot, was_by FROM keys "
        "SEMI JOIN alike USING (base) JOIN medium USING (id)) SEMI JOIN (SELECT base, winner, "
        "arg_max(seq, 2 * n + (seq = winner)::INTEGER) AS seq FROM (SELECT base, winner, seq, "
        "count(DISTINCT spot) AS n FROM keys SEMI JOIN alike USING (base) JOIN medium USING (id) "
        "GROUP BY ALL) GROUP BY ALL) USING (base, winner, seq)"
    )
    # Which folder it was said in is not known any more: it may be any address that it ends in.
    spill.run(
        "CREATE TABLE common AS SELECT base FROM spoken s ANTI JOIN "
        "(FROM spoken WHERE NOT resolved) o ON s.resolved AND o.base = s.base "
        "AND ends_with(s.spot, '/' || regexp_replace(o.spot, '^([.]{0,2}/)+', '')) "
        "GROUP BY base HAVING count(DISTINCT CASE WHEN NOT resolved THEN spot ELSE '' END) > 1"
    )
    spill.run("DROP TABLE alike")
    spill.run("DROP TABLE spoken")
    spill.run("CREATE TABLE counted AS SELECT seq, count(*) AS n FROM medium GROUP BY seq")
    spill.run(
        "CREATE TABLE undone AS SELECT m.id, seq, m.post_id, media_key, media_idx, kind, m.input, "
        "sha256, k.name, k.inner, k.stem, k.base, k.leaf, k.reach, c.base IS NOT NULL AS common, "
        "a.file IS NOT NULL AS alone, n FROM medium m JOIN counted USING (seq) "
        "JOIN keys k USING (id) LEFT JOIN common c ON k.base = c.base "
        "LEFT JOIN alone a ON a.file = k.file AND a.input = m.input"
    )
    spill.run("CREATE TABLE found (id BIGINT, sid BIGINT, level VARCHAR)")
    spill.run("CREATE TABLE vague (id BIGINT)")


def _try(spill: Spill, condition: str) -> None:
    spill.run(
        "CREATE OR REPLACE TABLE tried AS SELECT m.id, arg_min(s.sid, s.name) AS sid, "
        "count(DISTINCT coalesce(s.sha256, s.source_id)) AS n "
        f"FROM undone m JOIN source s ON {condition} GROUP BY m.id"
    )


def _try_keys(spill: Spill) -> None:
    """Find the files that hold a medium's own id, where it is not the post's."""
    forms = ", ".join(f"'{form}'" for form in BY_KEY)
    spill.run(
        "CREATE OR REPLACE TABLE tried AS SELECT m.id, arg_min(s.sid, s.name) AS sid, "
        "count(DISTINCT coalesce(s.sha256, s.source_id)) AS n FROM undone m "
        f"JOIN (SELECT seq, dump FROM bearer WHERE dump IN ({forms})) p USING (seq) "
        "JOIN source_ids i ON i.post_id = m.media_key AND m.media_key <> m.post_id "
        f"JOIN source s ON s.sid = i.sid AND {ALIKE} "
        f"WHERE (i.reach = {ANYWHERE} OR s.input = m.input) "
        "AND (i.dump IS NULL OR i.dump = p.dump) GROUP BY m.id"
    )


def _try_ids(spill: Spill) -> None:
    """Give the files that hold a post's id to those of its media that have none yet, in order.

    Only where there are as many of one kind as of the other, and where the order is known.
    """
    spill.run(
        "CREATE TABLE claim AS SELECT p.seq, platform, sid, s.name, s.kind, "
        "coalesce(s.sha256, s.source_id) AS content, min(place) AS place "
        "FROM bearer p SEMI JOIN counted USING (seq) JOIN source_ids i USING (post_id) "
        f"JOIN source s USING (sid) WHERE (i.reach = {ANYWHERE} OR s.input = p.input) "
        "AND (i.dump IS NULL OR i.dump = p.dump) "
        # Post 1 of a table is not what another input calls 1.
        f"AND (s.input = p.input OR NOT regexp_matches(p.platform, '{MARKED}')) GROUP BY ALL"
    )
    spill.run(
        "CREATE TABLE contested AS SELECT sid FROM claim "
        "GROUP BY sid HAVING count(DISTINCT platform) > 1"
    )
    spill.run(
        "CREATE TABLE held AS SELECT seq, kind, arg_min(sid, name) AS sid, min(place) AS place, "
        "bool_or(sid IN (FROM contested)) AS contested FROM claim c "
        "ANTI JOIN (SELECT seq, sid FROM found JOIN medium USING (id)) t "
        "ON c.seq = t.seq AND c.sid = t.sid "
        "WHERE seq IN (SELECT seq FROM undone) GROUP BY seq, kind, content"
    )
    spill.run(
        "CREATE TABLE sure AS SELECT seq, kind, count(*) AS n, NOT bool_or(contested) "
        "AND (count(*) = 1 OR count(DISTINCT place) = count(*)) AS ordered "
        "FROM held GROUP BY seq, kind"
    )
    turns = "PARTITION BY seq, kind"
    spill.run(
        "CREATE OR REPLACE TABLE tried AS SELECT o.id, any_value(h.sid) AS sid, "
        "CASE WHEN any_value(o.n) = any_value(u.n) AND any_value(u.ordered) THEN 1 ELSE 2 END AS n "
        f"FROM (SELECT id, seq, kind, row_number() OVER ({turns} ORDER BY media_idx) AS turn, "
        f"count(*) OVER ({turns}) AS n FROM undone) o "
        f"JOIN (SELECT seq, kind, sid, row_number() OVER ({turns} ORDER BY place, sid) AS turn "
        "FROM held) h USING (seq, kind, turn) JOIN sure u USING (seq, kind) GROUP BY o.id"
    )


def _close(spill: Spill) -> None:
    spill.run(
        "INSERT INTO vague SELECT m.id FROM undone m SEMI JOIN source s "
        "ON m.common AND m.base = s.base AND s.media"
    )
    spill.run(
        "CREATE TABLE joined AS SELECT m.* EXCLUDE (id, seq, winner, status), "
        f"CASE WHEN m.status = '{OTHER_COPY}' THEN m.status "
        "WHEN s.sid IS NOT NULL THEN 'matched' WHEN m.status <> '' THEN m.status "
        "WHEN v.id IS NOT NULL THEN 'ambiguous' WHEN local_path IS NOT NULL THEN 'missing' "
        "WHEN source_url IS NOT NULL THEN 'linked' ELSE 'missing' END AS status, "
        "coalesce(f.level, '') AS joined_by, s.source_id, s.version "
        "FROM medium m LEFT JOIN found f USING (id) LEFT JOIN source s USING (sid) "
        "LEFT JOIN (SELECT DISTINCT id FROM vague) v ON v.id = m.id"
    )
