"""A table enters; the files below it that no commit names leave: ours, and those of others."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from imgbatch.dataset.tombstones import names_below

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.dataset import Dataset, Table

# What a run that was killed leaves: never committed, harmless, and taken up by the next one.
OURS = re.compile(
    r"/[0-9a-f]{16}@\d+(-[0-9a-f]{8}){1,2}\.parquet$"
    r"|^groups/[^/]+/(labels\d{5,}@\d+-[^/]+\.parquet$|_files/)"
    r"|^post(s|_media|_gaps)/[0-9a-fx]{2,}-[0-9a-f]{8}\.parquet$"
)


def unnamed(dataset: Dataset, table: Table) -> list[str]:
    """Return the names of a table's files that none of its commits names."""
    named = {f"{table.name}/{path}" for path in table.digests()}
    log = f"{table.name}/_delta_log/"
    # A first run that was killed may not have come to a table yet: no folder, no names.
    found = names_below(dataset.store, table.name)
    return [name for name in found if name not in named and not name.startswith(log)]


def apart(names: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return which of such files a run of ours may have left, and which are of others."""
    ours: list[str] = []
    others: list[str] = []
    for name in names:
        (ours if OURS.search(name) else others).append(name)
    return ours, others
