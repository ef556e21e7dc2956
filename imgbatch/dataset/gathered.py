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

from imgbatch.dataset import brought_again
from imgbatch.dataset.brought_again import GONE_ROWS
from imgbatch.dataset.copies import BEARER, add_up, changed_media, lend, lend_absent
from imgbatch.dataset.equal_media import keep_one
from imgbatch.dataset.former import BARE, FILE, KEY, MEDIUM, THEN, remember
from imgbatch.dataset.former_ids import BY_FORMER, NAME_ROWS, doubt, rename
from imgbatch.dataset.in_part import stand_behind
from imgbatch.dataset.joining import KEYS, bring_sources, each, join
from imgbatch.dataset.lacked import drop_others, held_elsewhere, lacked, note_lacked
from imgbatch.dataset.mistaken import drop_mistaken
from imgbatch.dataset.post_columns import GAPS, POSTS, SCHEMAS
from imgbatch.dataset.post_parts import rows_by_part
from imgbatch.dataset.same_ids import (
    drop_nameless,
    follow,
    of_other_inputs,
    of_other_tables,
    one_of_each,
)
from imgbatch.dataset.spill import Spill, quoted
from imgbatch.dataset.suspects import REMOVALS, WITHHELD, Seen, Suspects, suspect
from imgbatch.platforms import NAMELESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.copies import Exact
    from imgbatch.dataset.same_ids import Listed

