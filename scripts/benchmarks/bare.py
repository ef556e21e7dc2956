"""A folder of JPEGs in, thumbnails of 224 pixels dropped: what reading and decoding alone take.

Run as a process of its own: `bare pillow|turbo FOLDER THREADS [PROCESSES]`, so many threads, or so
many processes of one. The clock starts before the folder is listed and after everything is imported
and every process is up, so nothing but the work is in it.
"""

from __future__ import annotations

import io
import json
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import cv2
import simplejpeg
from PIL import Image

SIDE = 224
CHUNK = 8  # files that a process is handed at once
UP_SECONDS = 0.5
MIN_SIDE = 256  # imgbatch's default [media] min_side


def pillow(path: Path) -> int:
    """Decode with Pillow, scaled by `draft`; returns the bytes of the thumbnail."""
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        image.draft("RGB", (MIN_SIDE, MIN_SIDE))
        small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return small.width * small.height * len(small.getbands())


def turbo(path: Path) -> int:
    """Decode with libjpeg-turbo, scaled to at least 256 pixels; returns the thumbnail's bytes."""
    pixels = simplejpeg.decode_jpeg(path.read_bytes(), min_height=MIN_SIDE, min_width=MIN_SIDE)
    return int(cv2.resize(pixels, (SIDE, SIDE), interpolation=cv2.INTER_AREA).nbytes)


LOOPS = {"pillow": pillow, "turbo": turbo}


def _pool(threads: int, processes: int) -> Executor:
    if not processes:
        return ThreadPoolExecutor(threads)
    pool = ProcessPoolExecutor(processes, initializer=cv2.setNumThreads, initargs=(1,))
    # It starts a process for each task that waits: these keep all of them until all are up.
    list(pool.map(time.sleep, [UP_SECONDS] * processes))
    return pool


def main(name: str, folder: Path, threads: int, processes: int = 0) -> None:
    """Run one loop over a folder; prints images and seconds."""
    cv2.setNumThreads(1)
    with _pool(threads, processes) as pool:
        start = time.perf_counter()
        files = sorted(folder.rglob("*.jpg"))
        sizes = list(pool.map(LOOPS[name], files, chunksize=CHUNK))
        seconds = time.perf_counter() - start
    assert all(size == SIDE * SIDE * 3 for size in sizes), "a thumbnail has another shape"
    print(json.dumps({"images": len(files), "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
