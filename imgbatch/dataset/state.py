"""What a table holds, as a digest; and readers without a lock, under whose hands that changes.

A takedown, and a run whose recipe has posts that are gone forgotten, delete files that a reader's
snapshot still names. What he misses then is no damage, and nothing that a repair mends.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from imgbatch.errors import BusyError, DamageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset import Dataset, Table


def state(table: Table) -> str:
    """Return a digest of the parts that a table holds: whether it is as it was.

    Its Delta version says less: every run tells each table its number by a commit without parts.
    """
    return hashlib.sha256("\n".join(sorted(table.paths().to_pylist())).encode()).hexdigest()[:16]


@contextlib.contextmanager
def unlocked(dataset: Dataset) -> Iterator[None]:
    """Tell damage from what left while it was read.

    Args:
        dataset: of the tables that are read.

    Raises:
        BusyError: a part cannot be read, and one of its tables is not as it was when it was opened.
        DamageError: a part cannot be read, and all tables are as they were.
    """
    try:
        yield
    except DamageError as error:
        changed = [
            table.name
            for table in dataset.opened()
            if state(table) != state(dataset.newest(table.name))
        ]
        if not changed:
            raise
        raise BusyError(
            f"{dataset.url} changed while it was read: {', '.join(changed)}",
            "A takedown or a run went by. Nothing is damaged by that: do the same again.",
        ) from error
