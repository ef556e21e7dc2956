"""A real S3 server for the time of a section: Ceph RGW on loopback, or one that is given.

BENCH_S3 (an endpoint URL, with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY beside it) names a
server that is up already. Otherwise Ceph is started from Debian's packages: downloaded once by apt
(about 330 MB), unpacked below BENCH_OUT and never installed, its data held in memory, its three
processes ended with the section.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError

from scripts.benchmarks.report import CONSOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from scripts.benchmarks.setting import Setting

PACKAGES = ("ceph-mon", "ceph-osd", "radosgw", "ceph-common")
KEYS = ("imgbatchbench", "imgbatchbenchsecret")
BUCKET = "bench"
OBJECT_BYTES = 6 * 2**30
SECONDS = 90
AGAIN = 5  # times that a store which gave up is started again
CORES = 3  # with fewer a server of its own core would leave one to what is measured
REMEDY = (
    "Give a server that is up: BENCH_S3=http://127.0.0.1:9000 AWS_ACCESS_KEY_ID=... "
    "AWS_SECRET_ACCESS_KEY=..."
)
# Whatever is written here is gone when the server is; `tcp_nodelay`: without it a GET takes 44 ms.
CONFIGURATION = """\
[global]
fsid = {fsid}
mon host = v1:127.0.0.1:{mon_port}
mon initial members = a
auth cluster required = none
auth service required = none
auth client required = none
run dir = {data}
admin socket = {data}/$name.asok
log file = {data}/$name.log
pid file =
plugin dir = {libraries}
erasure code dir = {libraries}/erasure-code
osd class dir = {root}/usr/lib/{triplet}/rados-classes
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data = {data}/mon
ms bind ipv4 = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[osd]
osd objectstore = memstore
memstore device bytes = {bytes}
osd data = {data}/osd
[client.rgw]
rgw data = {data}/rgw
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 64
"""


@dataclass(frozen=True, slots=True)
class Server:
    """An S3 server that is up.

    Attributes:
        name: what it is, for the table.
        endpoint: its URL.
        environment: the variables that point boto3, obstore and delta-rs at it.
        processes: their ids, where it is ours.
    """

    name: str
    endpoint: str
    environment: dict[str, str]
    processes: tuple[int, ...] = ()

    @contextlib.contextmanager
    def apart(self) -> Iterator[int]:
        """Have the server on one core, and what this process starts on the others; yields these.

        Where the server is not ours, or a core is all there is, nothing is moved.
        """
        cores = os.sched_getaffinity(0)
        if self.processes and len(cores) < CORES:
            CONSOLE.print(f"bench: not measured: {self.name} on a core of its own, of {len(cores)}")
        if not self.processes or len(cores) < CORES:
            yield len(cores)
            return
        last = max(cores)
        try:
            _move(self.processes, {last})
            os.sched_setaffinity(0, cores - {last})
            yield len(cores) - 1
        finally:
            os.sched_setaffinity(0, cores)
            _move(self.processes, cores)


@contextlib.contextmanager
def s3_server(setting: Setting) -> Iterator[Server]:
    """Have an S3 server while the block runs.

    Raises:
        SystemExit: there is none and none can be started; says why and what to give instead.
    """
    if given := os.environ.get("BENCH_S3"):
        keys = [os.environ.get(name) for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")]
        if not all(keys):
            raise SystemExit(f"bench: BENCH_S3 without its keys. {REMEDY}")
        yield Server("the given server", given, _environment(given, keys[0] or "", keys[1] or ""))
        return
    folder = setting.out / "ceph"
    _unpack(folder)
    with contextlib.ExitStack() as stack:
        ceph = _Ceph(folder)
        stack.callback(ceph.stop)
        ceph.start()
        environment = _environment(ceph.endpoint, *KEYS)
        yield Server("Ceph RGW", ceph.endpoint, environment, ceph.processes)


def _environment(endpoint: str, key: str, secret: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": key,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }


def _unpack(folder: Path) -> None:
    """Download and unpack Debian's packages, unless they are there."""
    if (folder / "unpacked").exists():
        return
    if not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise SystemExit(f"bench: no apt-get here to download Ceph with. {REMEDY}")
    packages, root = folder / "packages", folder / "root"
    (packages / "partial").mkdir(parents=True, exist_ok=True)
    options = [f"Dir::Cache::archives={packages}", "APT::Sandbox::User=root"]
    _do(
        [
            "apt-get",
            "--quiet=2",
            *(word for option in options for word in ("-o", option)),
            "--download-only",
            "--no-install-recommends",
            "--yes",
            "install",
            *PACKAGES,
        ],
        why="apt-get cannot download Ceph (as root, and after `apt-get update`?)",
    )
    for package in sorted(packages.glob("*.deb")):
        _do(["dpkg", "--extract", package, root], why=f"{package.name} cannot be unpacked")
    (folder / "unpacked").touch()


