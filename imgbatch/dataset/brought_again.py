"""Posts that were forgotten, and that a dump holds still, enter in a `Spill`; their files leave.

A forgotten file is known by its address. In an export that was made anew the same picture lies
elsewhere: in the next week's folder, or in a zip of another name. No tombstone tells whose it is
then, but the dump does. So such posts are joined like all others (`joining`), and get no rows.

    leave_rows(...)  rows that the dataset has of them all the same, among what leaves
    begin(...)       their media among all media, before the join
    take_out(...)    a table `again` of the sources that are theirs, after its levels

Decision, 2026-11: a file is theirs by what means one thing anywhere: the very path that is said,
its place beside the post's own metadata file, the name of its address, the post's id; and so are
files of that name with the same content. Drawback: what a name like `photo.jpg` alone tells of, or
the same path in another archive, stays and counts as a file without a post.
"""

# ruff: noqa: S608 - statements are put together of the words of this module

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset.joining import ANYWHERE

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

# Posts of which no row is made, in the order of reading; their media are as those of others.
TEXTS = ("platform", "post_id", "input", "dump", "raw_ref")
GONE_ROWS = pa.schema([("seq", pa.int64()), *((name, pa.string()) for name in TEXTS)])
# Their numbers are above those of all posts, read now or before.
ABOVE = 2**41


def leave_rows(spill: Spill) -> None:
    """Move rows of them out of `absent` into `gone_before`.

    A post whose platform nobody says may be one that was forgotten on another platform since.

    Args:
        spill: with these tables and `gone_read`.
    """
    spill.run(
        "INSERT INTO gone_before BY NAME SELECT seq, platform AS stored, post_id AS stored_id, "
        "platform, post_id, state FROM absent SEMI JOIN gone_read USING (platform, post_id)"
    )
    spill.run("DELETE FROM absent WHERE seq IN (SELECT seq FROM gone_before)")


def begin(spill: Spill) -> None:
    """Put their media into `medium`, where all have numbers.

    Args:
        spill: with tables `gone_read`, `gone_media`, and `medium` with `id` and `winner`.
    """
    spill.run(
        "INSERT INTO medium BY NAME SELECT (SELECT coalesce(max(id), 0) FROM medium) "
        "+ row_number() OVER () AS id, seq AS winner, * FROM gone_media"
    )


def take_out(spill: Spill) -> None:
    """Make table `again` of what was found of them, and leave the rest as if they were not there.

    Args:
        spill: as `joining.join` has it before it settles.
    """
    told = (
        "SELECT 1 FROM source_ids i WHERE i.sid = f.sid AND i.post_id = m.post_id "
        f"AND i.reach = {ANYWHERE} AND i.dump IS NULL"
    )
    named = f"(level = 'basename' AND k.reach = {ANYWHERE}) OR (level = 'id' AND EXISTS ({told}))"
    spill.run(
        "CREATE TABLE again AS SELECT DISTINCT o.source_id "
        "FROM found f JOIN medium m USING (id) SEMI JOIN gone_read USING (seq) "
        "JOIN keys k USING (id) JOIN source s USING (sid) JOIN source o ON o.sid = s.sid "
        f"OR (({named}) AND o.base = s.base AND o.sha256 = s.sha256) "
        f"WHERE level = 'stem' OR (level = 'metadata' AND k.name = s.name) OR {named}"
    )
    spill.run("CREATE TABLE theirs AS SELECT id FROM medium SEMI JOIN gone_read USING (seq)")
    for table in ("found", "vague", "undone", "medium"):
        spill.run(f"DELETE FROM {table} WHERE id IN (FROM theirs)")
    spill.run("DELETE FROM counted WHERE seq IN (SELECT seq FROM gone_read)")
    spill.run("DROP TABLE theirs")
