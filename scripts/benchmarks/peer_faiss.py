"""A dataset's embeddings clustered with faiss as its users do it: all in memory, then k-means.

Run with the peers' interpreter, as `peer_faiss.py DATASET OUT SAMPLE K`: reads the Parquet parts of
the table `classic`, trains on the very rows that imgbatch draws, assigns all rows, and writes keys,
labels and distances as Parquet.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from imgbatch.vectors.draw import below, draws, share

SEED = 0


def main(dataset: str, out: str, sample: int, k: int) -> None:
    """Cluster and print how long the steps took."""
    started = time.perf_counter()
    parts = sorted(map(str, Path(dataset, "tables", "classic").glob("*.parquet")))
    columns = ["source_id", "version", "picture_id", "embedding"]
    table = ds.dataset(parts).to_table(columns=columns, filter=pc.field("status") == "ok")
    width = len(table["embedding"][0])
    lists = table["embedding"].chunks
    vectors = np.concatenate([part.flatten().to_numpy() for part in lists]).reshape(-1, width)
    read = time.perf_counter()
    mine = below(draws(table["picture_id"], SEED), share(len(vectors), sample))
    kmeans = faiss.Kmeans(width, k, seed=SEED, max_points_per_centroid=len(vectors))
    kmeans.train(vectors[mine])
    trained = time.perf_counter()
    squared, labels = kmeans.index.search(vectors, 1)
    assigned = time.perf_counter()
    found = table.drop_columns("embedding")
    found = found.append_column("cluster", pa.array(labels[:, 0].astype(np.int32)))
    found = found.append_column("distance", pa.array(np.sqrt(np.maximum(squared[:, 0], 0))))
    Path(out).mkdir(parents=True)
    pq.write_table(found, f"{out}/labels.parquet", compression="zstd")
    answer = {
        "rows": found.num_rows,
        "sample": int(mine.sum()),
        "read": read - started,
        "train": trained - read,
        "assign": assigned - trained,
        "write": time.perf_counter() - assigned,
        "inertia": float(squared.mean(dtype=np.float64)),
    }
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
