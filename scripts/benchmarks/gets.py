"""A bucket in; how fast one client gets all its objects, and what of its own CPU each GET takes.

Run as a process of its own: `gets store|boto3 URL THREADS SECONDS [PROCESSES]`; with several
processes the rate is that of all. The names are listed and every
thread has its connection before the clock starts; what is got is counted and dropped.
"""

from __future__ import annotations

import itertools
import json
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TYPE_CHECKING

from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    Get = Callable[[str], int]


def ours(url: str) -> Callable[[], Get]:
    """Return what makes a thread's way to get an object through `Store.get`."""
    store = open_store(url)
    return lambda: lambda name: len(store.get(name))


def theirs(url: str) -> Callable[[], Get]:
    """Return what makes a thread's way to get an object through a boto3 client, one for all."""
    import boto3
    from botocore.config import Config

    bucket, _, prefix = url.removeprefix("s3://").partition("/")
    client = boto3.client("s3", config=Config(max_pool_connections=64))

    def get(name: str) -> int:
        found = client.get_object(Bucket=bucket, Key=f"{prefix}/{name}")
        return len(found["Body"].read())

    return lambda: get


CLIENTS = {"store": ours, "boto3": theirs}


def gets(client: str, url: str, threads: int, seconds: float) -> dict[str, float]:
    """Get objects round and round for so long; returns GET/s and CPU milliseconds per GET."""
    names = itertools.cycle(sorted(entry.name for entry in open_store(url).list()))
    make = CLIENTS[client](url)
    start, stop = threading.Barrier(threads + 1), threading.Event()
    counts = [0] * threads
    sizes = [0] * threads

    def work(number: int) -> None:
        get = make()
        get(next(names))
        start.wait()
        while not stop.is_set():
            sizes[number] += get(next(names))
            counts[number] += 1

    workers = [threading.Thread(target=work, args=[number]) for number in range(threads)]
    for worker in workers:
        worker.start()
    start.wait()
    began, cpu = time.perf_counter(), time.process_time()
    time.sleep(seconds)
    stop.set()
    for worker in workers:
        worker.join()
    taken, cpu = time.perf_counter() - began, time.process_time() - cpu
    done = sum(counts)
    return {"rate": done / taken, "cpu_ms": 1000 * cpu / done, "bytes": sum(sizes) / done}


def main(client: str, url: str, threads: int, seconds: float, processes: int = 1) -> None:
    """Run so many clients at once; prints what they came to."""
    if processes == 1:
        print(json.dumps(gets(client, url, threads, seconds)))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        going = [pool.submit(gets, client, url, threads, seconds) for _ in range(processes)]
        found = [one.result() for one in going]
    print(json.dumps({"rate": sum(one["rate"] for one in found)}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), *map(int, sys.argv[5:]))
