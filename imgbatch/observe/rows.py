"""The rows of one shard in two states enter; which values differ leaves.

Rows are matched by source, frame and region. Floats are equal within the analyzer's own tolerance,
as in every comparison of datasets.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

if TYPE_CHECKING:
    from collections.abc import Iterable

KEYS = ("source_id", "version", "picture_id", "frame", "region_id", "region")
# A column with more kinds of flips (hashes, messages) is counted and not listed.
KINDS = 200


@dataclass(slots=True)
class Flips:
    """How the values of one column changed.

    Attributes:
        rows: in how many rows.
        kinds: of a column of strings or booleans, rows by (from, to); None when there are too many
            kinds, or for other columns.
    """

    rows: int = 0
    kinds: Counter[tuple[Any, Any]] | None = None

    def add(self, left: pa.ChunkedArray, right: pa.ChunkedArray) -> None:
        """Count rows that differ."""
        first = self.rows == 0
        self.rows += len(left)
        if not (pt.is_string(left.type) or pt.is_boolean(left.type)):
            return
        if first:
            self.kinds = Counter()
        if self.kinds is None:
            return
        pairs = pa.table({"from": left, "to": right}).group_by(["from", "to"])
        for row in pairs.aggregate([([], "count_all")]).to_pylist():
            self.kinds[row["from"], row["to"]] += row["count_all"]
        if len(self.kinds) > KINDS:
            self.kinds = None


@dataclass(slots=True)
class Differences:
    """How the rows of a table differ between two states.

    Attributes:
        added, removed: rows that only the later or only the earlier state has.
        changed: rows of both in which some value differs.
        of_changed: those of them whose source has another version: other bytes, not another
            analysis.
        columns: by name, those in which a value differs.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    of_changed: int = 0
    columns: dict[str, Flips] = field(default_factory=dict)

    def add(self, left: pa.Table, right: pa.Table, tolerance: float) -> None:
        """Count the differences between the rows of a shard in the earlier and the later state."""
        at = pc.index_in(_key(right), value_set=_key(left))
        both = pc.is_valid(at)
        right_both = right.filter(both)
        left_both = left.take(at.filter(both))
        self.added += right.num_rows - right_both.num_rows
        self.removed += left.num_rows - left_both.num_rows
        any_ = pa.chunked_array([pa.repeat(pa.scalar(value=False), right_both.num_rows)])
        for name in _columns(left_both.schema, right_both.schema):
            mask = differ(left_both[name], right_both[name], tolerance)
            if pc.any(mask).as_py():
                any_ = pc.or_(any_, mask)
                flips = self.columns.setdefault(name, Flips())
                flips.add(left_both[name].filter(mask), right_both[name].filter(mask))
        other = pc.and_(any_, pc.not_equal(left_both["version"], right_both["version"]))
        self.changed += pc.sum(any_).as_py() or 0
        self.of_changed += pc.sum(other).as_py() or 0


def _columns(left: pa.Schema, right: pa.Schema) -> Iterable[str]:
    """Return what can be compared: columns of both, of the same type, that are no keys."""
    return [
        column.name
        for column in left
        if column.name not in KEYS
        and column.name in right.names
        and right.field(column.name).type == column.type
    ]


def _key(rows: pa.Table) -> pa.ChunkedArray:
    numbers = [name for name in ("frame", "region") if name in rows.column_names]
    texts = [rows[name].cast(pa.string()) for name in numbers]
    return pc.binary_join_element_wise(rows["source_id"], *texts, "-")


def differ(left: pa.ChunkedArray, right: pa.ChunkedArray, tolerance: float) -> pa.ChunkedArray:
    """Return where two columns of the same length differ; two nulls do not, nor do two NaNs."""
    if pt.is_nested(left.type):
        # Arrow compares no lists element by element.
        return pa.chunked_array(
            [[a != b for a, b in zip(left.to_pylist(), right.to_pylist(), strict=True)]], pa.bool_()
        )
    one_null = pc.xor(pc.is_null(left), pc.is_null(right))
    return pc.or_(one_null, pc.fill_null(_unequal(left, right, tolerance), fill_value=False))


def _unequal(left: pa.ChunkedArray, right: pa.ChunkedArray, tolerance: float) -> pa.ChunkedArray:
    unequal = pc.not_equal(left, right)
    if not pt.is_floating(left.type):
        return unequal
    bound = pc.multiply(pc.max_element_wise(pc.abs(left), 1.0), tolerance)
    near = pc.less_equal(pc.abs(pc.subtract(left, right)), bound)
    both_nan = pc.and_(pc.is_nan(left), pc.is_nan(right))
    return pc.and_(unequal, pc.invert(pc.or_(near, both_nan)))
