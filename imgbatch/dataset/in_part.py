"""Posts that were read in part only, in a `Spill`, become copies of posts that another input has.

What a browser is shown of a post in a list may lack its text, its time and most of its media.
Within one input the last whole copy stays, see `same_ids`. Of a post that another input has, the
row of that one stays, however much it has itself: a part never says more than what is there.
"""

# ruff: noqa: S608 - statements are put together of names and words of this room; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.copies import BEARER, NAMES
from imgbatch.dataset.former import COPY, KEY
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill


def stand_behind(spill: Spill, input_: str) -> None:
    """Move such posts out of `post` and `medium`; make a table `behind_others` of them.

    Their files come as those of any other copy do; `behind_others` says where they were read.

    Args:
        spill: with the tables post, medium, former, copies, inexact, and `in_part`, the numbers
            of posts.
        input_: that was read.
    """
    spill.run(
        f"CREATE TABLE behind_others AS SELECT p.*, f.seq AS winner FROM "
        f"(SELECT seq, {KEY}, {', '.join(COPY)} FROM post SEMI JOIN in_part USING (seq)) p "
        f"JOIN (SELECT seq, {KEY} FROM former WHERE input <> {quoted(input_)} "
        f"AND state = 'present') f USING ({KEY})"
    )
    spill.run(f"INSERT INTO copies BY NAME SELECT {BEARER}, winner FROM behind_others")
    columns = ", ".join(f"m.{name}" for name in NAMES)
    spill.run(
        f"INSERT INTO inexact BY NAME SELECT m.seq, b.winner, b.raw_ref, {columns} "
        "FROM medium m JOIN behind_others b USING (seq) WHERE m.status = ''"
    )
    for table in ("copies", "inexact"):
        spill.run(
            f"UPDATE {table} SET winner = b.winner FROM behind_others b "
            f"WHERE {table}.winner = b.seq"
        )
    for table in ("post", "medium"):
        spill.run(f"DELETE FROM {table} WHERE seq IN (SELECT seq FROM behind_others)")
    spill.run("DROP TABLE in_part")
