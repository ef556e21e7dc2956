"""Machines that really boot: their user data runs on this host, each below a root of its own.

    with Machine("i-1", "127.20.0.5", environment) as machine:
        machine.start(user_data)         boot.sh, and what it starts: the watch, the container
        machine.metadata.take_back()     a spot interruption notice
        machine.wait(lambda: machine.container_log)
    # all that came of it has ended

A machine has an address of loopback and, there, a metadata service. docker, systemctl, shutdown,
nvidia-smi and apt-get are stand-ins (shims.py); bash, curl, the aws CLI, Python and Ray are real.
Credentials come from the metadata service, as a role's do.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Self

HOOK = "nvidia-container-runtime-hook"
SHIMS = Path(__file__).with_name("shims.py")
ROOT = Path(__file__).parents[2]
TOKEN = "a-token-of-imdsv2"
SECONDS = 60


@cache
def command_line() -> str:
    """Return what runs the aws CLI: the machine's, else the checkout's own, installed now."""
    if found := shutil.which("aws"):
        return found
    tools = ROOT / "scripts" / "tools"
    subprocess.run([tools, "awscli", "--version"], check=True)
    return f"{tools} awscli"


def _without(programs: Sequence[str]) -> str:
    """Return this machine's PATH without the folders that have any of these programs."""
    folders = os.environ["PATH"].split(":")
    kept = [one for one in folders if not any((Path(one) / name).exists() for name in programs)]
    if not shutil.which("curl", path=":".join(kept)):
        pytest.skip(f"this machine has {' or '.join(programs)} beside what a boot takes")
    return ":".join(kept)


class MetadataService(Protocol):
    """What a machine asks about itself."""

    @property
    def environment(self) -> dict[str, str]:
        """What has a machine ask this service."""

    def take_back(self, seconds: float = ...) -> None:
        """Say that the machine is taken back."""

    def close(self) -> None:
        """End it."""


