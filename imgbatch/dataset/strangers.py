"""A dataset enters; the folders in it that nothing of ours makes leave.

By folders alone, which a store names in one request, however much lies in them: a dataset may be
the root of a bucket that holds all of a project. Drawback: a single file beside them is not named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imgbatch.dataset import MANIFEST, groups, posts, tombstones

if TYPE_CHECKING:
    from collections.abc import Collection

    from imgbatch.dataset import Dataset

TABLES = "tables"
OURS = {
    *(MANIFEST, TABLES, groups.FOLDER, *posts.TABLES, tombstones.FOLDER),
    *("logs", "runs", "report", "set-aside", "doctor"),
}
SHOWN = 5


def strangers(dataset: Dataset, tables: Collection[str]) -> list[str]:
    """Return a note on folders that are not the dataset's; none where all are.

    Args:
        dataset: to look at.
        tables: names that are known as tables already.
    """
    found = [f"{name}/" for name in dataset.store.folders() if name not in OURS]
    unknown = set(dataset.store.folders(TABLES)).difference(tables)
    if unknown:
        unknown -= set(dataset.tables())
    found += [f"{TABLES}/{name}/" for name in sorted(unknown)]
    more = f" and {len(found) - SHOWN} more" if found[SHOWN:] else ""
    return [f"no part of the dataset: {', '.join(found[:SHOWN])}{more}"] if found else []
