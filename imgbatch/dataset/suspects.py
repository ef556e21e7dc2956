"""Files of a dump that may hold posts which were not read enter and leave, in a `Spill`.

    gap    a row of the kind `suspect-file` for each

A file becomes suspect when it gave posts and gives none now, without saying that there are none; it
stays so until it gives posts again, or says that it has none, or is taken away. So does one of
another name that no format reads and that is seen to be broken, unless it was so when its input was
first read; that one stays so as long as it is broken.

Decision, 2026-11: as long as an input has such a file, none of its posts counts as removed. Which
posts it may hold cannot be told: exports overlap, and the next one has other names. Drawback: one
file that nobody mends or takes away keeps all posts of its input; so every run names it.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset.former import FILE
from imgbatch.dataset.post_columns import BROKEN, DUPLICATE, NONE_HERE, SUSPECT
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from imgbatch.dataset.spill import Spill

# So many are named where there is no table.
NAMED = 20
NAMES = pa.schema([("file", pa.string())])
SILENT_FILES = pa.schema([("file", pa.string()), ("other", pa.bool_())])
REMOVALS = "withheld-removals"
# A message of before did not say a file's size.
SIZE = r" \([0-9,]+ bytes\)$"
SILENT = (
    "posts were read of this file, and none are now, and it does not say that there are none: no "
    "post of its input counts as removed until it is whole, or taken away"
)
ELSEWHERE = (
    "posts were read of this file, and the recipe reads its input as another format now: no post "
    "of its input counts as removed until the recipe reads it again, or it is taken away"
)
CAME = (
    "it is broken, and was not when its input was read first: no post of that input counts as "
    "removed until it is whole, or taken away"
)
WITHHELD = (
    "files that may hold posts could not be read (kind suspect-file), so none counts as removed"
)


def _nowhere(_: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Seen:
    """What reading an input came to, beside its posts.

    Attributes:
        there: tells whether a file, by its name in the dump, is listed, or the archive it was in.
        gave: files that gave posts which are not among those taken.
        asked: the formats that the recipe reads its input as; none: those that are found.
        first: whether the input was never read before.
    """

    there: Callable[[str], bool] = _nowhere
    gave: Collection[str] = ()
    asked: Collection[str] = ()
    first: bool = True


@dataclass(frozen=True, slots=True)
class Suspects:
    """Files that may hold posts which were not read: how many, and the first NAMED by name."""

    count: int = 0
    files: tuple[str, ...] = ()


def suspect(spill: Spill, input_: str, seen: Seen) -> Suspects:
    """Tell in `gap` of each file of an input that may hold posts which were not read.

    Args:
        spill: where all of it lies; a table `gave` of the files that gave posts, which leaves, too.
        input_: that was read.
        seen: what of it.

    Returns:
        how many, and the first of them.
    """
    own = quoted(input_)
    spill.add("gave", pa.table([pa.array(sorted(seen.gave), pa.string())], schema=NAMES))
    then = f"FROM gaps_then WHERE input = {own}"
    suspected = f"{then} AND kind = {quoted(SUSPECT)}"
    asked = spill.batches(
        f"SELECT file, bool_or(other) AS other FROM (SELECT DISTINCT {FILE} AS file, "
        f"{_other(seen.asked)} AS other FROM former WHERE input = {own} AND state = 'present' "
        f"UNION ALL SELECT ref, message = {quoted(ELSEWHERE)} {then} AND ref <> '' "
        f"AND (kind = {quoted(DUPLICATE)} OR message IN ({quoted(SILENT)}, {quoted(ELSEWHERE)}))) "
        "WHERE file NOT IN (SELECT file FROM gave) "
        f"AND file NOT IN (SELECT ref FROM gap WHERE kind = {quoted(NONE_HERE)}) "
        "GROUP BY file ORDER BY file"
    )

    def listed(batch: pa.RecordBatch) -> pa.RecordBatch:
        there = pa.array([seen.there(name) for name in batch["file"].to_pylist()], pa.bool_())
        return batch.filter(there)

    spill.fill("silent", SILENT_FILES, map(listed, asked))
    _tell(spill, own, SILENT, "SELECT file FROM silent WHERE NOT other")
    _tell(spill, own, ELSEWHERE, "SELECT file FROM silent WHERE other")
    if not seen.first:
        # What is said of a broken file has its size: as it was then, it holds what it held then.
        broken = f"kind = {quoted(BROKEN)}"
        same = "g.message"
        if not spill.first(f"{then} AND kind = {quoted(REMOVALS)} LIMIT 1"):
            same += f", regexp_replace(g.message, {quoted(SIZE)}, '')"
        known = f"SELECT ref, message {then} AND {broken} AND ref NOT IN (SELECT ref {suspected})"
        _tell(
            spill,
            own,
            CAME,
            f"SELECT DISTINCT ref AS file FROM gap g WHERE {broken} AND NOT EXISTS (FROM ({known}) "
            f"k WHERE k.ref = g.ref AND k.message IN ({same})) "
            "AND ref NOT IN (SELECT file FROM silent)",
        )
    for name in ("silent", "gave"):
        spill.run(f"DROP TABLE {name}")
    found = f"FROM gap WHERE kind = {quoted(SUSPECT)}"
    first = spill.read(f"SELECT ref {found} ORDER BY ref LIMIT {NAMED}")
    count = spill.first(f"SELECT count(*) {found}")
    assert count is not None, "a count is one row"
    return Suspects(int(count[0]), tuple(first["ref"].to_pylist()))


def _other(asked: Collection[str]) -> str:
    """Return the condition that a row was read as a format which the recipe does not read."""
    return f"dump NOT IN ({', '.join(map(quoted, asked))})" if asked else "false"


def _tell(spill: Spill, own: str, why: str, files: str) -> None:
    spill.run(
        f"INSERT INTO gap SELECT {quoted(SUSPECT)}, file, NULL, {quoted(why)}, 1, {own} "
        f"FROM ({files})"
    )
