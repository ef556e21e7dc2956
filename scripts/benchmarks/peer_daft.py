"""A folder of JPEGs in, Parquet out, through Daft: `peer_daft FOLDER OUT`.

Runs in the peers' environment. Paths, download and decoding are Daft's own expressions, which it
runs on all cores; the rest is one batch function.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import daft  # type: ignore[import-not-found] # in the peers' environment
import pyarrow.parquet as pq
from daft import (
    DataType,
    Series,
    col,
)
from peer_facts import (  # type: ignore[import-not-found] # run by path
    facts,
    quality,
    shrink,
)

ROW = DataType.struct(
    {
        "format": DataType.string(),
        "width": DataType.int64(),
        "height": DataType.int64(),
        "mode": DataType.string(),
        "taken": DataType.string(),
        "sha256": DataType.string(),
        "brightness": DataType.float64(),
        "contrast": DataType.float64(),
        "sharpness": DataType.float64(),
        "entropy": DataType.float64(),
        "dhash": DataType.string(),
        "phash": DataType.string(),
    }
)


@daft.func.batch(return_dtype=ROW, unnest=True, batch_size=32)  # type: ignore[untyped-decorator] # not seen
def rows_of(data: Series, image: Series) -> list[dict[str, Any]]:
    """Return the rows of a batch of files and their decoded pictures."""
    pairs = zip(data.to_pylist(), image.to_pylist(), strict=True)
    return [{**facts(d), **quality(shrink(i))} for d, i in pairs]


def main(folder: str, out: str) -> None:
    """Run it; prints how many rows it wrote."""
    files = daft.from_glob_path(f"{folder}/**/*.jpg").select("path")
    loaded = files.with_column("data", col("path").download())
    decoded = loaded.with_column("image", col("data").decode_image(mode="RGB"))
    decoded.select("path", rows_of(col("data"), col("image"))).write_parquet(out)
    print(json.dumps({"rows": sum(f.count_rows() for f in pq.ParquetDataset(out).fragments)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
