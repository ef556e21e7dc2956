"""The C library's heap of a worker is told to hand large blocks back to the system.

glibc maps blocks above a threshold by themselves, and unmaps them when they are freed; but the
threshold grows to the size of whatever was freed, up to 32 MiB (mallopt(3), M_MMAP_THRESHOLD). From
then on downloads and decoded pictures come from the heaps of the threads, where they leave holes:
measured over 24 objects of 24 MiB with 128 MiB in flight, 270 to 340 MiB above a run over one; with
the threshold fixed, 150 to 155 MiB, as quickly.
"""

from __future__ import annotations

import ctypes

# Of glibc's malloc.h.
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
MAPPED_BYTES = 8 * 2**20
# What may stay free at the end of a heap. Fixing one threshold ends the growth of both, and this
# one's beginning, 128 KiB, would give back and ask for the same pages again with every picture.
KEPT_BYTES = 32 * 2**20


def bound_heap() -> None:
    """Map blocks of 8 MiB and more by themselves, whatever was freed before.

    Does nothing where the C library has no such settings (macOS, musl).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, MAPPED_BYTES)
        mallopt(_TRIM_THRESHOLD, KEPT_BYTES)
