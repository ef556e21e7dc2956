"""Where a post is from: a platform, or what stands for one where ids count within a file or a dump.

A table numbers its rows from 1, and so does the next one: the two posts 1 are two posts. Rows that
name no platform get the name of their format and a mark of the file, or the dump, that their ids
count within: `table-3fa8c1d2`. All that goes by platform and id keeps them apart then.

Decision, 2026-11: what ids count within is known by its address. Drawbacks: the same table under
two inputs, or renamed beside its former self, is two tables, which is counted as a gap (a column
`platform` says that ids count everywhere); and what `retain` took out of a table comes back with
the table's next name, until `retain` runs again; so does what `removed = "forget"` took out, while
it is in the table of that name. A takedown by id holds under any name.
"""

from __future__ import annotations

import hashlib
import re

# Formats with no platform of their own, and what their ids count within.
FORMS = {"table": "file", "img2dataset": "dump", "webdataset": "dump"}
# What the ids of Reddit's submissions and comments begin with.
SUBMISSION, COMMENT = "t3_", "t1_"
# As DuckDB reads it too; the group is the format.
MARKED = rf"^({'|'.join(FORMS)})-[0-9a-f]{{8}}$"
_MARKED = re.compile(MARKED)
# Of posts whose dump says neither which platform they are of nor what would stand for one.
NAMELESS = "unknown"


def marked(form: str, address: str) -> str:
    """Return what stands for the platform of posts whose ids count within what has an address.

    Args:
        form: one of FORMS.
        address: of the file or the dump.
    """
    return f"{form}-{hashlib.sha256(address.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def counts_within(platform: str) -> bool:
    """Tell whether ids of a platform mean a post only within a file or a dump."""
    return unmarked(platform) in FORMS


def unmarked(platform: str) -> str:
    """Return a platform without the mark of a file or dump; any other as it is."""
    found = _MARKED.match(platform)
    return found[1] if found else platform
