"""Posts of before that an export lacks enter, in a `Spill`: those it may hold all the same leave.

    withheld       platform and post_id: they stay, whatever becomes of removed ones
    gap            what is withheld, and why

Decision, 2026-11: what is withheld is withheld by post. A file that gives none of its posts any
more keeps its own alone. A broken one that no format reads may hold whatever the export lacks, but
only what it lacks since then: what was still read beside it is not in there, and leaves when it is
gone. So which posts wait for which broken files is a gap of each, kept until these files change.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset.former import FILE, KEY
from imgbatch.dataset.post_columns import WITHHELD
from imgbatch.dataset.same_ids import REF
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imgbatch.dataset.spill import Spill

GAVE = pa.schema([("dump", pa.string()), ("file", pa.string())])
REMOVALS = "withheld-removals"
SILENT = (
    "posts were read of this file before and none now, and it does not say that there are none; "
    "they stay. Where that is right, take the file away"
)
DOUBTED = (
    "posts that left while a file was broken that may hold them (its row is of the kind "
    "broken-file); they stay until it is read again, or taken away"
)
WAITS = "this export lacks it, and may hold it in a broken file: "


def _nowhere(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading an input came to, beside its posts.

    Attributes:
        there: tells whether a file, by its name in the dump, is listed, or the archive it was in.
        formats: that the input is read as. What another one read of a file is none of this one's.
        gave: formats and files that gave posts which are not among those taken, or that say
            themselves that they have none.
        broken: marks of the files that are broken now, and that no format reads.
        fresh: those of them that were not, or were others, when the input was read last.
    """

    there: Callable[[str], bool] = _nowhere
    formats: Collection[str] = ()
    gave: Collection[tuple[str, str]] = ()
    broken: Collection[str] = ()
    fresh: Collection[str] = ()


def withhold(spill: Spill, input_: str, seen: Seen, *, tell: bool) -> bool:
    """Make `withheld` of posts in `former` that `post` lacks, and tell in `gap` why.

    Args:
        spill: where all of it lies; a table `gave` of the formats and files that gave posts, which
            leaves, and `gaps_then`, too.
        input_: that was read.
        seen: what of it.
        tell: whether what is withheld is counted as such: it would leave otherwise.

    Returns:
        Whether anything of the input is not known to be whole.
    """
    more = list(zip(*seen.gave, strict=True)) or [(), ()]
    spill.add("gave", pa.table([pa.array(told, pa.string()) for told in more], schema=GAVE))
    # What was of an unknown platform is there still, by the platform that is known now.
    named = "platform = 'unknown' AND post_id IN (SELECT post_id FROM post)"
    spill.run(
        f"CREATE TABLE lacking AS SELECT {KEY}, {REF} AS ref, dump, {FILE} AS file "
        f"FROM (FROM former ANTI JOIN post USING ({KEY})) WHERE input = {quoted(input_)} "
        f"AND state = 'present' AND NOT ({named})"
    )
    _silent(spill, seen)
    _doubt(spill, input_, seen)
    waiting = f"SELECT ref FROM gap WHERE kind = {quoted(WITHHELD)} AND input = {quoted(input_)}"
    spill.run(
        f"CREATE TABLE withheld AS SELECT {KEY} FROM lacking "
        f"WHERE file IN (SELECT file FROM silent) OR ref IN ({waiting})"
    )
    if tell:
        own = quoted(input_)
        spill.run(
            f"INSERT INTO gap SELECT {quoted(REMOVALS)}, file, NULL, {quoted(SILENT)}, count(*), "
            f"{own} FROM lacking SEMI JOIN silent USING (file) GROUP BY file"
        )
        spill.run(
            f"INSERT INTO gap SELECT {quoted(REMOVALS)}, '', NULL, {quoted(DOUBTED)}, count(*), "
            f"{own} FROM lacking WHERE ref IN ({waiting}) "
            "AND file NOT IN (SELECT file FROM silent) HAVING count(*) > 0"
        )
    partly = bool(seen.fresh) or spill.first(f"{waiting} UNION ALL SELECT file FROM silent LIMIT 1")
    for name in ("silent", "lacking", "gave"):
        spill.run(f"DROP TABLE {name}")
    return bool(partly)


def _silent(spill: Spill, seen: Seen) -> None:
    """Make `silent` of the files that are there, and of which posts were read, and none now."""
    read = ", ".join(map(quoted, seen.formats)) or "''"
    files = spill.batches(
        "SELECT DISTINCT file FROM lacking l WHERE NOT EXISTS (FROM gave g WHERE g.file = l.file "
        f"AND (g.dump = l.dump OR l.dump NOT IN ({read}))) ORDER BY file"
    )
    names = pa.schema([("file", pa.string())])

    def listed(batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [name for name in batch.column(0).to_pylist() if seen.there(name)]
        return pa.record_batch([pa.array(found, pa.string())], schema=names)

    spill.fill("silent", names, map(listed, files))


def _doubt(spill: Spill, input_: str, seen: Seen) -> None:
    """Tell in `gap` of each post that waits which broken files it waits for, by their marks."""
    own, kind = quoted(input_), quoted(WITHHELD)
    if seen.fresh:
        said = quoted(WAITS + " ".join(sorted(seen.fresh)))
        spill.run(f"INSERT INTO gap SELECT {kind}, ref, NULL, {said}, 1, {own} FROM lacking")
    if seen.broken:
        marks = f"string_split(substr(message, {len(WAITS) + 1}), ' ')"
        still = ", ".join(map(quoted, seen.broken))
        spill.run(
            f"INSERT INTO gap FROM gaps_then WHERE kind = {kind} AND input = {own} "
            f"AND list_has_any({marks}, [{still}]) AND ref IN (SELECT ref FROM lacking)"
        )
