"""Whether two datasets are equal: same keys, non-floats exact, floats within a tolerance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.types as pt

from imgbatch import analyzers
from imgbatch.dataset import SOURCES, Dataset
from imgbatch.records import analyzer_of

if TYPE_CHECKING:
    from pathlib import Path

KEYS = ["source_id", "version", "frame", "region"]


def rows(dataset: Dataset, name: str) -> list[dict[str, Any]]:
    table = dataset.read(name)
    return table.sort_by(
        [(key, "ascending") for key in KEYS if key in table.column_names]
    ).to_pylist()


def assert_equal(one: Path | str, other: Path | str) -> None:
    """Compare the sources of the manifests, and every table that the last run of `other` filled.

    A recipe that leaves an analyzer out leaves its table in `one` as it was.
    """
    first, second = Dataset.open(str(one)), Dataset.open(str(other))
    names = second.runs()[-1]["tables"]
    ids = ["source_id", "version", "address", "size"]
    listed = [d.read("manifest", columns=ids).sort_by("source_id") for d in (first, second)]
    assert listed[0].equals(listed[1])
    for name in names:
        tolerance = 0.0 if name == SOURCES else analyzers.load(analyzer_of(name)).TOLERANCE
        left, right = rows(first, name), rows(second, name)
        assert len(left) == len(right), f"{name}: {len(left)} rows and {len(right)}"
        schema = first.table(f"tables/{name}").schema()
        for a, b in zip(left, right, strict=True):
            for field in schema:
                assert _same(field.type, a[field.name], b[field.name], tolerance), (
                    name,
                    field,
                    a,
                    b,
                )


def _same(kind: pa.DataType, a: Any, b: Any, tolerance: float) -> bool:
    if pt.is_floating(kind) and a is not None and b is not None:
        return abs(a - b) <= tolerance * max(1.0, abs(a))
    if pt.is_list(kind) and a is not None and b is not None:
        return len(a) == len(b) and all(
            _same(kind.value_type, x, y, tolerance) for x, y in zip(a, b, strict=True)
        )
    return bool(a == b)
