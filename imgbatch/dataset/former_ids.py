"""Posts of before enter, in a `Spill`; those that had another id then have that of today.

    gallery-dl   called Reddit's posts by their bare ids, without t3_
    4CAT         called Reddit's submissions and comments so
    yt-dlp       gave each video of X, Reddit and Instagram as a post by the medium's own id, and
                 Telegram's messages by their numbers alone

So a post whose id changed its form is neither new nor removed, and nothing of it is forgotten.
Pseudonyms hide which form an id has: these are known by their metadata file and time.
"""

# ruff: noqa: S608 - statements are put together of words of this module

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.post_columns import HIDDEN
from imgbatch.dataset.spill import quoted

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

PSEUDONYM = quoted(HIDDEN)
FORMS = "('gallery-dl', 'yt-dlp')"
PLATFORMS = "('x', 'reddit', 'instagram', 'telegram')"
SAME_PLATFORM = (
    "(f.platform = p.platform OR (f.platform = 'telegramembed' AND p.platform = 'telegram'))"
)
# Of a former row what its post is called by now.
BARE = (
    "SELECT f.seq, f.platform, coalesce(p.post_id, 't3_' || f.post_id) AS own, false AS same "
    # A comment is one as it is read now.
    "FROM former f LEFT JOIN post p ON p.platform = f.platform AND p.post_id = 't1_' || f.post_id "
    "WHERE f.dump = 'gallery-dl' AND f.platform = 'reddit' "
    f"AND NOT regexp_matches(f.post_id, '^t[0-9]_|' || {PSEUDONYM})"
)
# Of a row whose file is not read now it is not known which of both it is.
BY_ROW = (
    "SELECT f.seq, f.platform, p.post_id, f.raw_ref = p.raw_ref FROM former f "
    "JOIN post p ON p.platform = f.platform AND p.post_id IN ('t1_' || f.post_id, "
    "'t3_' || f.post_id) AND p.input = f.input AND p.dump = f.dump "
    "WHERE f.dump = '4cat' AND f.platform = 'reddit'"
)
BY_MEDIUM = (
    "SELECT f.seq, p.platform, p.post_id, f.raw_ref = p.raw_ref FROM former f "
    f"JOIN medium m ON m.media_key = f.post_id JOIN post p ON p.seq = m.seq AND {SAME_PLATFORM} "
    "AND p.input = f.input AND p.dump = f.dump "
    f"WHERE f.dump = 'yt-dlp' AND p.platform IN {PLATFORMS}"
)
BY_PLACE = (
    "SELECT f.seq, p.platform, p.post_id, true FROM former f JOIN post p ON p.raw_ref = f.raw_ref "
    f"AND p.input = f.input AND p.dump = f.dump AND {SAME_PLATFORM} "
    "AND f.created_at = p.created_at "
    f"WHERE f.dump IN {FORMS} AND p.platform IN {PLATFORMS} "
    f"AND regexp_matches(f.post_id, {PSEUDONYM})"
)


def rename(spill: Spill) -> None:
    """Give posts in `former` the ids that they are read with now, and tell it in `remarked`.

    Args:
        spill: with the tables former, former_medium, remarked, post and medium.
    """
    spill.run(
        f"CREATE TABLE renamed AS SELECT n.*, f.platform AS stored, f.post_id AS stored_id, "
        f"f.state FROM ({BARE} UNION ALL {BY_ROW} UNION ALL {BY_MEDIUM} UNION ALL "
        f"{BY_PLACE}) n "
        "JOIN former f USING (seq) WHERE (n.platform, n.own) <> (f.platform, f.post_id) "
        "QUALIFY row_number() OVER (PARTITION BY seq ORDER BY same DESC, own) = 1"
    )
    # Each video was a post, and another format may have had it by this id: one post, of which
    # other rows lie there.
    spill.run(
        "CREATE TABLE further AS SELECT seq FROM (SELECT r.seq, f.seq AS other, row_number() OVER ("
        "PARTITION BY r.platform, r.own ORDER BY r.state = 'present' DESC, r.seq DESC) AS turn "
        "FROM renamed r LEFT JOIN former f ON f.platform = r.platform AND f.post_id = r.own) "
        "WHERE other IS NOT NULL OR turn > 1"
    )
    for name in ("former", "former_medium", "renamed", "remarked"):
        spill.run(f"DELETE FROM {name} WHERE seq IN (FROM further)")
    for name in ("former", "former_medium"):
        spill.run(
            f"UPDATE {name} SET platform = renamed.platform, post_id = renamed.own FROM renamed "
            f"WHERE {name}.seq = renamed.seq"
        )
    spill.run(
        "INSERT INTO remarked BY NAME "
        "SELECT seq, stored, stored_id, platform, own AS post_id FROM renamed"
    )
    spill.run("DROP TABLE renamed")
    spill.run("DROP TABLE further")
