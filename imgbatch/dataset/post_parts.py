"""Tables post, joined and gap of a `Spill` enter; the rows of the three tables leave, by part."""

# ruff: noqa: S608 - statements are put together of names and words of this room

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from imgbatch.dataset.post_columns import GAPS, MEDIA, POSTS, SCHEMAS
from imgbatch.dataset.posts import digits_for, digits_of, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.spill import Spill

KEY = "platform, post_id"
PART = "substr(md5({0}), 1, {1:d})"


def rows_by_part(spill: Spill, dataset: Dataset) -> dict[str, Iterator[tuple[str, pa.Table]]]:
    """Return the rows of each table by part: what the part's name begins with, and its rows."""
    counts = {POSTS: "post", MEDIA: "joined", GAPS: "gap"}
    digits = {
        name: digits_for(_count(spill, own), digits_of(dataset, name))
        for name, own in counts.items()
    }
    hashed = "platform || ' ' || post_id"
    posts = ", ".join(f.name for f in SCHEMAS[POSTS] if f.name != "n_media")
    queries = {
        POSTS: f"SELECT {PART.format(hashed, digits[POSTS])} AS part, {posts}, "
        "coalesce(n, 0)::INTEGER AS n_media FROM post LEFT JOIN "
        "(SELECT seq, count(*) AS n FROM medium GROUP BY seq) USING (seq) "
        f"ORDER BY part, {KEY}",
        MEDIA: f"SELECT {PART.format(hashed, digits[MEDIA])} AS part, * FROM joined "
        f"ORDER BY part, {KEY}, media_idx",
        GAPS: f"SELECT {PART.format('kind || ref', digits[GAPS])} AS part, kind, ref, line, "
        "message, sum(count)::BIGINT AS count, input FROM gap "
        "GROUP BY ALL ORDER BY part, kind, ref, line, message, input",
    }
    return {name: _parts(spill, name, query) for name, query in queries.items()}


def _parts(spill: Spill, name: str, query: str) -> Iterator[tuple[str, pa.Table]]:
    schema = pa.schema([pa.field("part", pa.string()), *SCHEMAS[name]])
    held: list[pa.Table] = []
    last = ""
    for batch in spill.batches(query):
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
