"""Posts that their own input lacks by now, and that another has still: they stay, in a `Spill`.

    held_elsewhere(...)   the condition that another input has a post still
    lacked(...)           the condition that the input of a post's row has it no more
    note_lacked(...)      tell so in `gap`, post by post: as long as its row is of that input

So a post leaves with the last input that had it, whichever its row is of, and in whatever order
they are read; and none is taken for one that has it because it had it once.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.post_columns import ONLY_OTHER_INPUT, OTHER_INPUT
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

# A post as gaps call it.
REF = "platform || ' ' || post_id"
# What the recipe would have taken out, and what it keeps in any case.
LACKS = "this input has the post no more, and another has it; it stays until none has it"
KEEPS = "this input has the post no more, and another has it; the recipe keeps it"


def held_elsewhere(input_: str) -> str:
    """Return the condition that a post is in the export of an input other than this.

    Or in this one in part, while the row is another's.
    """
    return (
        f"{REF} IN (SELECT ref FROM gaps_then WHERE kind = {quoted(OTHER_INPUT)} "
        f"AND input <> {quoted(input_)} UNION ALL "
        f"SELECT ref FROM gap WHERE kind = {quoted(OTHER_INPUT)})"
    )


def lacked(row: str = "", *, leaves: bool = False) -> str:
    """Return the condition that the input of a post's row has it no more.

    Args:
        row: what stands before the row's columns.
        leaves: and that by the recipe it was read with the post stays for another's sake alone.
    """
    message = f" AND message = {quoted(LACKS)}" if leaves else ""
    return (
        f"({row}platform || ' ' || {row}post_id, {row}input) IN (SELECT (ref, input) "
        f"FROM gaps_then WHERE kind = {quoted(ONLY_OTHER_INPUT)}{message})"
    )


def note_lacked(spill: Spill, input_: str, *, keeps: bool, whole: bool) -> None:
    """Tell in `gap` of each post in `absent` that this input lacks and another has.

    Args:
        spill: with the tables absent, gap and gaps_then.
        input_: that was read.
        keeps: the recipe keeps posts that an export lacks.
        whole: False: what it lacks it may have all the same, but for what it lacked before.
    """
    its = f"FROM absent WHERE input = {quoted(input_)} AND state = 'present'"
    if whole:
        spill.run(
            f"INSERT INTO gap SELECT {quoted(ONLY_OTHER_INPUT)}, {REF}, NULL, "
            f"{quoted(KEEPS if keeps else LACKS)}, 1, input {its} AND {held_elsewhere(input_)}"
        )
    else:
        spill.run(
            f"INSERT INTO gap FROM gaps_then WHERE kind = {quoted(ONLY_OTHER_INPUT)} "
            f"AND input = {quoted(input_)} AND ref IN (SELECT {REF} {its})"
        )


def drop_others(spill: Spill) -> None:
    """Take out of `gaps_then` what is told so of posts that left, or whose row is another's now."""
    spill.run(
        f"DELETE FROM gaps_then WHERE kind = {quoted(ONLY_OTHER_INPUT)} AND (ref, input) NOT IN "
        f"(SELECT ({REF}, input) FROM post WHERE state = 'present')"
    )