class Metadata:
    """A machine's metadata service (IMDSv2): answers to a token only."""

    def __init__(self, machine: str, address: str) -> None:
        self._told = {
            "instance-id": machine,
            "local-ipv4": address,
            "iam/security-credentials/": "machine",
            "iam/security-credentials/machine": json.dumps(
                {
                    "Code": "Success",
                    "Type": "AWS-HMAC",
                    "AccessKeyId": "ASIAMACHINE",
                    "SecretAccessKey": "secret",
                    "Token": "session",
                    "LastUpdated": "2026-01-01T00:00:00Z",
                    "Expiration": f"{datetime.now(UTC) + timedelta(hours=6):%Y-%m-%dT%H:%M:%SZ}",
                }
            ),
        }
        told = self._told

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                self._say(200 if self.path == "/latest/api/token" else 404, TOKEN)

            def do_GET(self) -> None:
                if self.headers.get("X-aws-ec2-metadata-token") != TOKEN:
                    self._say(401, "")
                    return
                found = told.get(self.path.removeprefix("/latest/meta-data/"))
                self._say(404 if found is None else 200, found or "")

            def _say(self, code: int, text: str) -> None:
                self.send_response(code)
                self.send_header("X-aws-ec2-metadata-token-ttl-seconds", "300")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                # Who asked may have waited for long enough.
                with contextlib.suppress(BrokenPipeError):
                    self.wfile.write(text.encode())

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What has a machine ask this service."""
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url}

    def take_back(self, seconds: float = 120) -> None:
        """Say that the machine is taken back then."""
        at = datetime.now(UTC) + timedelta(seconds=seconds)
        notice = {"action": "terminate", "time": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        self._told["spot/instance-action"] = json.dumps(notice)

    def leaves(self) -> None:
        """Say that the group is ending the machine."""
        self._told["autoscaling/target-lifecycle-state"] = "Terminated"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Machine:
    """One machine.

    Args:
        machine, address: what its metadata service says it is; an address of loopback.
        environment: variables of its boot; AWS_ENDPOINT_URL among them. Times of the watch too:
            WATCH_SECONDS, SILENT_SECONDS, HEAD_SECONDS, BOOT_SECONDS, GPU_SECONDS.
        gpu: whether nvidia-smi finds one; None: there is no nvidia-smi.
        container: variables of the container's processes besides those it is given.
        job: what the container runs in place of its job.
        metadata: its metadata service; None: one as AWS has it.
        lacks: programs of which only the package is to be had.
    """

    def __init__(  # noqa: PLR0913 - what a machine has and lacks
        self,
        machine: str,
        address: str,
        environment: Mapping[str, str],
        *,
        gpu: bool | None = None,
        container: Mapping[str, str] | None = None,
        job: str | None = None,
        metadata: MetadataService | None = None,
        lacks: Sequence[str] = (),
    ) -> None:
        self.machine = machine
        self.address = address
        # Not below pytest's folder: the name of a socket of Ray's has at most 107 bytes.
        self.root = Path(tempfile.mkdtemp(prefix="ibm"))
        self.metadata = metadata or Metadata(machine, address)
        self._commands(gpu=gpu, aws=metadata is None, lacks=lacks)
        own = {
            **self.metadata.environment,
            "HOME": str(self.root),
            "IMGBATCH_ROOT": str(self.root),
            "PATH": f"{self.root / 'bin'}:{_without(lacks)}",
            "SHIM_ROOT": str(self.root),
            "SHIM_CONTAINER": json.dumps({"RAY_TMPDIR": str(self.root), **(container or {})}),
        }
        kept = {
            name: os.environ[name]
            for name in ("PYENV_ROOT", "PYENV_VERSION", "LANG")
            if name in os.environ
        }
        self.environment = {**kept, **environment, **own} | ({"SHIM_JOB": job} if job else {})
        self._boot: subprocess.Popen[bytes] | None = None

    def _commands(self, *, gpu: bool | None, aws: bool, lacks: Sequence[str]) -> None:
        for folder in ("bin", "packages"):
            (self.root / folder).mkdir()
        words = {"docker": "", "systemctl": "", "shutdown": "", "apt-get": "", HOOK: ""}
        if gpu is not None:
            words["nvidia-smi"] = "ok" if gpu else "none"
        shim = f"{sys.executable} -P {SHIMS}"
        calls = {name: f"{shim} {name} {word}" for name, word in words.items()}
        if aws:
            calls["aws"] = command_line()
        for name, call in calls.items():
            program = self.root / ("packages" if name in lacks else "bin") / name
            program.write_text(f'#!/bin/sh\nexec {call} "$@"\n', "utf-8")
            program.chmod(0o755)

    def start(self, user_data: str) -> None:
        """Boot; returns at once."""
        script = self.root / "user-data"
        script.write_text(user_data, "utf-8")
        with (self.root / "console").open("wb") as console:
            self._boot = subprocess.Popen(
                ["bash", str(script)],
                env=self.environment,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                start_new_session=True,
            )

    def wait(self, condition: Callable[[], Any], seconds: float = SECONDS) -> Any:
        """Return what a condition says once it says something."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            if time.monotonic() > end:
                pytest.fail(f"waited for {seconds} s in vain; {self.machine} said:\n{self.said}")
            time.sleep(0.1)
        return found

    @property
    def booted(self) -> int | None:
        """The exit code of the boot script."""
        assert self._boot
        return self._boot.poll()

    @property
    def container_log(self) -> str:
        return self._read("container.log")

    @property
    def docker(self) -> list[list[str]]:
        """What docker was asked to do."""
        return [json.loads(line) for line in self._read("docker.log").splitlines()]

    @property
    def installed(self) -> list[str]:
        """What apt-get was asked to do."""
        return self._read("apt.log").splitlines()

    @property
    def said(self) -> str:
        names = ("console", "imgbatch-watch.service.log", "container.log", "docker.log")
        return "\n".join(f"--- {name}\n{self._read(name)}" for name in names)

    def _read(self, name: str) -> str:
        file = self.root / name
        return file.read_text("utf-8", "replace") if file.exists() else ""

    @property
    def processes(self) -> list[psutil.Process]:
        """All that came of it and runs, whichever group or session it moved to."""
        mark = {"SHIM_ROOT": str(self.root)}
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if mark.items() <= process.environ().items():
                    found.append(process)
        return found

    def end(self) -> None:
        """Cut the power."""
        for _ in range(20):
            left = self.processes
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if not left:
                break
            time.sleep(0.05)
        if self._boot:
            self._boot.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self.metadata.close()
        shutil.rmtree(self.root, ignore_errors=True)
