"""Joined media of posts enter, in a `Spill`; what a post has twice leaves as one, and other copies.

Each week's zip of 4CAT holds the pictures of all posts that its dataset has: where several zips
lie in one folder, each says that its file is of the post, of addresses that end alike: their hosts
and signatures differ. Files with equal bytes are one medium then, the one that the post names
first, and the others have the status `other-copy`: whoever counts pictures counts one, and a
takedown finds all of them.
"""

# ruff: noqa: S608 - statements are put together of words of this module

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset.post_columns import OTHER_COPY

if TYPE_CHECKING:
    from imgbatch.dataset.spill import Spill

# What an address ends in, without its signature.
NAME = "regexp_extract(source_url, '([^/?#]+)/*([?#].*)?$', 1)"


def keep_one(spill: Spill) -> None:
    """Give all but the first of these media their status, and count anew what each post has.

    Args:
        spill: as `joining.join` has it when `medium` and `found` are those that posts have.
    """
    # Few files are there twice; so no other medium is looked at, of what may be millions.
    twice = "SELECT sha256 FROM source WHERE sha256 <> '' GROUP BY sha256 HAVING count(*) > 1"
    spill.run(
        "CREATE TABLE equal AS SELECT id FROM medium JOIN found USING (id) JOIN source s USING "
        f"(sid) WHERE status <> '{OTHER_COPY}' AND source_url IS NOT NULL AND s.sha256 IN ({twice})"
        " QUALIFY sid <> first_value(sid) "
        f"OVER (PARTITION BY seq, {NAME}, s.sha256 ORDER BY media_idx)"
    )
    spill.run(f"UPDATE medium SET status = '{OTHER_COPY}' WHERE id IN (FROM equal)")
    spill.run(
        "UPDATE counted SET n = counted.n - less.n FROM (SELECT seq, count(*) AS n FROM medium "
        "SEMI JOIN equal USING (id) GROUP BY seq) less WHERE less.seq = counted.seq"
    )
    spill.run("DROP TABLE equal")