SEQ = pa.field("seq", pa.int64())
POST_ROWS = pa.schema([SEQ, *THEN[POSTS]])
# Of a post as it was read, too: that it is a part of one, by the dump's own word.
READ_ROWS = pa.schema([*POST_ROWS, pa.field("partial", pa.bool_())])
MEDIA_ROWS = pa.schema([SEQ, *MEDIUM])
GAP_ROWS = SCHEMAS[GAPS]
TAKEN = {
    "read": READ_ROWS,
    "media_read": MEDIA_ROWS,
    "gap": GAP_ROWS,
    "called": NAME_ROWS,
    "gone_read": GONE_ROWS,
    "gone_media": MEDIA_ROWS,
}
# What is made anew of all inputs each time; all other gaps are what reading one came to.
OURS = ("unmatched-medium", "unmatched-source")
# Columns in which a post is the same whatever file it was read from.
PLACES = ("seq", "raw_ref", "dump", "input", "state")
# Tables of what was before, and of what becomes of it.
FORMER = ("absent", "former", "former_medium", "former_copy", "remarked", "unsure")
SURE = "seq NOT IN (FROM unsure)"
HELD = "posts that this export lacks and another input has; they stay"
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

    Attributes:
        input: the same.
        counts: what it came to.
        suspects: files that may hold posts which were not read, as `suspect` gave them.
    """

    def __init__(self, dataset: Dataset, input_: str) -> None:
        self._dataset = dataset
        self.input = input_
        self._spill = Spill()
        self.counts = Counts()
        self.suspects = Suspects()
        self._damaged = False
        for name, schema in TAKEN.items():
            self._spill.fill(name, schema, [])

    def close(self) -> None:
        """Remove everything."""
        self._spill.close()

    def take(self, taken: Iterable[pa.Table]) -> None:
        """Take rows as TAKEN has them; `seq` grows in the order of reading."""
        for name, rows in zip(TAKEN, taken, strict=True):
            if rows.num_rows:
                self._spill.add(name, rows)

    def settle(
        self,
        removed: Removed,
        *,
        listed: Listed,
        exact: Exact,
        damage: str = "",
        seen: Seen | None = None,
        pieces: Mapping[str, str] | None = None,
        without: Sequence[str] = (),
    ) -> None:
        """Bring what was read together with what was there.

        Args:
            removed: what becomes of posts of this input that were not read again.
            listed: see `follow`.
            exact: see `imgbatch.dataset.copies`.
            damage: why nothing counts as removed this time; "": no reason is known.
            seen: by this it may not count either; see `suspect`.
            pieces: formats in which posts of the same id are pieces of one: their media add up;
                and how far they go, `file`, `dump`, or "": the folder of the metadata file.
            without: columns that are not to be kept any more, of posts that were not read again.
        """
        self._spill.run(f"CREATE TABLE gave AS SELECT DISTINCT {FILE} AS file FROM read")
        one_of_each(self._spill, pieces or {})
        remember(self._spill, self._dataset)
        rename(self._spill, self.input)
        follow(self._spill, self.input, listed)
        drop_nameless(self._spill, self.input)
        drop_mistaken(self._spill, self.input)
        stand_behind(self._spill, self.input)
        lend(self._spill, self.input, exact)
        self.suspects = suspect(self._spill, self.input, seen or Seen())
        damage = damage or (WITHHELD if self.suspects.count else "")
        self._damaged = bool(damage)
        self._count_changes()
        self._leave_out(without)
        of_other_inputs(self._spill, self.input, whole=not damage)
        self._keep("keep" if damage else removed, whole=not damage)
        of_other_tables(self._spill, self.input, self._say)
        if damage and removed != "keep" and self.counts.absent:
            self._say(REMOVALS, damage, self.counts.absent)

    def _say(self, kind: str, message: str, count: int) -> None:
        row = [[kind], [""], [None], [message], [count], [self.input]]
        self._spill.add("gap", pa.table(row, schema=GAP_ROWS))

    def _count_changes(self) -> None:
        counts = self.counts
        counts.new = self._one(f"SELECT count(*) FROM post ANTI JOIN former USING ({KEY})")
        # Media are compared by what they say.
        besides = (*PLACES, "platform", "post_id", "n_media")
        names = [f.name for f in POST_ROWS if f.name not in besides]
        differ = " OR ".join(f"a.{n} IS DISTINCT FROM b.{n}" for n in names)
        counts.changed = self._one(
            f"SELECT count(*) FROM (SELECT {KEY} FROM post a JOIN former b USING ({KEY}) "
            f"WHERE {differ} OR b.state = 'removed' UNION SELECT {KEY} FROM ({changed_media()}) "
            f"SEMI JOIN former USING ({KEY}))"
        )

    def _leave_out(self, columns: Sequence[str]) -> None:
        if "author_name" in columns:
            # So is a name that stands for an id, which is known by being both.
            self._spill.run(
                "UPDATE former_copy c SET author_id = NULL FROM former f WHERE f.seq = c.seq "
                f"AND c.author_id = f.author_name AND c.input = {quoted(self.input)}"
            )
            self._spill.run(
                "UPDATE former SET author_id = NULL WHERE author_id = author_name "
                f"AND input = {quoted(self.input)}"
            )
        for table, schema in (("former", POST_ROWS), ("former_medium", MEDIA_ROWS)):
            own = [f"{name} = NULL" for name in columns if name in schema.names]
            if own:
                self._spill.run(
                    f"UPDATE {table} SET {', '.join(own)} WHERE input = {quoted(self.input)}"
                )

    def _keep(self, removed: Removed, *, whole: bool) -> None:
        spill, counts = self._spill, self.counts
        spill.run(f"CREATE TABLE absent AS FROM former ANTI JOIN post USING ({KEY})")
        brought_again.leave_rows(spill)
        doubt(spill)
        its = f"input = {quoted(self.input)}"
        counts.absent = self._one(f"SELECT count(*) FROM absent WHERE {its}")
        # A tombstone of a format's name alone would be one of its posts in every file.
        told = f"AND platform NOT IN ({BARE}) AND {SURE}" if removed == "forget" else ""
        spill.run(
            f"CREATE TABLE leaving AS SELECT a.{KEY}, coalesce(stored, a.platform) AS stored, "
            "coalesce(stored_id, a.post_id) AS stored_id, seq, "
            f"state, input FROM (FROM absent WHERE ({its} OR {lacked(leaves=True)}) {told}) a "
            "LEFT JOIN (SELECT seq, stored, stored_id FROM remarked) USING (seq) "
            f"WHERE NOT {held_elsewhere(self.input)}"
        )
        note_lacked(spill, self.input, keeps=removed == "keep", whole=whole)
        leave = self._one(f"SELECT count(*) FROM leaving WHERE {its}")
        unsure = self._one(f"SELECT count(*) FROM absent WHERE {its} AND NOT {SURE}") if told else 0
        if unsure:
            self._say(REMOVALS, BY_FORMER, unsure)
        if removed != "keep" and counts.absent > leave + unsure:
            self._say(REMOVALS, HELD, counts.absent - leave - unsure)
        if removed == "mark":
            counts.removed = self._one("SELECT count(*) FROM leaving WHERE state = 'present'")
            spill.run("UPDATE absent SET state = 'removed' WHERE seq IN (SELECT seq FROM leaving)")
        if removed == "forget":
            counts.removed = self._one("SELECT count(*) FROM leaving")
            counts.absent -= leave
            spill.run("DELETE FROM absent WHERE seq IN (SELECT seq FROM leaving)")
        # What was forgotten before, and has a row still, leaves in any case.
        spill.run("INSERT INTO leaving BY NAME FROM gone_before")
        counts.removed += self._one("SELECT count(*) FROM gone_before")
        spill.run("INSERT INTO post BY NAME FROM absent")
        drop_others(spill)
        spill.run("ALTER TABLE medium ADD COLUMN was_by VARCHAR")
        lend_absent(spill, self.input, whole=whole)
        spill.run(f"DELETE FROM copy WHERE ({KEY}) NOT IN (SELECT {KEY} FROM post)")
        for name in FORMER:
            spill.run(f"DROP TABLE {name}")
        counts.posts = self._one("SELECT count(*) FROM post")

    def leaving(self) -> dict[tuple[str, str], tuple[str, str]]:
        """Return the posts that `settle` took out to be forgotten, or that were before.

        Returns:
            by platform and id as the dataset has them still, those that they would have now.
        """
        # Where removals were withheld, the same posts are kept.
        left = f"SELECT stored, stored_id, {KEY} FROM leaving ANTI JOIN post USING ({KEY})"
        columns = (column.to_pylist() for column in self._spill.read(left).columns)
        return {(was, had): (now, own) for was, had, now, own in zip(*columns, strict=True)}

    def gone_before(self) -> list[tuple[str, str]]:
        """Return those of them that were forgotten before, as the dataset has them still."""
        return _pairs(self._spill.read("SELECT stored, stored_id FROM gone_before"))

    def staying(self) -> list[tuple[str, str]]:
        """Return posts that stay and have the id of one that leaves."""
        left = f"FROM leaving ANTI JOIN post USING ({KEY})"
        told = f"SELECT {KEY} FROM post SEMI JOIN ({left}) USING (post_id)"
        return _pairs(self._spill.read(told))

    def again(self) -> set[str]:
        """Return, after `join`, the sources of posts that were forgotten before, by their ids.

        None of them where the dump is damaged: who else has them is not known then.
        """
        return (
            set() if self._damaged else set(self._spill.read("FROM again")["source_id"].to_pylist())
        )

    def has_untold(self) -> bool:
        """Tell whether it has posts whose platform nobody says."""
        untold = f"input = {quoted(self.input)} AND platform = {quoted(NAMELESS)}"
        return self._spill.first(f"SELECT 1 FROM post WHERE {untold} LIMIT 1") is not None

    def has(self) -> Iterator[pa.RecordBatch]:
        """Yield, after `join`, what present posts have: ids of sources, and metadata files.

        Columns are source_id, input and file; of each row one or the other is null.
        """
        present = "SEMI JOIN (FROM post WHERE state = 'present') p"
        yield from self._spill.batches(
            f"SELECT DISTINCT source_id, NULL AS input, NULL AS file FROM joined {present} "
            f"USING ({KEY}) WHERE source_id IS NOT NULL UNION ALL SELECT DISTINCT NULL, input, "
            f"{FILE} FROM (FROM post WHERE state = 'present') UNION ALL SELECT DISTINCT NULL, "
            f"input, {FILE} FROM copy {present} USING ({KEY})"
        )

    def join(
        self,
        keys: Callable[[pa.Table], pa.Table],
        named: Callable[[pa.Table], pa.Table],
        ids: Callable[[pa.Table, Sequence[str]], pa.Table],
    ) -> None:
        """Join media to the sources of the manifest.

        Args:
            keys: gives rows of KEYS for rows of id, input, raw_ref, local_path, source_url, and
                the path as it was said.
            named: gives rows of SOURCE for rows of sid, source_id, version, input, address, kind,
                status and sha256.
            ids: gives rows of SOURCE_IDS for the same, and for the platforms that posts are of: ids
                of posts that names hold.
        """
        spill = self._spill
        spill.run("ALTER TABLE medium RENAME TO unnumbered")
        spill.run(
            "CREATE TABLE medium AS SELECT row_number() OVER () AS id, * FROM "
            "(SELECT seq AS winner, * FROM unnumbered UNION ALL BY NAME "
            "SELECT * EXCLUDE (raw_ref) FROM spare)"
        )
        spill.run("DROP TABLE unnumbered")
        brought_again.begin(spill)
        bearers = (f"SELECT {BEARER} FROM {table}" for table in ("post", "copies", "gone_read"))
        spill.run(f"CREATE VIEW bearer AS {' UNION ALL '.join(bearers)}")
        asked = (
            "SELECT id, m.input, raw_ref, local_path, source_url, coalesce(said, local_path) "
            "FROM medium m JOIN bearer USING (seq) WHERE gone IS NOT TRUE"
        )
        spill.fill("keys", KEYS, each(spill.batches(asked), keys))
        bring_sources(spill, self._dataset, named, ids)
        join(spill, _settle)
        self._tell_gaps()
        self._count()

    def _tell_gaps(self) -> None:
        own = ", ".join(quoted(kind) for kind in OURS)
        self._spill.run(
            f"INSERT INTO gap FROM gaps_then WHERE input <> {quoted(self.input)} "
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


def _settle(spill: Spill) -> None:
    brought_again.take_out(spill)
    add_up(spill)
    keep_one(spill)


def _pairs(rows: pa.Table) -> list[tuple[str, str]]:
    return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))
