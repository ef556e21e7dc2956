"""From a bucket against from a folder, and our client against boto3, all on a server on loopback.

A GET of a picture costs the server as much as the client, and both share this machine: for the
runs the server gets one core of its own, and imgbatch the others, from the bucket as from the
folder. The clients alone are measured with all cores for both; what the server can give is what two
processes of our client get together.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from scripts.benchmarks.child import module, run_child
from scripts.benchmarks.corpus import photos, read_once
from scripts.benchmarks.product import run_imgbatch
from scripts.benchmarks.report import CONSOLE, Figure
from scripts.benchmarks.server import BUCKET, s3_server

if TYPE_CHECKING:
    from collections.abc import Callable

    from scripts.benchmarks.product import Run
    from scripts.benchmarks.server import Server
    from scripts.benchmarks.setting import Setting

BUCKET_BAR = 0.8
CPU_BAR = 0.25
RATE_BAR = 4.0
PICTURES = 4000
THREADS = 16
GET_SECONDS = 5
# By name: which client, in how many processes.
CLIENTS = {"store": ("store", 1), "boto3": ("boto3", 1), "two": ("store", 2)}
ENGINES = ("inline", "ray")


def measure(setting: Setting) -> list[Figure]:
    """Put the pictures into a bucket, then run the clients and imgbatch in turn."""
    count = min(setting.images, PICTURES)
    folder = photos(setting, count)
    read_once(folder)
    url = f"s3://{BUCKET}/photos-{count}"
    with s3_server(setting) as server:
        put = module("objects", "copy", folder, BUCKET, f"photos-{count}")
        run_child(put, log=setting.log("s3-put"), environment=server.environment)
        gets: dict[str, list[dict[str, float]]] = {client: [] for client in CLIENTS}
        for _ in range(setting.repeats):
            for client, answers in gets.items():
                answers.append(_gets(setting, server, client, url))
        figures = _clients(server, gets)
        with server.apart() as cores:
            CONSOLE.print(f"bench: s3, {server.name}, imgbatch on {cores} cores")
            figures += _runs(replace(setting, threads=cores), server, (str(folder), url), count)
    return figures


def _gets(setting: Setting, server: Server, client: str, url: str) -> dict[str, float]:
    command = module("gets", CLIENTS[client][0], url, THREADS, GET_SECONDS, CLIENTS[client][1])
    log = setting.log(f"s3-{client}")
    return run_child(command, log=log, environment=server.environment).answer


def _clients(server: Server, gets: dict[str, list[dict[str, float]]]) -> list[Figure]:
    store, boto3, two = (gets[client] for client in CLIENTS)
    title = f"Store.get of {store[0]['bytes'] / 1000:.0f} kB, {THREADS} threads, {server.name}"

    def values(answers: list[dict[str, float]], key: str) -> tuple[float, ...]:
        return tuple(answer[key] for answer in answers)

    def figure(
        name: str, key: str, unit: str, low: float | None = None, high: float | None = None
    ) -> Figure:
        ours, theirs = values(store, key), values(boto3, key)
        return Figure("s3", f"{title}: {name}", ours, unit, "boto3", theirs, low=low, high=high)

    return [
        figure("client CPU", "cpu_ms", "ms/GET", high=CPU_BAR),
        Figure("s3", f"{title}: two processes, the server's limit", values(two, "rate"), "GET/s"),
        figure("rate", "rate", "GET/s", low=RATE_BAR),
    ]


def _runs(setting: Setting, server: Server, inputs: tuple[str, str], count: int) -> list[Figure]:
    """Run imgbatch from the folder and from the bucket, on both engines."""
    runs: dict[tuple[str, str], list[Run]] = {}
    for _ in range(setting.repeats):
        for engine in ENGINES:
            for source in inputs:
                run = run_imgbatch(
                    setting,
                    source,
                    engine=engine,
                    expected=count,
                    environment=server.environment,
                )
                runs.setdefault((engine, source), []).append(run)
    names: dict[str, tuple[str, Callable[[Run], float]]] = {
        "inline": ("inline from a bucket, list to Parquet", lambda run: run.listed_to_parquet),
        "ray": ("Ray from a bucket, after start-up", lambda run: run.after_start_up),
    }
    figures = []
    for engine, (name, rate) in names.items():
        here, there = (tuple(map(rate, runs[engine, source])) for source in inputs)
        figures.append(
            Figure("s3", name, there, "images/s", "the same from a folder", here, low=BUCKET_BAR)
        )
    return figures
