"""The heap of a worker gives large blocks back."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Frees a block of 24 MiB, which raises glibc's threshold, and then has one in a thread's heap that
# small blocks hold fast; says how much the process still has, in MiB.
PROGRAM = """
import pathlib, re, sys
import numpy as np
if sys.argv[1:]:
    from imgbatch.media.heap import bound_heap
    bound_heap()
def held():
    told = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmRSS:\\s+(\\d+)", told)[1]) >> 10
del_me = np.ones(24 << 20, np.uint8)
del del_me
before, kept = held(), []
for _ in range(8):
    large = np.ones(20 << 20, np.uint8)
    kept.append(np.ones(100_000, np.uint8))
    del large
print(held() - before)
"""


def held(*words: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], capture_output=True, text=True, check=True
    )
    return int(ended.stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel by /proc")
def test_large_blocks_go_back_to_the_system_whatever_was_freed_before() -> None:
    assert held("bound") < 10
