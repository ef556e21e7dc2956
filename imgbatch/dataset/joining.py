"""Media of posts and sources enter, in a `Spill`; which medium is which source leaves.

Levels, in this order; a medium that one of them finds is not asked about by the next:

    metadata   the file that the metadata names, there or under the same name in another archive
    stem       the metadata file is of this post alone, and the medium lies beside it by its name
    basename   the last part of the medium's address is the file's name, or but for its extension
    id         the file's name holds the post's id; several files go to several media in order
    hash       the digest that the dump says is that of a source's bytes

Where several files of different content would do, none is taken: a wrong row is worse than none.
Copies of one content count as one file, the first by address.
"""

# ruff: noqa: S608 - statements are put together of the words of this module

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset import MANIFEST, SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.spill import Spill

# Of a medium: the address that its path means, that path inside its archive, what stands before
# the extension of its metadata file, the last part of its address, that without extension, and
# the whole path of that address without extension.
KEYS = pa.schema(
    [
        ("id", pa.int64()),
        *(
            (name, pa.string())
            for name in ("file", "name", "inner", "stem", "base", "leaf", "spot")
        ),
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
SOURCE_IDS = pa.schema([("sid", pa.int64()), ("post_id", pa.string())])
OUTCOME = pa.schema(
    [(n, pa.string()) for n in ("source_id", "version", "kind", "status", "sha256")]
)
LISTED = pa.schema([(name, pa.string()) for name in ("source_id", "version", "input", "address")])
# A shorter name tells nothing: 1.jpg, image.jpg.
TELLING = 6
ALIKE = "(m.kind = s.kind OR m.kind NOT IN ('image', 'video'))"
LEVELS = (
    ("metadata", "m.name = s.name"),
    ("metadata", "m.inner = s.inner AND m.input = s.input"),
    ("stem", "m.alone AND m.stem = s.name AND s.media"),
    ("stem", f"m.alone AND m.stem = s.noext AND m.n = 1 AND s.media AND {ALIKE}"),
    ("stem", f"m.alone AND m.stem || '_' || (m.media_idx + 1) = s.noext AND s.media AND {ALIKE}"),
    ("basename", "NOT m.common AND m.base = s.base AND m.input = s.input AND s.media"),
    ("basename", "NOT m.common AND m.base = s.base AND s.media"),
    (
        "basename",
        f"NOT m.common AND length(m.leaf) >= {TELLING} AND m.leaf = s.leaf AND s.media AND {ALIKE}",
    ),
    ("id", ""),
    ("hash", "m.sha256 = s.sha256"),
)


def bring_sources(
    spill: Spill,
    dataset: Dataset,
    named: Callable[[pa.Table], pa.Table],
    ids: Callable[[pa.Table], pa.Table],
) -> None:
    """Make tables `source` and `source_ids` of a manifest and its outcomes.

    Args:
        spill: where they are made.
        dataset: whose sources.
        named: see `Gathered.join`.
        ids: the same.
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
    spill.fill("source_ids", SOURCE_IDS, each(spill.batches(media), ids))
    spill.run("DROP TABLE known")


def each(
    batches: Iterable[pa.RecordBatch], made: Callable[[pa.Table], pa.Table]
) -> Iterator[pa.RecordBatch]:
    """Yield what is made of each batch."""
    for batch in batches:
        yield from made(pa.Table.from_batches([batch])).to_batches()


def join(spill: Spill) -> None:
    """Make table `joined` of tables post, medium, keys, source and source_ids: see MEDIA."""
    _open(spill)
    for level, condition in LEVELS:
        if condition:
            _try(spill, condition)
        else:
            _try_ids(spill)
        spill.run(f"INSERT INTO found SELECT id, sid, '{level}' FROM tried WHERE n = 1")
        spill.run("INSERT INTO vague SELECT id FROM tried WHERE n > 1")
        spill.run("DELETE FROM undone WHERE id IN (SELECT id FROM tried WHERE n = 1)")
    _close(spill)


def _open(spill: Spill) -> None:
    """Make the table of media that are to be found, with all that is known of them."""
    # Of one post alone: what its metadata file is called says something of its media.
    spill.run(
        "CREATE TABLE alone AS SELECT input, regexp_replace(raw_ref, ':[0-9]+$', '') AS file "
        "FROM post GROUP BY ALL HAVING count(*) = 1"
    )
    # Many addresses end alike, such as /ID/720.mp4: such an end names no file.
    spill.run(
        "CREATE TABLE common AS SELECT base FROM keys WHERE base IS NOT NULL "
        "GROUP BY base HAVING count(DISTINCT spot) > 1"
    )
    spill.run(
        "CREATE TABLE undone AS SELECT m.id, seq, m.post_id, media_idx, kind, m.input, sha256, "
        "k.name, k.inner, k.stem, k.base, k.leaf, c.base IS NOT NULL AS common, "
        "a.file IS NOT NULL AS alone, count(*) OVER (PARTITION BY seq) AS n "
        "FROM medium m JOIN keys k USING (id) LEFT JOIN common c ON k.base = c.base "
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


def _try_ids(spill: Spill) -> None:
    """Give the files that hold a post's id to those of its media that have none yet, in order.

    Only where there are as many of one kind as of the other.
    """
    spill.run(
        "CREATE OR REPLACE TABLE held AS SELECT p.seq, s.kind, arg_min(s.sid, s.name) AS sid, "
        "min(s.base) AS base FROM post p JOIN source_ids i USING (post_id) "
        "JOIN source s USING (sid) "
        "ANTI JOIN (SELECT seq, sid FROM found JOIN medium USING (id)) t "
        "ON p.seq = t.seq AND s.sid = t.sid "
        "WHERE p.seq IN (SELECT seq FROM undone) "
        "GROUP BY p.seq, s.kind, coalesce(s.sha256, s.source_id)"
    )
    turns = "PARTITION BY seq, kind"
    spill.run(
        "CREATE OR REPLACE TABLE tried AS SELECT o.id, any_value(h.sid) AS sid, "
        "CASE WHEN any_value(o.n) = any_value(h.n) THEN 1 ELSE 2 END AS n FROM "
        f"(SELECT id, seq, kind, row_number() OVER ({turns} ORDER BY media_idx) AS turn, "
        f"count(*) OVER ({turns}) AS n FROM undone) o JOIN "
        f"(SELECT seq, kind, sid, row_number() OVER ({turns} ORDER BY length(base), base) AS turn, "
        f"count(*) OVER ({turns}) AS n FROM held) h "
        "ON o.seq = h.seq AND o.kind = h.kind AND o.turn = h.turn GROUP BY o.id"
    )


def _close(spill: Spill) -> None:
    spill.run(
        "INSERT INTO vague SELECT m.id FROM undone m SEMI JOIN source s "
        "ON m.common AND m.base = s.base AND s.media"
    )
    spill.run(
        "CREATE TABLE joined AS SELECT m.* EXCLUDE (id, seq, status), "
        "CASE WHEN s.sid IS NOT NULL THEN 'matched' WHEN m.status <> '' THEN m.status "
        "WHEN v.id IS NOT NULL THEN 'ambiguous' WHEN local_path IS NOT NULL THEN 'missing' "
        "WHEN source_url IS NOT NULL THEN 'linked' ELSE 'missing' END AS status, "
        "coalesce(f.level, '') AS joined_by, s.source_id, s.version "
        "FROM medium m LEFT JOIN found f USING (id) LEFT JOIN source s USING (sid) "
        "LEFT JOIN (SELECT DISTINCT id FROM vague) v ON v.id = m.id"
    )
