"""Tables that are made, written as a dataset whose parts hold them in any order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from imgbatch.dataset import MANIFEST, Dataset, groups, manifest
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.parts import put_table
from imgbatch.grouping import Wish, group
from imgbatch.settings import Limits
from tests.groupers.made import keys, lists

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SIZE = 150


def dataset(
    folder: Path,
    tables: Mapping[str, pa.Table],
    *,
    parts: int = 3,
    seed: int = 0,
    fingerprint: str = "0123abcd",
) -> Dataset:
    """Make a dataset, or give one that is there new parts in place of all that it has."""
    made = Dataset.create(str(folder))
    made.table(MANIFEST).create(manifest.SCHEMA, fence=0, run="create")
    run = f"test-{seed}-{parts}"
    number = take_number(made, run)
    for name, rows in tables.items():
        table = made.table(f"tables/{name}")
        table.create(rows.schema, fence=number, run=run)
        order = np.random.default_rng(seed).permutation(rows.num_rows)
        held = []
        for at, places in enumerate(np.array_split(order, parts)):
            stem = f"{at:016x}@0-{fingerprint}"
            held.append(put_table(made.store, table.name, stem, rows.take(places), {}))
        table.commit(held, list(table.parts().values()), fence=number, run=run)
    return made


def label(made: Dataset, name: str, **settings: Any) -> pa.Table:
    """Group as the command line does, and read the labels back."""
    wish = Wish(made.url, name, settings)
    group(wish, Limits(), say=str)
    made.table(groups.path_of(name)).refresh()
    return groups.read(made, name)


def rows_of(table: str, columns: list[str], count: int = SIZE) -> pa.Table:
    """Return rows as an analyzer's table may have them: a third of them near copies of others."""
    random = np.random.default_rng(5)
    found = keys([f"file:///made/{i}.png" for i in range(count)])
    values = {
        "sha256": pa.array([f"{i % (count - 9):064x}" for i in range(count)]),
        "width": pa.array(random.integers(100, 900, count), pa.int32()),
        "height": pa.array(random.integers(100, 900, count), pa.int32()),
        "size": pa.array(random.integers(10_000, 90_000, count), pa.int64()),
        "frame": pa.array([0] * count, pa.int32()),
        "embedding": lists(_vectors(random, count)),
        "score": pa.array([0.9] * count, pa.float32()),
        "sharpness": pa.array([200.0] * count, pa.float32()),
    }
    values |= {
        name: pa.array([f"{bits:016x}" for bits in _hashes(random, count)])
        for name in ("dhash", "dhash_vertical", "phash")
    }
    if table == "sources":
        del found["picture_id"]
    if table.endswith("_regions"):
        found["region_id"] = pa.array([f"{p}-0" for p in found["picture_id"].to_pylist()])
    status = pa.array(["failed" if i % 50 == 7 else "ok" for i in range(count)])
    return pa.table({**found, "status": status, **{name: values[name] for name in columns}})


def _vectors(random: np.random.Generator, count: int) -> Any:
    middles = random.standard_normal((5, 16))
    found = middles[np.arange(count) % 5] + 0.1 * random.standard_normal((count, 16))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def _hashes(random: np.random.Generator, count: int) -> list[int]:
    bits = random.integers(0, 2**63, count, dtype=np.uint64).tolist()
    return [bits[i] if i % 3 else bits[i // 6] ^ 1 << i % 40 for i in range(count)]
