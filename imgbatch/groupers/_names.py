"""Groups by number enter; names leave that the same groups had before, and keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray


def named(
    ids: pa.ChunkedArray, group: NDArray[np.int64], former: pa.Table | None, column: str
) -> pa.Array:
    """Return each row's name of its group.

    A group takes the name that most of its rows had. Where a group has fallen apart the larger part
    keeps its name, and where two have become one the name of the larger stays. A new group is named
    after its row with the smallest id that is no other group's name. Where all of its ids are, the
    one that is named after its smallest gives this name up. No two groups ever have one name.

    Args:
        ids: of the rows, in order.
        group: a number for each row's group; below 0 for none.
        former: the former labels, with the same kind of ids.
        column: of the names in `former`.
    """
    rows = pa.table({"id": ids, "group": group})
    rows = rows.filter(pc.field("group") >= 0)
    names = _kept(rows, former, column) if former is not None else {}
    smallest = rows.group_by("group").aggregate([("id", "min")])
    fresh = dict(zip(smallest["group"].to_pylist(), smallest["id_min"].to_pylist(), strict=True))
    while True:
        taken = set(names.values())
        clash = {number for number, name in fresh.items() if number not in names and name in taken}
        other = _other(rows, clash, taken)
        stuck = {fresh[number] for number in clash.difference(other)}
        if not stuck:
            break
        names = {number: name for number, name in names.items() if name not in stuck}
    whole = fresh | other | names
    numbers = np.fromiter(whole, np.int64, len(whole))
    order = np.argsort(numbers)
    texts = pa.array([*whole.values(), None], pa.string())
    place = np.where(group < 0, len(whole), 0)
    place[group >= 0] = order[np.searchsorted(numbers[order], group[group >= 0])]
    return texts.take(pa.array(place))


def _kept(rows: pa.Table, former: pa.Table, column: str) -> dict[int, str]:
    """Return the names that groups keep."""
    place = pc.index_in(rows["id"], value_set=former[former.column_names[_key(former)]])
    told = rows.append_column("name", former[column].take(place)).drop_null()
    counts = told.group_by(["group", "name"]).aggregate([([], "count_all")])
    order = [("count_all", "descending"), ("name", "ascending"), ("group", "ascending")]
    found: dict[int, str] = {}
    taken: set[str] = set()
    for row in counts.sort_by(order).to_pylist():
        if row["group"] not in found and row["name"] not in taken:
            found[row["group"]] = row["name"]
            taken.add(row["name"])
    return found


def _key(former: pa.Table) -> int:
    """Return which column of former labels is what the rows are known by."""
    names: list[str] = former.column_names
    return next(names.index(k) for k in ("region_id", "picture_id", "source_id") if k in names)


def _other(rows: pa.Table, clash: set[int], taken: set[str]) -> dict[int, str]:
    """Return names for groups whose smallest id is another one's name already."""
    found: dict[int, str] = {}
    some = rows.filter(pc.is_in(rows["group"], value_set=pa.array(sorted(clash), pa.int64())))
    for row in some.sort_by("id").to_pylist():
        if row["group"] not in found and row["id"] not in taken:
            found[row["group"]] = row["id"]
    return found
