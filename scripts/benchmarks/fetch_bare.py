"""A URL and a count in; so many files of it are got and dropped, by the engine of `imgbatch fetch`.

Run as a process of its own: `fetch_bare http1|http2 URL COUNT THREADS`; prints the seconds. By
HTTP/1.1 each thread has its connection, by HTTP/2 all share one.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpcore2


def main(protocol: str, url: str, count: int, threads: int) -> None:
    """Get everything once."""
    http2 = protocol == "http2"
    most = 1 if http2 else threads
    engine = httpcore2.ConnectionPool(http1=not http2, http2=http2, max_connections=most)

    def get(number: int) -> str:
        return "ok" if engine.request("GET", f"{url}/{number}").status == 200 else "failed"  # noqa: PLR2004 - HTTP's own

    with engine, ThreadPoolExecutor(threads) as pool:
        start = time.perf_counter()
        outcomes = Counter(pool.map(get, range(count)))
        seconds = time.perf_counter() - start
    print(json.dumps({"outcomes": outcomes, "seconds": seconds}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
