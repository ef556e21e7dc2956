"""A folder of JPEGs in, Parquet out, through Ray Data: `peer_ray_data images|bytes FOLDER OUT`.

Runs in the peers' environment. `images` is what the documentation shows, `read_images`, which
drops the file's bytes: the header and the SHA-256 take a second look at the file. `bytes` is what
somebody who knows Ray Data well writes: `read_binary_files`, decoded at a reduced scale.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import ray
import ray.data
from peer_facts import (  # type: ignore[import-not-found] # run by path
    decode,
    facts,
    quality,
    shrink,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Of itself Ray Data cuts 4,000 small files into far more blocks: slower in each paired trial.
BLOCKS_PER_CORE = 8


def from_images(batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
    """Return the rows of a batch of decoded pictures."""
    pairs = zip(batch["path"], batch["image"], strict=True)
    return _columns(
        [{"path": p, **facts(Path(p).read_bytes()), **quality(shrink(i))} for p, i in pairs]
    )


def from_bytes(batch: dict[str, NDArray[Any]]) -> dict[str, list[Any]]:
    """Return the rows of a batch of files."""
    pairs = zip(batch["path"], batch["bytes"], strict=True)
    return _columns(
        [{"path": p, **facts(data), **quality(shrink(decode(data)))} for p, data in pairs]
    )


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def main(way: str, folder: str, out: str) -> None:
    """Run one of the two ways; prints how many rows it wrote."""
    ray.init(include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = BLOCKS_PER_CORE * len(os.sched_getaffinity(0))
    if way == "images":
        read = ray.data.read_images(
            folder, include_paths=True, mode="RGB", override_num_blocks=blocks
        )
        rows = read.map_batches(from_images, batch_size=32)
    else:
        read = ray.data.read_binary_files(folder, include_paths=True, override_num_blocks=blocks)
        rows = read.map_batches(from_bytes, batch_size=32)
    rows.write_parquet(out)
    print(json.dumps({"rows": sum(f.count_rows() for f in pq.ParquetDataset(out).fragments)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
