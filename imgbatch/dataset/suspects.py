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
SILENT = (
    "posts were read of this file, and none are now, and it does not say that there are none: no "
    "post of its input counts as removed until it is whole, or taken away"
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
        first: whether the input was never read before.
    """

    there: Callable[[str], bool] = _nowhere
    gave: Collection[str] = ()
    first: bool = True


def suspect(spill: Spill, input_: str, seen: Seen) -> list[str]:
    """Tell in `gap` of each file of an input that may hold posts which were not read.

    Args:
        spill: where all of it lies; a table `gave` of the files that gave posts, which leaves, too.
        input_: that was read.
        seen: what of it.

    Returns:
        the first NAMED of these files, sorted.
    """
    own = quoted(input_)
    spill.add("gave", pa.table([pa.array(sorted(seen.gave), pa.string())], schema=NAMES))
    then = f"FROM gaps_then WHERE input = {own}"
    suspected = f"{then} AND kind = {quoted(SUSPECT)}"
    asked = spill.batches(
        f"SELECT DISTINCT file FROM (SELECT {FILE} AS file FROM former WHERE input = {own} "
        f"AND state = 'present' UNION ALL SELECT ref {then} AND ref <> '' "
        f"AND (kind = {quoted(DUPLICATE)} OR message = {quoted(SILENT)})) "
        "WHERE file NOT IN (SELECT file FROM gave) "
        f"AND file NOT IN (SELECT ref FROM gap WHERE kind = {quoted(NONE_HERE)}) ORDER BY file"
    )

    def listed(batch: pa.RecordBatch) -> pa.RecordBatch:
        found = [name for name in batch.column(0).to_pylist() if seen.there(name)]
        return pa.record_batch([pa.array(found, pa.string())], schema=NAMES)

    spill.fill("silent", NAMES, map(listed, asked))
    _tell(spill, own, SILENT, "SELECT file FROM silent")
    if not seen.first:
        # What is said of a broken file has its size: as it was then, it holds what it held then.
        broken = f"kind = {quoted(BROKEN)}"
        known = f"SELECT ref, message {then} AND {broken} AND ref NOT IN (SELECT ref {suspected})"
        _tell(
            spill,
            own,
            CAME,
            f"SELECT DISTINCT ref AS file FROM (SELECT ref, message FROM gap WHERE {broken} "
            f"EXCEPT {known}) WHERE ref NOT IN (FROM silent)",
        )
    for name in ("silent", "gave"):
        spill.run(f"DROP TABLE {name}")
    found = spill.read(
        f"SELECT ref FROM gap WHERE kind = {quoted(SUSPECT)} ORDER BY ref LIMIT {NAMED}"
    )
    names: list[str] = found["ref"].to_pylist()
    return names


def _tell(spill: Spill, own: str, why: str, files: str) -> None:
    spill.run(
        f"INSERT INTO gap SELECT {quoted(SUSPECT)}, file, NULL, {quoted(why)}, 1, {own} "
        f"FROM ({files})"
    )
