"""A real Ray cluster of one machine, with a token, for tests: started and ended by them."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOKEN = "sesame-" + "0123456789abcdef" * 2
SECONDS = 60


@dataclass(frozen=True)
class Head:
    """Where a cluster is.

    Attributes:
        folder: its temporary folder.
        dashboard: what `submit` is given.
        gcs: what `run` is given.
    """

    folder: Path
    dashboard: str
    gcs: str


def with_token(token: str | None = TOKEN, **more: str) -> dict[str, str]:
    """Return this environment, with a token of Ray's or none, whatever it had."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    token_words = {} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    return {**env, **token_words, **more}


@contextlib.contextmanager
def head(
    *more: str,
    cpus: int,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Head]:
    """Start `ray start --head` as the README says it, and end it.

    `python` is what its jobs and workers run with, `more` what `ray start` is told besides, and
    `environment` the variables that its machines have besides, such as keys of buckets.
    """
    # Ray's sockets lie below it, and their paths may not be long.
    folder = Path(tempfile.mkdtemp(prefix="ib"))
    gcs, dashboard, client = free_ports(3)
    words = ["--head", f"--port={gcs}", f"--temp-dir={folder}", "--dashboard-host=127.0.0.1"]
    words += [f"--dashboard-port={dashboard}", f"--ray-client-server-port={client}"]
    words += ["--dashboard-agent-listen-port=0", "--node-ip-address=127.0.0.1"]
    try:
        with started(*words, *more, cpus=cpus, folder=folder, python=python, more=environment):
            url = f"http://127.0.0.1:{dashboard}"
            wait_for(url)
            yield Head(folder, url, f"127.0.0.1:{gcs}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def started(
    *words: str,
    cpus: int,
    folder: Path,
    python: str = sys.executable,
    more: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Keep a `ray start --block` going, and end it with all that it started."""
    log = (folder / f"start-{cpus}.log").open("wb")
    # The `python` of its jobs is the same, and its folder is none that Python would import from.
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        [
            python,
            "-m",
            "ray.scripts.scripts",
            "start",
            "--block",
            *words,
            f"--num-cpus={cpus}",
            f"--object-store-memory={100 * 2**20}",
            "--disable-usage-stats",
        ],
        env=with_token(PATH=path, **(more or {})),
        cwd=folder,
        stdout=log,
        stderr=log,
    )
    try:
        yield
    finally:
        log.close()
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        process.terminate()
        psutil.wait_procs(family, timeout=4)
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Return ports that nobody has now."""
    with contextlib.ExitStack() as held:
        taken = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in taken:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in taken]


class Tunnel:
    """A port that leads to another one, until it is cut; then again, on the same port."""

    def __init__(self, url: str) -> None:
        self._to = ("127.0.0.1", int(url.rpartition(":")[2]))
        (self._port,) = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"
        self._ends: list[socket.socket] = []
        self.open()

    def open(self) -> None:
        server = socket.create_server(("127.0.0.1", self._port))
        self._ends.append(server)
        threading.Thread(target=self._accept, args=[server], daemon=True).start()

    def cut(self) -> None:
        """End it, and all that goes through it."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._ends.clear()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                here = server.accept()[0]
                there = socket.create_connection(self._to)
                self._ends += [here, there]
                for pair in ((here, there), (there, here)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(2**16):
            to.sendall(data)
        to.shutdown(socket.SHUT_WR)


def wait_for(url: str) -> None:
    request = urllib.request.Request(
        f"{url}/api/version", headers={"Authorization": f"Bearer {TOKEN}"}
    )
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=5):
            return
        time.sleep(0.2)
    pytest.fail("the cluster did not come up")
