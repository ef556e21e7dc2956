"""Labels lose rows: those of forgotten sources, or all that they have.

leave   rows of forgotten sources go, and what is left of their groups is told anew: how large they
        are, which row is best. A group that is named after one is named after another.
empty   all rows go: of labels that are outdated, on request.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import groups
from imgbatch.dataset.labels import KEYS
from imgbatch.dataset.ordered import in_order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones


class Recount(Protocol):
    """Who knows what groupers' columns say: `imgbatch.recount`, for rooms above this one."""

    def __call__(
        self, dataset: Dataset, made: Mapping[str, Any], labels: pa.Table, lost: pa.Array
    ) -> pa.Table:
        """Return labels whose groups are told as they are without the rows that left.

        Args:
            dataset: whose tables they were made of, as far as these are there.
            made: the record of the labels.
            labels: all rows that stay.
            lost: names of the groups that lost some.

        Returns:
            as many rows of the same keys and columns.
        """


def as_they_are(
    dataset: Dataset,  # noqa: ARG001 - as a recount is called
    made: Mapping[str, Any],  # noqa: ARG001 - the same
    labels: pa.Table,
    lost: pa.Array,  # noqa: ARG001 - the same
) -> pa.Table:
    """Return labels as they are: for whoever has none, or has no grouper to ask."""
    return labels


def leave(
    dataset: Dataset, name: str, stones: Tombstones, recount: Recount, *, run: str, number: int
) -> int:
    """Write labels again without forgotten sources, in rows and in names; return how many left.

    Args:
        dataset: which the labels are of.
        name: as below `groups/`.
        stones: of forgotten sources.
        recount: tells again what is left of groups that lose rows.
        run: who commits.
        number: under which.
    """
    table = dataset.table(groups.path_of(name))
    parts = table.parts()
    if not parts:
        return 0
    rows = groups.read(dataset, name)
    made = groups.record(table) or {}
    column = next(name for name in rows.column_names if name not in KEYS)
    of_gone = stones.of_rows(rows)
    kept = rows.filter(pc.invert(of_gone))
    gone: int = rows.num_rows - kept.num_rows
    if gone:
        lost = pc.unique(rows.filter(of_gone)[column].drop_null())
        kept = recount(dataset, made, kept, lost)
    kept, renamed = _renamed(kept, stones)
    if gone or renamed:
        made["left"] = made.get("left", 0) + gone
        told = {**made, "run": run, "number": number}
        again = groups.write(dataset, table.name, in_order(kept), told)
        said = {groups.SAID: json.dumps({**made, **groups.counted(kept, column)})}
        table.commit(again, list(parts.values()), fence=number, run=run, said=said)
    return gone


def empty(dataset: Dataset, name: str, *, run: str, number: int) -> None:
    """Take all rows out of labels.

    The files that held them are for the caller to delete.

    Args:
        dataset: which the labels are of.
        name: as below `groups/`.
        run: who commits.
        number: under which.
    """
    table = dataset.table(groups.path_of(name))
    parts = list(table.committed().values())
    if parts:
        none = {"rows": 0, "groups": 0, "grouped": 0, "files": []}
        said = {groups.SAID: json.dumps({**(groups.record(table) or {}), **none})}
        table.commit([], parts, fence=number, run=run, said=said)


def _renamed(rows: pa.Table, stones: Tombstones) -> tuple[pa.Table, int]:
    """Name what is named after a forgotten picture after another that has the same name."""
    key = [column for column in KEYS if column in rows.column_names][-1]
    count = 0
    for at, column in enumerate(rows.schema):
        if column.name in KEYS or not pa.types.is_string(column.type):
            continue
        names = pa.chunked_array([pc.unique(rows[column.name]).drop_null()])
        bad = names.filter(stones.among(names)).combine_chunks()
        if not len(bad):
            continue
        some = rows.filter(pc.is_in(rows[column.name], value_set=bad)).sort_by(key)
        taken = set(names.to_pylist())
        other: dict[str, str] = {}
        for name, own in zip(some[column.name].to_pylist(), some[key].to_pylist(), strict=True):
            if own not in taken:
                other.setdefault(name, own)
        place = pc.index_in(rows[column.name], value_set=pa.array(other, pa.string()))
        given = pa.array(other.values(), pa.string()).take(place)
        rows = rows.set_column(at, column, pc.if_else(pc.is_valid(place), given, rows[column.name]))
        count += len(bad)
    return rows, count
