"""Does HTTP/2 fetch faster? Files of a server that is 50 ms away, by TLS, few and many at a time.

What imgbatch does by either protocol, with HTTP/2 one request at a time over a connection; and the
engine's bare loop, with HTTP/2 all requests at once over one connection, which imgbatch does not do
(`fetching.connections`). The bar holds that the default, HTTP/1.1, is no slower. Loopback has no
slow start and loses no packet: what those cost a connection is not in these figures.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING

from scripts.benchmarks.child import ROOT, module, run_child
from scripts.benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from scripts.benchmarks.setting import Setting

FILES = 400
WIDTHS = (4, 16)
WAYS = ("http1", "http2", "bare-http1", "bare-http2")
NO_SLOWER = 1.1


def measure(setting: Setting) -> list[Figure]:
    """Fetch the same files in each way in turn, as often as asked."""
    count = min(setting.images, FILES)
    seconds: dict[tuple[int, str], list[float]] = {(w, way): [] for w in WIDTHS for way in WAYS}
    with _server(setting, count) as (url, folder):
        for _ in range(setting.repeats):
            for (width, way), found in seconds.items():
                found.append(_seconds(setting, folder, url, way, width, count))
    return [figure for width in WIDTHS for figure in _figures(count, width, seconds)]


def _figures(
    count: int, width: int, seconds: dict[tuple[int, str], list[float]]
) -> Iterator[Figure]:
    one, two, bare_one, bare_two = (tuple(seconds[width, way]) for way in WAYS)
    name = f"{count} files, {width} at a time"
    yield Figure("fetch", f"{name}, HTTP/1.1", one, "s", "HTTP/2", two, high=NO_SLOWER)
    streams = "HTTP/2, one connection"
    yield Figure("fetch", f"{name}, bare engine, HTTP/1.1", bare_one, "s", streams, bare_two)


def _seconds(setting: Setting, folder: Path, url: str, way: str, width: int, count: int) -> float:
    """Fetch everything in one way; return what it took, the start of the process not counted."""
    if way.startswith("bare"):
        command = module("fetch_bare", way.removeprefix("bare-"), url, count, width)
    else:
        words = ["--allow-private", "--ignore-robots", "--rate", "100000", "--json"]
        words += ["--per-host", str(width), "--at-once", str(width)]
        words += ["--http2"] if way == "http2" else []
        out = setting.fresh("fetch-out")
        command = [
            sys.executable,
            "-m",
            "imgbatch",
            "fetch",
            str(folder / "dump"),
            str(out),
            *words,
        ]
    certificate = {"SSL_CERT_FILE": str(folder / "certificate.pem")}
    answer = run_child(command, log=setting.log(f"fetch-{way}"), environment=certificate).answer
    if answer["outcomes"] != {"ok": count}:
        raise SystemExit(f"bench: {way} came to {answer['outcomes']} of {count} files")
    return float(answer["seconds"])


@contextlib.contextmanager
def _server(setting: Setting, count: int) -> Iterator[tuple[str, Path]]:
    """Have the server in a process of its own; yields its URL, and where dump and certificate lie.

    Raises:
        SystemExit: it does not come up.
    """
    folder = setting.fresh("fetch-server")
    folder.mkdir()
    log = setting.log("fetch-server")
    log.parent.mkdir(parents=True, exist_ok=True)
    with (
        log.open("wb") as err,
        subprocess.Popen(  # noqa: S603 - a module of this folder, no shell
            module("fetch_server", folder, count),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            cwd=ROOT,
        ) as server,
    ):
        assert server.stdout is not None, "it is a pipe"
        said = server.stdout.readline()
        if not said:
            raise SystemExit(f"bench: the server of the section fetch did not come up: see {log}")
        # Its input ends with the block, and with it the server.
        yield json.loads(said)["url"], folder
