"""A dataset, a count and a kind in; hashes of as many pictures that lie nowhere, copies among them.

Run as a process of its own, as `duplicates_made STEP DATASET COUNT`, STEP one of

    natural   bits hang together as those of photographs do; of every tenth picture there is a copy
              that differs in 0 to 19 of 192 bits, every second one turned by a quarter
    equal     one hash for all: the worst that a corpus can hold
    check     after `natural` was grouped: which share of the copies is in the group of its original
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, Dataset, groups, manifest
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.parts import put_table
from imgbatch.groupers import _near
from imgbatch.records import source_id_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

PER_PART = 1000
SEED = 7
# Of photographs the distance of two has a standard deviation of 9.8 bits; of these it has 9.4.
DIMENSIONS = 90
BITS = 192
COPIES = 10
APART = 20
NAMES = ("dhash", "dhash_vertical", "phash")


def main(step: str, url: str, count: int) -> None:
    """Do one step."""
    if step == "check":
        sys.stdout.write(json.dumps({"found": _found(url, count)}) + "\n")
        return
    made = natural(count)[0] if step == "natural" else np.tile(natural(1000)[0][:1], (count, 1))
    _write(Dataset.create(url), made)


def natural(count: int) -> tuple[_near.Codes, NDArray[np.int64], NDArray[np.int64]]:
    """Return codes, and the places of originals and of their copies."""
    random = np.random.default_rng(SEED)
    weights = random.standard_normal((DIMENSIONS, BITS), dtype=np.float32)
    bits = np.concatenate(
        [
            np.packbits(random.standard_normal((n, DIMENSIONS), dtype=np.float32) @ weights > 0, 1)
            for n in _pieces(count, 50_000)
        ]
    )
    number, half = count // COPIES, count // 2
    originals = random.choice(half, number, replace=False)
    copies = half + random.permutation(count - half)[:number]
    flips = np.zeros((number, BITS), bool)
    for row, apart in zip(flips, random.integers(0, APART, number), strict=True):
        row[random.choice(BITS, apart, replace=False)] = True
    bits[copies] = bits[originals] ^ np.packbits(flips, axis=1)
    codes = np.ascontiguousarray(bits).view(np.uint64)
    codes[copies[::2]] = _near.turned(codes[copies[::2]])
    return codes, originals, copies


def _pieces(count: int, size: int) -> list[int]:
    return [min(size, count - start) for start in range(0, count, size)]


def _write(dataset: Dataset, codes: _near.Codes) -> None:
    dataset.table(MANIFEST).create(manifest.SCHEMA, fence=0, run="create")
    number = take_number(dataset, "made")
    hexes = np.char.encode([row.tobytes().hex() for row in codes], "ascii").view("S16")
    columns = hexes.reshape(len(codes), len(NAMES))
    parts: dict[str, list[pa.Table]] = {SOURCES: [], "hashes": []}
    for start in range(0, len(codes), PER_PART):
        ids = [source_id_of(f"file:///made/{i}") for i in range(start, start + PER_PART)]
        keys = {"source_id": ids, "version": ["1-1"] * PER_PART, "status": ["ok"] * PER_PART}
        digests = [f"{i:064x}" for i in range(start, start + PER_PART)]
        facts = {"width": [640] * PER_PART, "height": [480] * PER_PART, "size": [9] * PER_PART}
        parts[SOURCES].append(_narrow({**keys, "sha256": digests, **facts}))
        some = columns[start : start + PER_PART]
        told = {name: [t.decode() for t in some[:, at]] for at, name in enumerate(NAMES)}
        pictures = {"picture_id": [f"{i}-0" for i in ids], "frame": [0] * PER_PART}
        parts["hashes"].append(_narrow({**keys, **pictures, **told}))
    for name, tables in parts.items():
        table = dataset.table(f"tables/{name}")
        table.create(tables[0].schema, fence=number, run="made")
        stems = (f"{at:016x}@0-0123abcd" for at in range(len(tables)))
        held = [
            put_table(dataset.store, table.name, stem, rows, {})
            for stem, rows in zip(stems, tables, strict=True)
        ]
        table.commit(held, [], fence=number, run="made")


def _narrow(columns: dict[str, list[object]]) -> pa.Table:
    """Return columns as a table, whole numbers as small as the real tables have them."""
    rows = pa.table(columns)
    small = {"width": pa.int32(), "height": pa.int32(), "frame": pa.int32()}
    return rows.cast(pa.schema([(f.name, small.get(f.name, f.type)) for f in rows.schema]))


def _found(url: str, count: int) -> float:
    _, originals, copies = natural(count)
    rows = groups.read(Dataset.open(url), "duplicates")
    ids = [
        pa.array([f"{source_id_of(f'file:///made/{i}')}-0" for i in some.tolist()])
        for some in (originals, copies)
    ]
    labels = [
        rows["group_id"].take(pc.index_in(some, value_set=rows["picture_id"])) for some in ids
    ]
    together = pc.sum(pc.fill_null(pc.equal(*labels), fill_value=False)).as_py()
    return float(together / len(originals))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
