"""A folder of JPEGs in, rows dropped: what decoding and the bench recipe's analyzers take alone.

Run as a process of its own: `bare_analyzers FOLDER THREADS`. The loop `turbo` of `bare`, with the
analyzers in place of its thumbnail, and nothing of imgbatch around them: no digest, no header, no
outcome, no table. What a run loses against `bare` down to here is their price; the rest is ours.
"""

from __future__ import annotations

import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import simplejpeg
import threadpoolctl

from imgbatch.analyzers import load
from imgbatch.records import Facts, Picture
from scripts.benchmarks.bare import MIN_SIDE

if TYPE_CHECKING:
    from collections.abc import Sequence

NAMES = ("image", "quality", "hashes")
BATCH = 32
FACTS = Facts("image", "JPEG", "RGB", 1, 1)


def measure(analyzers: Sequence[Any], paths: Sequence[Path]) -> int:
    """Decode and analyze some pictures; returns how many rows that gave."""
    batches: list[list[Any]] = [[] for _ in analyzers]
    for path in paths:
        pixels = simplejpeg.decode_jpeg(path.read_bytes(), min_height=MIN_SIDE, min_width=MIN_SIDE)
        picture = Picture(pixels, 0, None, FACTS)
        for batch, analyzer in zip(batches, analyzers, strict=True):
            batch.append(analyzer.prepare(picture))
    return sum(len(a.infer(batch)) for a, batch in zip(analyzers, batches, strict=True))


def main(folder: Path, threads: int) -> None:
    """Run over a folder; prints images and seconds."""
    cv2.setNumThreads(1)
    threadpoolctl.threadpool_limits(1)
    modules = [load(name) for name in NAMES]
    analyzers = [module.Analyzer(module.Settings()) for module in modules]
    with ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        files = sorted(folder.rglob("*.jpg"))
        chunks = [files[at : at + BATCH] for at in range(0, len(files), BATCH)]
        rows = sum(pool.map(lambda chunk: measure(analyzers, chunk), chunks))
        seconds = time.perf_counter() - start
    assert rows == len(files) * len(NAMES), "each picture gives a row of each analyzer"
    print(json.dumps({"images": len(files), "seconds": seconds}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
