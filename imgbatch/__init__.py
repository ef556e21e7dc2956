"""Turn a bucket of pictures and videos into a table that a researcher can trust."""

import os

__version__ = "0.1.0"

__all__ = ["__version__"]

# Decision, 2026-11: what libraries read of the environment when they are loaded is set here, before
# all else, unless the user set it. Drawback: it holds for all that runs in this process.
# Arrow takes memory by the system's malloc: its own mimalloc asks for huge pages
# (microsoft/mimalloc#1373), two megabytes that the kernel clears for whatever few kilobytes each of
# our threads needs first. OpenBLAS's threads sleep once they have had nothing to do for some
# microseconds, not for a tenth of a second: that was 0.25 s of the processors at every start.
# Delta's library has a heap of its own for each of its threads and keeps what each had at most:
# with one heap, 20,000 parts in 20 commits cost 45 MB and not 90, in the same time.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # noqa: TID251 - set, never read
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # noqa: TID251 - set, never read
os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1")  # noqa: TID251 - set, never read
