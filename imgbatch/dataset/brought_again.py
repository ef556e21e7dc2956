"""Posts that were forgotten, and that a dump holds still, enter in a `Spill`; their files leave.

A forgotten file is known by its address. In an export that was made anew the same picture lies
elsewhere: in the next week's folder, or in a zip of another name. No tombstone tells whose it is
then, but the dump does. So such posts are joined like all others (`joining`), and get no rows.

    leave_rows(...)  rows that the dataset has of them all the same, among what leaves
    begin(...)       their media among all media, before the join
    take_out(...)    a table `again` of the sources that are theirs, after its levels

Decision, 2026-11: a file is theirs by the very path that is said, or by its place beside the post's
own metadata file. Drawback: what the name of an address tells of, an id, or the same path in
another archive stays, and counts as a file without a post: names that seem to mean one thing, such
as `ProfilePicture.jpg`, may be a stranger's file.
"""

# ruff: noqa: S608 - statements are put together of the words of this module

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset.former import by_link

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

# Posts of which no row is made, in the order of reading; their media are as those of others.
TEXTS = ("platform", "post_id", "input", "dump", "raw_ref")
GONE_ROWS = pa.schema([("seq", pa.int64()), *((name, pa.string()) for name in TEXTS)])
# Their numbers are above those of all posts, read now or before.
ABOVE = 2**41


def leave_rows(spill: Spill) -> None:
    """Move rows of them out of `absent` into `gone_before`.

    What a zip of 4CAT says is of an id may be of one that was forgotten on some platform since.

    Args:
        spill: with these tables and `gone_read`.
    """
    spill.run(
        "INSERT INTO gone_before BY NAME SELECT seq, platform AS stored, post_id AS stored_id, "
        "platform, post_id, state FROM absent SEMI JOIN gone_read USING (platform, post_id) "
        f"WHERE {by_link('absent')}"
    )
    spill.run("DELETE FROM absent WHERE seq IN (SELECT seq FROM gone_before)")


def begin(spill: Spill) -> None:
    """Put their media into `medium`, where all have numbers.

    Args:
        spill: with tables `gone_read`, `gone_media`, and `medium` with `id` and `winner`.
    """
    spill.run(
        "INSERT INTO medium BY NAME SELECT (SELECT coalesce(max(id), 0) FROM medium) "
        "+ row_number() OVER () AS id, "
        # Of copies of a post one speaks.
        "min(seq) OVER (PARTITION BY platform, post_id) AS winner, * FROM gone_media"
    )


def take_out(spill: Spill) -> None:
    """Make table `again` of what was found of them, and leave the rest as if they were not there.

    Args:
        spill: as `joining.join` has it before it settles.
    """
    spill.run(
        "CREATE TABLE again AS SELECT DISTINCT source_id "
        "FROM found f JOIN medium m USING (id) SEMI JOIN gone_read USING (seq) "
        "JOIN keys k USING (id) JOIN source s USING (sid) "
        "WHERE level = 'stem' OR (level = 'metadata' AND k.name = s.name)"
    )
    spill.run("CREATE TABLE theirs AS SELECT id FROM medium SEMI JOIN gone_read USING (seq)")
    for table in ("found", "vague", "undone", "medium"):
        spill.run(f"DELETE FROM {table} WHERE id IN (FROM theirs)")
    spill.run("DELETE FROM counted WHERE seq IN (SELECT seq FROM gone_read)")
    spill.run("DROP TABLE theirs")
