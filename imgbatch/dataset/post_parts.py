"""Tables of a `Spill` enter, of posts, media, copies and gaps; their rows leave, by part.

Decision, 2026-11: large tables are sorted a sixteenth at a time. DuckDB sorts on the disk, and the
memory that it takes to merge grows with what is sorted all the same: 3 million posts with their
texts did not fit into 300 MB. Drawback: a large table is read 16 times.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from imgbatch.dataset.post_columns import COPIES, GAPS, MEDIA, POSTS, SCHEMAS
from imgbatch.dataset.posts import digits_for, digits_of, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.spill import Spill

KEY = "platform, post_id"
# Of copies: the order of those of one post.
PLACE = "input, raw_ref, dump, author_id, created_at"
DIGITS = "0123456789abcdef"
COUNTED = "coalesce(n, 0)::INTEGER AS n_media FROM post LEFT JOIN counted USING (seq)"
GAPS_IN_ORDER = (
    "kind, ref, line, message, sum(count)::BIGINT AS count, input FROM gap WHERE {0} "
    "GROUP BY ALL ORDER BY part, kind, ref, line, message, input"
)
# Rows that are sorted in one go.
AT_ONCE = 250_000


def rows_by_part(spill: Spill, dataset: Dataset) -> dict[str, Iterator[tuple[str, pa.Table]]]:
    """Return the rows of each table by part: what the part's name begins with, and its rows."""
    hashed = "md5(platform || ' ' || post_id)"
    posts = ", ".join(f.name for f in SCHEMAS[POSTS] if f.name != "n_media")
    # Of each table where its rows are, what tells its parts apart, and the query of some rows.
    queries = {
        POSTS: (
            "post",
            hashed,
            f"{posts}, {COUNTED} WHERE {{0}} ORDER BY part, {KEY}",
        ),
        MEDIA: ("joined", hashed, f"* FROM joined WHERE {{0}} ORDER BY part, {KEY}, media_idx"),
        COPIES: (
            "copy",
            hashed,
            f"* FROM copy WHERE {{0}} ORDER BY part, {KEY}, {PLACE}",
        ),
        GAPS: ("gap", "md5(kind || ref)", GAPS_IN_ORDER),
    }
    found = {}
    for name, (own, by, query) in queries.items():
        count = _count(spill, own)
        part = f"substr({by}, 1, {digits_for(count, digits_of(dataset, name))}) AS part"
        slices = [f"{by} LIKE '{digit}%'" for digit in DIGITS] if count > AT_ONCE else ["true"]
        asked = [f"SELECT {part}, {query.format(some)}" for some in slices]
        found[name] = _parts(spill, name, asked)
    return found


def _parts(spill: Spill, name: str, asked: list[str]) -> Iterator[tuple[str, pa.Table]]:
    """Yield the rows of a table by part; no part is in two of the queries."""
    schema = pa.schema([pa.field("part", pa.string()), *SCHEMAS[name]])
    held: list[pa.Table] = []
    last = ""
    for batch in itertools.chain.from_iterable(map(spill.batches, asked)):
        rows = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
        for part, some in _cut(rows):
            if held and part != last:
                yield stem_of(last), pa.concat_tables(held)
                held = []
            held.append(some.select(SCHEMAS[name].names))
            last = part
    if held:
        yield stem_of(last), pa.concat_tables(held)


def _count(spill: Spill, table: str) -> int:
    found = spill.first(f"SELECT count(*) FROM {table}")
    assert found is not None, "a count is one row"
    return int(found[0])


def _cut(rows: pa.Table) -> Iterator[tuple[str, pa.Table]]:
    """Yield sorted rows by part."""
    parts = rows["part"].to_numpy(zero_copy_only=False).astype(str)
    names, starts = np.unique(parts, return_index=True)
    ends = np.append(starts[1:], len(parts))
    for name, start, end in zip(names, starts, ends, strict=True):
        yield str(name), rows.slice(start, end - start)