def _do(
    command: Sequence[str | Path], *, why: str, environment: dict[str, str] | None = None
) -> str:
    words = [str(word) for word in command]
    ended = subprocess.run(  # noqa: S603 - command lines of this module, no shell
        words,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if ended.returncode:
        raise SystemExit(f"{ended.stdout[-2000:]}\nbench: {why}. {REMEDY}")
    return ended.stdout


class _Ceph:
    """One monitor, one store in memory, one gateway."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / "root"
        self._data = folder / "data"
        self._processes: list[subprocess.Popen[bytes]] = []
        self._again = AGAIN
        usr = self._root / "usr"
        triplet = next(path.parent.name for path in usr.glob("lib/*/librados.so.2"))
        libraries = [f"{usr}/lib/{triplet}", f"{usr}/lib/{triplet}/ceph"]
        libraries += [f"{self._root}/lib/{triplet}"]
        self._environment = {
            "CEPH_CONF": str(self._data / "ceph.conf"),
            "LD_LIBRARY_PATH": ":".join(libraries),
            "PATH": f"{usr}/bin:{os.environ['PATH']}",
            "PYTHONPATH": str(usr / "lib/python3/dist-packages"),
        }
        self._port, mon_port = _free_ports(2)
        self.endpoint = f"http://127.0.0.1:{self._port}"
        self._fsid, self._mon = str(uuid.uuid4()), f"v1:127.0.0.1:{mon_port}"
        self._configuration = CONFIGURATION.format(
            fsid=self._fsid,
            mon_port=mon_port,
            port=self._port,
            data=self._data,
            root=self._root,
            triplet=triplet,
            libraries=libraries[1],
            bytes=OBJECT_BYTES,
        )

    def start(self) -> None:
        """Make a new, empty cluster and a user."""
        data = self._data
        shutil.rmtree(data, ignore_errors=True)
        for name in ("mon", "osd", "rgw"):
            (data / name).mkdir(parents=True)
        (data / "ceph.conf").write_text(self._configuration)
        monmap = data / "monmap"
        self._tool("monmaptool", "--create", "--addv", "a", f"[{self._mon}]", monmap)
        self._tool("monmaptool", "--fsid", self._fsid, monmap)
        self._tool("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._spawn("ceph-mon", "-i", "a")
        store = str(uuid.uuid4())
        self._ceph("osd", "new", store, "0")
        self._tool("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", store)
        self._spawn("ceph-osd", "-i", "0")
        self._wait("its store", self._stored)
        self._spawn("radosgw", "-n", "client.rgw")
        self._wait("its gateway", lambda: _answers(self.endpoint))
        key, secret = KEYS
        words = ["user", "create", "--uid=bench", "--display-name=bench"]
        words += [f"--access-key={key}", f"--secret-key={secret}"]
        self._tool("radosgw-admin", "-n", "client.rgw", *words)

    @property
    def processes(self) -> tuple[int, ...]:
        """The ids of what was started."""
        return tuple(process.pid for process in self._processes)

    def stop(self) -> None:
        """End what was started, the gateway first."""
        for process in reversed(self._processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self._data, ignore_errors=True)

    def _stored(self) -> bool:
        """Say whether the store is up, and start it again where it gave up.

        It does when it speaks to the monitor before it was told which cluster this is.
        """
        if "1 up" in self._ceph("osd", "stat"):
            return True
        store = self._processes[-1]
        if store.poll() is not None and self._again:
            self._again -= 1
            self._processes.remove(store)
            self._spawn("ceph-osd", "-i", "0")
        return False

    def _tool(self, name: str, *words: str | Path) -> str:
        program = self._root / "usr" / "bin" / name
        return _do([program, *words], why=f"{name} failed", environment=self._environment)

    def _ceph(self, *words: str) -> str:
        # A script for Debian's own Python, whose bindings are unpacked with it.
        command = ["/usr/bin/python3", str(self._root / "usr/bin/ceph"), "--connect-timeout", "30"]
        return _do([*command, *words], why="ceph failed", environment=self._environment)

    def _spawn(self, name: str, *words: str) -> None:
        log = (self._data / f"{name}.out").open("wb")
        with log:
            self._processes.append(
                subprocess.Popen(  # noqa: S603 - as above
                    [str(self._root / "usr/bin" / name), *words, "-f"],
                    env={**os.environ, **self._environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _wait(self, what: str, ready: Callable[[], bool]) -> None:
        end = time.monotonic() + SECONDS
        while True:
            ended = [process for process in self._processes if process.poll() is not None]
            if ready():
                return
            # One that was replaced meanwhile is no longer among ours.
            if any(one in self._processes for one in ended) or time.monotonic() > end:
                said = "\n".join(p.read_text("utf-8", "replace")[-800:] for p in self._logs())
                raise SystemExit(f"{said}\nbench: Ceph did not come up ({what}). {REMEDY}")
            time.sleep(0.3)

    def _logs(self) -> list[Path]:
        return sorted(self._data.glob("*.out"))


def _move(processes: Iterable[int], cores: set[int]) -> None:
    for process in processes:
        for thread in Path(f"/proc/{process}/task").iterdir():
            # One that ended meanwhile needs no core.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread.name), cores)


def _answers(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(endpoint, timeout=2):  # noqa: S310 - http on loopback
            return True
    except (URLError, OSError):
        return False


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        free = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in free:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in free]
