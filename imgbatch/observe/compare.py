"""A dataset and two of its runs enter; what changed between the states after them leaves.

Only parts that differ are read for differences, shard by shard: a part that both states hold has
the same rows in both. Means and quantiles are of all rows, one column at a time.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from imgbatch import analyzers
from imgbatch.dataset import MANIFEST, SOURCES
from imgbatch.dataset.past import Past, read_former, vacuumed
from imgbatch.observe.rows import KEYS, Differences
from imgbatch.records import analyzer_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from imgbatch.dataset import Dataset, Part, Table

QUANTILES = (0.05, 0.5, 0.95)


def compare(dataset: Dataset, earlier: str, later: str) -> dict[str, Any]:
    """Return what changed from the state after one run to the state after another.

    Args:
        dataset: as it is; former states are read as long as their files are there.
        earlier: a run: its id, the beginning of it, or first, previous, last.
        later: the same.

    Returns:
        runs: the two ids; sources: added, removed, changed; outcomes: by class, sources before and
        after; tables: by name rows before and after, added, removed, changed, of_changed, columns
        (rows, kinds of flips) and drift (by numeric column: count, mean, quantiles).

    Raises:
        SettingsError: no such run.
        DatasetError: files of one of the states are gone.
    """
    past = Past(dataset)
    runs = (past.named(earlier), past.named(later))
    states = {name: _states(dataset, past, name, runs) for name in [MANIFEST, *dataset.tables()]}
    tables = {
        name: _table(dataset, name, pair)
        for name, pair in states.items()
        if name != MANIFEST and any(pair)
    }
    return {
        "runs": runs,
        "sources": _sources(dataset, states[MANIFEST]),
        "outcomes": _outcomes(states[SOURCES]) if SOURCES in states else {},
        "tables": tables,
    }


_Pair = tuple["Table | None", "Table | None"]


def _states(dataset: Dataset, past: Past, name: str, runs: tuple[str, str]) -> _Pair:
    path = dataset.table(name if name == MANIFEST else f"tables/{name}").name
    return past.after(path, runs[0]), past.after(path, runs[1])


def _parts(table: Table | None) -> Mapping[str, Part]:
    return table.parts() if table else {}


def _changed_shards(
    dataset: Dataset, pair: _Pair
) -> Iterator[tuple[pa.Table | None, pa.Table | None]]:
    """Yield the rows of each shard whose parts differ, in both states; None where it has none."""
    left, right = (_parts(table) for table in pair)
    found: dict[str, list[Part | None]] = defaultdict(lambda: [None, None])
    for side, own, other in ((0, left, right), (1, right, left)):
        for path, part in own.items():
            if path not in other:
                found[part.shard][side] = part
    for name in sorted(found):
        yield tuple(part and read_former(dataset, part) for part in found[name])  # type: ignore[misc] # two of them


def _sources(dataset: Dataset, pair: _Pair) -> dict[str, int]:
    """Return how many sources came, left and changed; a source may have moved to another shard."""
    columns = ["source_id", "version"]
    sides: tuple[list[pa.Table], list[pa.Table]] = ([], [])
    for rows in _changed_shards(dataset, pair):
        for side, own in zip(sides, rows, strict=True):
            side.extend([own.select(columns)] if own else [])
    empty = pa.schema([(name, pa.string()) for name in columns]).empty_table()
    left, right = (pa.concat_tables([empty, *side]) for side in sides)
    at = pc.index_in(right["source_id"], value_set=left["source_id"])
    both = pc.is_valid(at)
    versions = left["version"].take(at.filter(both))
    moved = pc.sum(both).as_py() or 0
    return {
        "before": sum(part.rows for part in _parts(pair[0]).values()),
        "after": sum(part.rows for part in _parts(pair[1]).values()),
        "added": right.num_rows - moved,
        "removed": left.num_rows - moved,
        "changed": pc.sum(pc.not_equal(versions, right["version"].filter(both))).as_py() or 0,
    }


def _outcomes(pair: _Pair) -> dict[str, dict[str, list[int]]]:
    """Return sources before and after, by status and class."""
    found: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for side, table in enumerate(pair):
        rows = _read(table, ["status", "error_class"])
        if rows is None:
            continue
        counts = rows.group_by(["status", "error_class"]).aggregate([([], "count_all")])
        for row in counts.to_pylist():
            found[row["status"]][row["error_class"] or "ok"][side] = row["count_all"]
    return {status: dict(sorted(found[status].items())) for status in sorted(found, reverse=True)}


def _read(table: Table | None, columns: Sequence[str]) -> pa.Table | None:
    if table is None or not table.parts():
        return None
    try:
        return table.dataset().to_table(columns=list(columns))
    except FileNotFoundError as error:
        raise vacuumed(str(error)) from error


def _table(dataset: Dataset, name: str, pair: _Pair) -> dict[str, Any]:
    found = Differences()
    tolerance = _tolerance(name)
    for left, right in _changed_shards(dataset, pair):
        if left is None or right is None:
            found.added += right.num_rows if right else 0
            found.removed += left.num_rows if left else 0
        else:
            found.add(left, right, tolerance)
    return {
        "before": sum(part.rows for part in _parts(pair[0]).values()),
        "after": sum(part.rows for part in _parts(pair[1]).values()),
        "added": found.added,
        "removed": found.removed,
        "changed": found.changed,
        "of_changed": found.of_changed,
        "columns": {
            column: {"rows": flips.rows, "kinds": _kinds(flips.kinds)}
            for column, flips in found.columns.items()
        },
        "drift": _drift(pair, None if found.added or found.removed else found.columns),
    }


def _tolerance(name: str) -> float:
    # The table of an analyzer that this imgbatch does not have is compared exactly.
    name = analyzer_of(name)
    return analyzers.load(name).TOLERANCE if name in analyzers.available() else 0.0


def _kinds(kinds: Mapping[tuple[Any, Any], int] | None) -> list[dict[str, Any]] | None:
    if kinds is None:
        return None
    ordered = sorted(kinds.items(), key=lambda item: (-item[1], str(item[0])))
    return [{"from": old, "to": new, "rows": rows} for (old, new), rows in ordered]


def _drift(pair: _Pair, among: Collection[str] | None) -> dict[str, Any]:
    """Return count, mean and quantiles of each numeric column for which they differ.

    Args:
        pair: the table in both states.
        among: only columns in which a value differs, when no row came or left. The same values in
            another order of parts have another sum.
    """
    first, second = pair
    if first is None or second is None:
        return {}
    found = {}
    here = second.schema()
    for column in first.schema():
        numeric = pt.is_integer(column.type) or pt.is_floating(column.type)
        looked = column.name not in KEYS if among is None else column.name in among
        if numeric and looked and column.name in here.names:
            told = [_statistics(_read(table, [column.name])) for table in pair]
            if told[0] != told[1]:
                found[column.name] = {
                    key: [told[0][key], told[1][key]] for key in ("count", "mean", "quantiles")
                }
    return found


def _statistics(rows: pa.Table | None) -> dict[str, Any]:
    values = rows.column(0).drop_null() if rows is not None else pa.chunked_array([], pa.float64())
    if pt.is_floating(values.type):
        values = values.filter(pc.is_finite(values))
    if not len(values):
        return {"count": 0, "mean": None, "quantiles": None}
    quantiles = pc.quantile(values, q=list(QUANTILES)).to_pylist()
    return {"count": len(values), "mean": pc.mean(values).as_py(), "quantiles": quantiles}
