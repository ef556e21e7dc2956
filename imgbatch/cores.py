"""How much of a machine a worker process gets, wherever it runs: here, on Ray, on rented machines.

Decision, 2026-11: a process per core. Threads of one process hand Python's lock over some fifty
times per picture, and each time that one of them waits for it, it sleeps and is woken. Measured on
four cores with 20,000 photographs: four processes took 0.75 times as long as one of four threads,
list to Parquet, and all in 0.96 times as long as two of two; on Ray 0.9 times. Drawback: each takes
the memory of its libraries, 250 MB, and caches of its own. So a process that loads networks, which
compute without that lock, gets two cores, and on machines of little memory there are fewer.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

# Cores of a worker; of one that loads networks, unless it gets its share of a GPU.
CORES = 1
CORES_WITH_NETWORKS = 2
# What a worker without networks is given room for: twice its peak over pictures of 80 megapixels
# (`scripts/bench memory`). Few files take more; a decoder of 179 megapixels, the most that is read
# by default, may take 3 GB of it alone.
MEMORY = 3 * 2**29
# Linux's control groups, version 2: bytes, or the word "max".
GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def workers_on(cores: int, memory: float, *, networks: bool) -> int:
    """Return how many workers share that many cores and bytes, one at least; 0 bytes: any."""
    count = cores // (CORES_WITH_NETWORKS if networks else CORES)
    return max(1, min(count, int(memory // MEMORY)) if memory else count)


def machine_memory() -> float:
    """Return the bytes of memory that this machine has, or the container that this runs in."""
    found = float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with contextlib.suppress(OSError, ValueError):  # no control group, or one without a limit
        return min(found, float(GROUP_LIMIT.read_text()))
    return found
