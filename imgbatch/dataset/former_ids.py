"""Posts of before enter, in a `Spill`; those that had another id then have that of today.

Formats know what former versions called the posts that they read (`sources.dumps.posts.Post`), and
rows of before are looked up by that, among those of the same input and format alone: what another
input called its posts is known when that one is read. So a post whose id changed its form is
neither new nor removed, and nothing of it is forgotten.

The same names tell which rows are of posts that were forgotten by their ids of today: these leave.
"""

# ruff: noqa: S608 - statements are put together of words of this module; values are quoted

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

TEXT = pa.string()
# Of each reading of a post that former versions called something else: its number, where and by
# which format it was read, what it was called and is, and whether it is forgotten and left out.
NAME_ROWS = pa.schema(
    [
        ("seq", pa.int64()),
        *((name, TEXT) for name in ("raw_ref", "dump", "was", "had", "platform", "post_id")),
        ("gone", pa.bool_()),
    ]
)
# Tables that have rows of before by their numbers.
THEIRS = ("former", "former_medium")
# Formats and platforms of which posts had other ids in former versions.
GAVE = (
    "dump IN ('4cat', 'fetched', 'gallery-dl', 'yt-dlp') "
    "AND platform IN ('instagram', 'reddit', 'telegramembed', 'x')"
)
BY_FORMER = (
    "posts that this export lacks, whose ids another post may have had in a former version; they "
    "stay until they are forgotten by hand"
)


def rename(spill: Spill, input_: str) -> None:
    """Give posts in `former` the ids that they are read with now; make table `gone_before`.

    That has the rows of posts that are left out, which `former` has no more.

    Args:
        spill: with the tables former, former_medium, post and `called`, of NAME_ROWS.
        input_: that was read.
    """
    # Two may have been one: the row is of that which was read where it was.
    spill.run(
        "CREATE TABLE renamed AS SELECT f.seq, n.platform, n.post_id, n.gone, "
        "f.platform AS stored, f.post_id AS stored_id, f.state FROM former f "
        "JOIN called n ON n.was = f.platform AND n.had = f.post_id AND n.dump = f.dump "
        f"WHERE f.input = {quoted(input_)} AND NOT EXISTS (FROM post p "
        "WHERE p.platform = f.platform AND p.post_id = f.post_id) "
        "QUALIFY row_number() OVER (PARTITION BY f.seq "
        "ORDER BY n.raw_ref = f.raw_ref DESC, n.gone DESC, n.seq DESC) = 1"
    )
    spill.run("DROP TABLE called")
    spill.run(
        "CREATE TABLE gone_before AS SELECT seq, stored, stored_id, platform, post_id, state "
        "FROM renamed WHERE gone"
    )
    # Several were pieces of one post, or another row has its name: that one stays, and what these
    # say was read again with it.
    spill.run(
        "CREATE TABLE further AS SELECT seq FROM gone_before UNION ALL "
        "SELECT seq FROM (SELECT r.seq, f.seq AS other, row_number() OVER ("
        "PARTITION BY r.platform, r.post_id ORDER BY r.state = 'present' DESC, r.seq DESC) AS turn "
        "FROM renamed r LEFT JOIN former f ON f.platform = r.platform AND f.post_id = r.post_id "
        "WHERE NOT r.gone) WHERE other IS NOT NULL OR turn > 1"
    )
    for name in THEIRS:
        spill.run(f"DELETE FROM {name} WHERE seq IN (FROM further)")
        spill.run(
            f"UPDATE {name} SET platform = r.platform, post_id = r.post_id FROM renamed r "
            f"WHERE {name}.seq = r.seq"
        )
    spill.run("DROP TABLE renamed")
    spill.run("DROP TABLE further")


def doubt(spill: Spill) -> None:
    """Make table `unsure`: seq of rows in `absent` whose id may be what another post was called.

    No reading told what such a row is called today. It was called `18abc2x` where another is
    `t3_18abc2x`, `17` where another is `hills/17`, or as a medium that another has: forgotten by
    that id, it would take the other with it.

    Args:
        spill: with the tables absent, former, former_medium, post and medium.
    """
    at = "replace(platform, 'telegramembed', 'telegram') AS at"
    posts = f"SELECT {at}, platform, post_id, regexp_replace(post_id, '^(t[0-9]_|.*/)', '') AS had"
    media = f"SELECT {at}, platform, post_id, media_key AS had"
    spill.run(
        f"CREATE TABLE unsure AS WITH other AS ({posts} FROM former UNION ALL {posts} FROM post "
        f"UNION ALL {media} FROM former_medium UNION ALL {media} FROM medium) "
        f"SELECT DISTINCT a.seq FROM (SELECT *, {at} FROM absent WHERE {GAVE}) a JOIN other o "
        "ON o.at = a.at AND o.had = a.post_id "
        "WHERE o.platform <> a.platform OR o.post_id <> a.post_id"
    )
