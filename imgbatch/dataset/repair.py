"""A damaged dataset enters; what is damaged leaves its snapshots, so that a run does it again.

A damaged part of the manifest takes its shard along: its sources are listed anew, as a new shard.
A damaged part of another table is computed again, one of posts is read again from its dump. One of
a table that the run's recipe does not fill leaves, and the shard is no longer in that table. What
lies below a table and is not ours is put aside; a takedown deletes there what names what it takes.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from imgbatch.dataset import MANIFEST, posts
from imgbatch.dataset.verify import verify
from imgbatch.errors import DamageError
from imgbatch.storage import claim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from imgbatch.dataset import Dataset, Part, TableSpec

ASIDE = "set-aside"


@dataclass(frozen=True, slots=True)
class Mended:
    """What was done.

    Attributes:
        parts: the damaged parts that left, to be done again.
        dropped: the damaged parts that left for good: the recipe does not fill their tables.
        aside: the files that were put aside, by their former names.
        by_hand: what is off and no run mends; each line says what does.
    """

    parts: Sequence[Part]
    dropped: Sequence[Part]
    aside: Sequence[str]
    by_hand: Sequence[str] = ()


def mend(
    dataset: Dataset, specs: Sequence[TableSpec], *, run: str, number: Callable[[], int]
) -> Mended:
    """Take all that is damaged out of the snapshots.

    Args:
        dataset: all of it is read.
        specs: the tables that are filled again afterwards.
        run: for the commits.
        number: gives the run's number; only called when there is something to do.

    Raises:
        FencedError: another run took the dataset over.
    """
    aside = _put_records_aside(dataset)
    if not dataset.table(MANIFEST).exists:
        return Mended([], [], aside)
    found = verify(dataset)
    by_table: dict[str, list[Part]] = {}
    for part in found.damaged:
        by_table.setdefault(part.table, []).append(part)
    # First what has a dump read again: once the damaged parts left, nobody would see that any did.
    if any(name in posts.TABLES for name in by_table):
        posts.unsettle(dataset, run=run, number=number())
    # The manifest last: of a shard that is not in it, nobody would find the damaged parts again,
    # and the shard comes back under the same name.
    for name, parts in sorted(by_table.items(), key=lambda item: item[0] == MANIFEST):
        dataset.table(name).commit([], parts, fence=number(), run=run)
    aside += [_put_aside(dataset, name) for name in found.foreign]
    filled = {MANIFEST, *posts.TABLES, *(spec.path for spec in specs)}
    return Mended(
        [part for part in found.damaged if part.table in filled],
        [part for part in found.damaged if part.table not in filled],
        aside,
        found.by_hand,
    )


def _put_records_aside(dataset: Dataset) -> list[str]:
    aside = []
    for name in dataset.run_names():
        try:
            dataset.run_record(name)
        except DamageError:
            aside.append(_put_aside(dataset, name))
    return aside


def _put_aside(dataset: Dataset, name: str) -> str:
    data = dataset.store.get(name)
    aside = f"{ASIDE}/{name}"
    try:
        claim(dataset.store, aside, data)
    except FileExistsError:  # from a former repair, and not the same
        # Its ending stays: a takedown reads a file by that.
        path = PurePosixPath(aside)
        digest = hashlib.sha256(data).hexdigest()[:8]
        dataset.store.put(str(path.with_name(f"{path.stem}.{digest}{path.suffix}")), data)
    dataset.store.delete(name)
    return name
