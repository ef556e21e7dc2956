"""Posts of before enter, in a `Spill`; those that were taken for posts and are none do not leave.

Before version 3 the pages of users and lists that twarc2 writes were read as posts of X, of which
nothing was known but the id. No format reads such a file any more, which is no reason to withhold
removals, and none of what it gave was removed.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.former import FILE
from imgbatch.dataset.post_columns import DUPLICATE
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

# Every post of X has an author and a text, whatever else was asked for.
NO_POST = "dump = 'twarc2' AND author_id IS NULL AND text IS NULL AND n_media = 0"


def drop_mistaken(spill: Spill, input_: str) -> None:
    """Take them out of `former`, and out of `gaps_then` that they came more than once.

    Args:
        spill: where all of it lies.
        input_: that was read; only what is whole and of no format now is looked at.
    """
    its = f"input = {quoted(input_)}"
    unread = f"SELECT ref FROM gap WHERE kind = 'unread' AND line IS NULL AND {its}"
    spill.run(
        f"CREATE TABLE mistaken AS SELECT seq FROM former WHERE {its} AND {NO_POST} "
        f"AND {FILE} IN ({unread})"
    )
    if spill.first("FROM mistaken LIMIT 1"):
        spill.run("DELETE FROM former WHERE seq IN (FROM mistaken)")
        spill.run(
            f"DELETE FROM gaps_then WHERE {its} AND kind = {quoted(DUPLICATE)} "
            f"AND ref IN ({unread})"
        )
    spill.run("DROP TABLE mistaken")
