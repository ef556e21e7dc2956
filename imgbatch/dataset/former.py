"""A dataset enters; its posts of before leave, in a `Spill`, under the platforms of today.

    former          rows of posts, numbered downwards from -1
    former_medium   rows of media, by these numbers; `was` and `was_by`: what they were joined to
    former_copy     rows of their copies, by these numbers
    remarked        seq, stored and stored_id: of the rows that were stored under another platform,
                    by which it was
    gaps_then       rows of gaps

Before ids counted within a file, posts of all tables were of the platform `table`. Each row says
which file it was read from, so what its platform would be now is known, and not guessed. What other
ids formats gave their posts, they know themselves; see `former_ids`.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset import posts
from imgbatch.dataset.post_columns import COPIES, GAPS, MEDIA, POSTS, SCHEMAS, TIME
from imgbatch.dataset.spill import quoted
from imgbatch.platforms import FORMS, NAMELESS, marked

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.spill import Spill

KEY = "platform, post_id"
FILE = "regexp_replace(raw_ref, ':[0-9]+$', '')"
BARE = ", ".join(map(quoted, FORMS))
# Where posts stand that are known by what 4CAT's zips say of their files, and by no more.
LINK = r"(^|/)\.metadata\.json:[0-9]+$"
# Of a medium, what the join says; any other status is what the dump said.
JOINED = ("matched", "missing", "linked", "ambiguous")
MEDIUM = [f for f in SCHEMAS[MEDIA] if f.name not in ("joined_by", "source_id", "version")]
# Of a copy of a post, besides whose it is.
COPY = [f.name for f in SCHEMAS[COPIES] if f.name not in ("platform", "post_id")]


def by_link(post: str) -> str:
    """Return the condition that such a post stands there, or came from there by way of a fetch."""
    bare = f"{post}.dump = 'fetched' AND {post}.author_id IS NULL AND {post}.created_at IS NULL"
    told = f"regexp_matches({post}.raw_ref, '{LINK}') OR ({bare})"
    return f"({post}.platform = {quoted(NAMELESS)} AND ({told}))"


def _numbers(schema: pa.Schema) -> pa.Schema:
    # Times are numbers here: DuckDB would ask which time zone a session is in.
    return pa.schema([f if f.type != TIME else pa.field(f.name, pa.int64()) for f in schema])


THEN = {
    POSTS: _numbers(SCHEMAS[POSTS]),
    MEDIA: SCHEMAS[MEDIA].remove_metadata(),
    COPIES: _numbers(SCHEMAS[COPIES]),
    GAPS: SCHEMAS[GAPS],
}
MARKS = pa.schema([(name, pa.string()) for name in ("input", "form", "file", "platform")])
# Of parts that are read again; rows go into the spill slower than they are read.
AT_ONCE = 4 * 2**20


def remember(spill: Spill, dataset: Dataset) -> None:
    """Make these tables of what is committed.

    Args:
        spill: where they are made, with the tables `post` and `medium` of what was read.
        dataset: whose posts; none where it has none.
    """
    spill.fill("posts_then", THEN[POSTS], _then(dataset, POSTS))
    spill.fill("media_then", THEN[MEDIA], _then(dataset, MEDIA))
    spill.fill("copies_then", THEN[COPIES], _then(dataset, COPIES))
    spill.fill("gaps_then", THEN[GAPS], _then(dataset, GAPS))
    names = ", ".join(f.name for f in SCHEMAS[POSTS])
    spill.run(
        f"CREATE TABLE former AS SELECT -row_number() OVER () AS seq, {names} FROM posts_then"
    )
    columns = ", ".join(_as_told(f.name) for f in MEDIUM)
    spill.run(
        f"CREATE TABLE former_medium AS SELECT seq, {columns}, m.source_id AS was, "
        "m.joined_by AS was_by FROM media_then AS m "
        f"JOIN (SELECT seq, {KEY} FROM former) USING ({KEY})"
    )
    spill.run(
        f"CREATE TABLE former_copy AS SELECT seq, {', '.join(f'c.{n}' for n in COPY)} "
        f"FROM copies_then c JOIN (SELECT seq, {KEY} FROM former) USING ({KEY})"
    )
    for name in ("posts_then", "media_then", "copies_then"):
        spill.run(f"DROP TABLE {name}")
    made = posts.record(dataset) if dataset.table(POSTS).exists else None
    _mark(spill, {name: own["before"] for name, own in made["inputs"].items()} if made else {})


def _then(dataset: Dataset, name: str) -> Iterator[pa.RecordBatch]:
    table = dataset.table(name)
    if not table.exists:
        return
    schema = THEN[name]
    for batch in table.batches(schema.names, at_once=AT_ONCE):
        yield from pa.Table.from_batches([batch]).cast(schema).to_batches()


def _as_told(name: str) -> str:
    if name != "status":
        return f"m.{name}"
    joined = ", ".join(quoted(word) for word in JOINED)
    return f"CASE WHEN m.status IN ({joined}) THEN '' ELSE m.status END AS status"


def _mark(spill: Spill, before: Mapping[str, str]) -> None:
    """Give the posts of all inputs that lack one the mark of the file or dump they were read from.

    Args:
        spill: where they lie.
        before: what stands before the names of each input.
    """
    # Of the format itself: what a column of platforms said is no stand-in.
    bare = f"platform IN ({BARE}) AND platform = dump"
    places = spill.batches(f"SELECT DISTINCT input, dump, {FILE} FROM former WHERE {bare}")
    spill.fill("marks", MARKS, (_marks(rows, before) for rows in places))
    spill.run(
        "CREATE TABLE remarked AS SELECT f.seq, f.platform AS stored, f.post_id AS stored_id, "
        "m.platform, f.post_id "
        f"FROM (SELECT *, {FILE} AS file FROM former WHERE {bare}) f "
        "JOIN marks m ON m.input = f.input AND m.form = f.dump AND m.file = f.file"
    )
    # The same file and id, brought again with its mark: one post, which lies there twice.
    spill.run(
        f"DELETE FROM former WHERE seq IN (SELECT r.seq FROM remarked r JOIN former USING ({KEY}))"
    )
    spill.run("DELETE FROM former_medium WHERE seq NOT IN (SELECT seq FROM former)")
    for name in ("former", "former_medium"):
        spill.run(
            f"UPDATE {name} SET platform = remarked.platform FROM remarked "
            f"WHERE {name}.seq = remarked.seq"
        )
    spill.run("DROP TABLE marks")


def _marks(rows: pa.RecordBatch, before: Mapping[str, str]) -> pa.RecordBatch:
    """Return rows of MARKS for rows of input, format and file."""
    inputs, forms, files = (column.to_pylist() for column in rows.columns)
    found = [
        marked(form, before.get(input_, f"{input_}/") + (file if FORMS[form] == "file" else ""))
        for input_, form, file in zip(inputs, forms, files, strict=True)
    ]
    return pa.record_batch([inputs, forms, files, pa.array(found, pa.string())], schema=MARKS)
