"""A dataset in; the vectors that are most similar to its first one out, by a plain loop.

Run as a process of its own, as `search_bare DATASET`; the answer is one line of JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

K = 20


def main(dataset: str) -> None:
    """Read part after part, and keep the best of all."""
    asked, query = "", np.zeros(0, np.float32)
    best: list[tuple[float, str]] = []
    for path in sorted(Path(dataset, "tables", "classic").glob("*.parquet")):
        rows = pq.read_table(path, columns=["picture_id", "embedding"]).combine_chunks()
        vectors = rows["embedding"].chunk(0).flatten().to_numpy().reshape(rows.num_rows, -1)
        if not asked:
            asked, query = rows["picture_id"][0].as_py(), vectors[0]
        similarity = vectors @ query
        near = np.argpartition(similarity, -K - 1)[-K - 1 :]
        names = rows["picture_id"].take(near).to_pylist()
        best = sorted([*best, *zip(similarity[near].tolist(), names, strict=True)])[-K - 1 :]
    found = [name for _, name in reversed(best) if name != asked]
    sys.stdout.write(json.dumps({"asked": asked, "found": found}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
