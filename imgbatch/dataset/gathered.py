"""Posts as they are read, those of before, and sources enter; the rows of the three tables leave.

Everything lies in a `Spill`: memory does not grow with a dump. The order is

    take(...)     posts, media and gaps, as they are read
    settle(...)   what posts with the same id are; those of before that the dump does not hold
    sources(...)  what they may be joined to
    join()        the levels of `imgbatch.dataset.joining`
    rows(...)     by part, in order
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import pyarrow as pa

from imgbatch.dataset.joining import KEYS, bring_sources, each, join
from imgbatch.dataset.post_columns import GAPS, MEDIA, POSTS, SCHEMAS, TIME
from imgbatch.dataset.post_parts import rows_by_part
from imgbatch.dataset.same_ids import (
    KEY,
    follow,
    of_other_inputs,
    of_other_tables,
    one_of_each,
)
from imgbatch.dataset.spill import Spill, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset

SEQ = pa.field("seq", pa.int64())
# Times are numbers here: DuckDB would ask which time zone a session is in.
POST_ROWS = pa.schema(
    [SEQ, *(f if f.type != TIME else pa.field(f.name, pa.int64()) for f in SCHEMAS[POSTS])]
)
MEDIUM = [f for f in SCHEMAS[MEDIA] if f.name not in ("joined_by", "source_id", "version")]
MEDIA_ROWS = pa.schema([SEQ, *MEDIUM])
GAP_ROWS = SCHEMAS[GAPS]
# What is made anew of all inputs each time; all other gaps are what reading one came to.
OURS = ("unmatched-medium", "unmatched-source")
# Of a medium, what the join says; any other status is what the dump said.
JOINED = ("matched", "missing", "linked", "ambiguous")
# Columns in which a post is the same whatever file it was read from.
PLACES = ("seq", "raw_ref", "dump", "input", "state")
# Of parts that are read again; rows go into the spill slower than they are read.
AT_ONCE = 4 * 2**20
Removed = Literal["keep", "mark", "forget"]


@dataclass(slots=True)
class Counts:
    """What a dump came to, as a run's summary says it.

    Attributes:
        posts: rows of that table.
        new, changed: posts that were not there before, or said something else.
        removed: posts that left, or are marked so since this time.
        absent: posts of this input that the dump does not hold any more, and that stay.
        media: rows of that table, by status.
        sources: media sources that no post names.
        gaps: how often, by kind.
    """

    posts: int = 0
    new: int = 0
    changed: int = 0
    removed: int = 0
    absent: int = 0
    media: dict[str, int] = field(default_factory=dict)
    sources: int = 0
    gaps: dict[str, int] = field(default_factory=dict)


class Gathered:
    """Posts of one input, and those of before, on the disk.

    Args:
        input: the root that is read.
    """

    def __init__(self, dataset: Dataset, input_: str) -> None:
        self._dataset = dataset
        self._input = input_
        self._spill = Spill()
        self.counts = Counts()
        for name, schema in (("read", POST_ROWS), ("media_read", MEDIA_ROWS), ("gap", GAP_ROWS)):
            self._spill.fill(name, schema, [])

    def close(self) -> None:
        """Remove everything."""
        self._spill.close()

    def take(self, posts: pa.Table, media: pa.Table, gaps: pa.Table) -> None:
        """Take rows of POST_ROWS, MEDIA_ROWS and GAP_ROWS; `seq` grows in the order of reading."""
        for name, rows in (("read", posts), ("media_read", media), ("gap", gaps)):
            if rows.num_rows:
                self._spill.add(name, rows)

    def settle(
        self, removed: Removed, *, withhold: str = "", pieces: Mapping[str, str] | None = None
    ) -> None:
        """Bring what was read together with what was there.

        Args:
            removed: what becomes of posts of this input that were not read again.
            withhold: why nothing counts as removed this time, however that is; "": it does.
            pieces: formats in which posts of the same id are pieces of one: their media add up;
                and how far they go, `file` or `dump`.
        """
        one_of_each(self._spill, pieces or {}, self._say)
        self._remember()
        follow(self._spill, self._input, whole=not withhold)
        self._count_changes()
        of_other_inputs(self._spill, self._input, self._say)
        self._keep("keep" if withhold else removed)
        of_other_tables(self._spill, self._input, self._say)
        if withhold and removed != "keep" and self.counts.absent:
            self._say("withheld-removals", withhold, self.counts.absent)

    def _say(self, kind: str, message: str, count: int) -> None:
        row = [[kind], [""], [None], [message], [count], [self._input]]
        self._spill.add("gap", pa.table(row, schema=GAP_ROWS))

    def _remember(self) -> None:
        """Bring in the rows that are committed: posts numbered downwards from -1."""
        spill = self._spill
        spill.fill("posts_then", SCHEMAS_THEN[POSTS], self._then(POSTS))
        spill.fill("media_then", SCHEMAS_THEN[MEDIA], self._then(MEDIA))
        names = ", ".join(f.name for f in SCHEMAS[POSTS])
        spill.run(
            f"CREATE TABLE former AS SELECT -row_number() OVER () AS seq, {names} FROM posts_then"
        )
        columns = ", ".join(_as_told(f.name) for f in MEDIUM)
        spill.run(
            f"CREATE TABLE former_medium AS SELECT seq, {columns} FROM media_then AS m "
            f"JOIN (SELECT seq, {KEY} FROM former) USING ({KEY})"
        )
        spill.run("DROP TABLE posts_then")
        spill.run("DROP TABLE media_then")

    def _then(self, name: str) -> Iterator[pa.RecordBatch]:
        table = self._dataset.table(name)
        if not table.exists:
            return
        schema = SCHEMAS_THEN[name]
        for batch in table.batches(schema.names, at_once=AT_ONCE):
            yield from pa.Table.from_batches([batch]).cast(schema).to_batches()

    def _count_changes(self) -> None:
        counts = self.counts
        counts.new = self._one(f"SELECT count(*) FROM post ANTI JOIN former USING ({KEY})")
        names = [f.name for f in POST_ROWS if f.name not in (*PLACES, "platform", "post_id")]
        differ = " OR ".join(f"a.{n} IS DISTINCT FROM b.{n}" for n in names)
        own = ", ".join(f.name for f in MEDIUM if f.name != "input")
        counts.changed = self._one(
            f"SELECT count(*) FROM (SELECT {KEY} FROM post a JOIN former b USING ({KEY}) "
            f"WHERE {differ} OR b.state = 'removed' UNION SELECT {KEY} FROM "
            f"(SELECT {own} FROM medium EXCEPT SELECT {own} FROM former_medium) "
            f"SEMI JOIN former USING ({KEY}))"
        )

    def _keep(self, removed: Removed) -> None:
        spill, counts = self._spill, self.counts
        spill.run(f"CREATE TABLE absent AS FROM former ANTI JOIN post USING ({KEY})")
        its = f"input = {quoted(self._input)}"
        present = self._one(f"SELECT count(*) FROM absent WHERE {its} AND state = 'present'")
        counts.absent = self._one(f"SELECT count(*) FROM absent WHERE {its}")
        spill.run(f"CREATE TABLE leaving AS SELECT {KEY} FROM absent WHERE {its}")
        if removed != "keep":
            counts.removed = present
        if removed == "mark":
            spill.run(f"UPDATE absent SET state = 'removed' WHERE {its}")
        if removed == "forget":
            counts.removed, counts.absent = counts.absent, 0
            spill.run(f"DELETE FROM absent WHERE {its}")
        spill.run("INSERT INTO post BY NAME FROM absent")
        spill.run("INSERT INTO medium BY NAME FROM former_medium SEMI JOIN absent USING (seq)")
        for name in ("absent", "former", "former_medium"):
            spill.run(f"DROP TABLE {name}")
        counts.posts = self._one("SELECT count(*) FROM post")

    def leaving(self) -> list[tuple[str, str]]:
        """Return the posts that `settle` took out to be forgotten, by platform and id."""
        # Where removals were withheld, the same posts are kept.
        return _pairs(self._spill.read(f"FROM leaving ANTI JOIN post USING ({KEY})"))

    def staying(self) -> list[tuple[str, str]]:
        """Return posts that stay and have the id of one that leaves."""
        return _pairs(self._spill.read(f"SELECT {KEY} FROM post SEMI JOIN leaving USING (post_id)"))

    def has(self) -> Iterator[pa.RecordBatch]:
        """Yield, after `join`, what present posts have: ids of sources, and metadata files.

        Columns are source_id, input and file; of each row one or the other is null.
        """
        present = "SEMI JOIN (FROM post WHERE state = 'present') p"
        yield from self._spill.batches(
            f"SELECT DISTINCT source_id, NULL AS input, NULL AS file FROM joined {present} "
            f"USING ({KEY}) WHERE source_id IS NOT NULL UNION ALL SELECT DISTINCT NULL, input, "
            "regexp_replace(raw_ref, ':[0-9]+$', '') FROM post WHERE state = 'present'"
        )

    def join(
        self,
        keys: Callable[[pa.Table], pa.Table],
        named: Callable[[pa.Table], pa.Table],
        ids: Callable[[pa.Table, Sequence[str]], pa.Table],
    ) -> None:
        """Join media to the sources of the manifest.

        Args:
            keys: gives rows of KEYS for rows of id, input, raw_ref, local_path and source_url.
            named: gives rows of SOURCE for rows of sid, source_id, version, input, address, kind,
                status and sha256.
            ids: gives rows of SOURCE_IDS for the same, and for the platforms that posts are of: ids
                of posts that names hold.
        """
        spill = self._spill
        spill.run("ALTER TABLE medium RENAME TO unnumbered")
        spill.run("CREATE TABLE medium AS SELECT row_number() OVER () AS id, * FROM unnumbered")
        spill.run("DROP TABLE unnumbered")
        asked = (
            "SELECT id, m.input, raw_ref, local_path, source_url FROM medium m "
            "JOIN post USING (seq)"
        )
        spill.fill("keys", KEYS, each(spill.batches(asked), keys))
        bring_sources(spill, self._dataset, named, ids)
        join(spill)
        self._tell_gaps()
        self._count()

    def _tell_gaps(self) -> None:
        self._spill.fill("gaps_then", GAP_ROWS, self._gaps_then())
        own = ", ".join(quoted(kind) for kind in OURS)
        self._spill.run(
            f"INSERT INTO gap FROM gaps_then WHERE input <> {quoted(self._input)} "
            f"AND kind NOT IN ({own})"
        )
        self._spill.run(
            "INSERT INTO gap SELECT 'unmatched-medium', platform || ' ' || post_id || ' ' || "
            "media_idx, NULL, status, 1, input FROM joined WHERE source_id IS NULL"
        )
        self._spill.run(
            "INSERT INTO gap SELECT 'unmatched-source', address, NULL, "
            "'no post names this file', 1, input FROM source "
            "ANTI JOIN joined USING (source_id) WHERE media"
        )

    def _gaps_then(self) -> Iterator[pa.RecordBatch]:
        table = self._dataset.table(GAPS)
        return table.batches(GAP_ROWS.names, at_once=AT_ONCE) if table.exists else iter(())

    def _count(self) -> None:
        self.counts.media = self._counted("SELECT status, count(*) FROM joined GROUP BY 1")
        self.counts.gaps = self._counted("SELECT kind, sum(count) FROM gap GROUP BY 1")
        self.counts.sources = self.counts.gaps.get("unmatched-source", 0)

    def _counted(self, query: str) -> dict[str, int]:
        found: Counter[str] = Counter()
        for batch in self._spill.batches(query):
            for name, count in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                found[name] += int(count)
        return dict(found.most_common())

    def _one(self, query: str) -> int:
        found = self._spill.first(query)
        assert found is not None, "a count is one row"
        return int(found[0])

    def rows(self) -> dict[str, Iterator[tuple[str, pa.Table]]]:
        """Return the rows of each table by part: what the part's name begins with, and its rows."""
        return rows_by_part(self._spill, self._dataset)


SCHEMAS_THEN = {
    POSTS: pa.schema([f for f in POST_ROWS if f.name != "seq"]),
    MEDIA: SCHEMAS[MEDIA].remove_metadata(),
}


def _as_told(name: str) -> str:
    if name != "status":
        return f"m.{name}"
    joined = ", ".join(quoted(word) for word in JOINED)
    return f"CASE WHEN m.status IN ({joined}) THEN '' ELSE m.status END AS status"


def _pairs(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
