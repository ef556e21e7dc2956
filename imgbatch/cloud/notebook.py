"""JupyterLab beside a run: started in the head's container, reached through the cloud's own door.

What enters are the pinned packages (compressed, in base64: the container does not have the file);
what leaves is a server on 127.0.0.1 that asks for a token. The token is derived on both ends from
the secret that the deployment's machines share, so that none is ever sent, printed or logged.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from imgbatch.cloud import cloud_of, known
from imgbatch.errors import CloudError, DeploymentError

if TYPE_CHECKING:
    from collections.abc import Callable

PORT = 8888
PURPOSE = b"imgbatch jupyter"
UP_SECONDS = 60.0


def token_of(secret: str) -> str:
    """Return the token of JupyterLab where machines share a secret; tells nothing of the secret."""
    return hmac.new(secret.encode(), PURPOSE, hashlib.sha256).hexdigest()


def packed() -> str:
    """Return the pinned packages of JupyterLab as one word.

    Raises:
        DeploymentError: this imgbatch was not installed from a clone.
    """
    file = Path(__file__).parents[2] / "scripts" / "requirements" / "jupyter.txt"
    if not file.is_file():
        raise DeploymentError(
            f"there is no {file}: this imgbatch comes without `scripts/`",
            "Run it from a clone of imgbatch.",
        )
    lines = [
        line for line in file.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")
    ]
    return base64.urlsafe_b64encode(zlib.compress("\n".join(lines).encode())).decode()


def install(folder: Path, requirements: str) -> Path:
    """Have JupyterLab in an environment of its own, which sees what imgbatch is installed with.

    Returns:
        Its program `jupyter`.

    Raises:
        CloudError: a package cannot be had.
    """
    environment, program = folder / "environment", folder / "environment" / "bin" / "jupyter"
    done, wanted = folder / "installed", hashlib.sha256(requirements.encode()).hexdigest()
    if done.is_file() and done.read_text() == wanted:
        return program
    folder.mkdir(parents=True, exist_ok=True)
    pins = folder / "requirements.txt"
    pins.write_bytes(zlib.decompress(base64.urlsafe_b64decode(requirements)))
    python = environment / "bin" / "python"
    if uv := shutil.which("uv"):
        _run(
            uv,
            "venv",
            "--quiet",
            "--clear",
            "--python",
            sys.executable,
            str(environment),
        )
        _run(
            uv,
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--python",
            str(python),
            "--requirement",
            str(pins),
        )
    else:
        _run(sys.executable, "-m", "venv", "--clear", str(environment))
        _run(
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--ignore-installed",
            "--requirement",
            str(pins),
        )
    # After its own packages: what runs here, wherever it is installed, imgbatch among it.
    (own,) = environment.glob("lib/python*/site-packages")
    here = sysconfig.get_path("purelib")
    (own / "imgbatch.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    done.write_text(wanted)
    return program


def start(folder: Path, program: Path, token: str, port: int) -> None:
    """Have a server on 127.0.0.1 that asks for this token: the one that is there, or a new one.

    Raises:
        CloudError: it does not come up.
    """
    note = folder / "server"
    wanted = hashlib.sha256(f"{token} {port}".encode()).hexdigest()
    pid, _, runs = (note.read_text() if note.is_file() else "").partition(" ")
    if pid and runs == wanted and _alive(int(pid)):
        return
    if pid and _alive(int(pid)):
        # Of a run before: its token is nobody's any more.
        os.kill(int(pid), signal.SIGTERM)
        _until(lambda: not _listens(port))
    log = folder / "log"
    with log.open("wb") as out:
        server = subprocess.Popen(  # noqa: S603 - our own program, no shell
            [
                str(program),
                "lab",
                "--no-browser",
                f"--port={port}",
                "--ip=127.0.0.1",
                "--ServerApp.port_retries=0",
                "--allow-root",
            ],
            env={**os.environ, "JUPYTER_TOKEN": token},  # noqa: TID251 - passed on unread
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    note.write_text(f"{server.pid} {wanted}")
    _until(lambda: _listens(port) or server.poll() is not None)
    if server.poll() is not None or not _listens(port):
        said = log.read_text("utf-8", "replace").strip()[-400:]
        raise CloudError(f"JupyterLab did not come up on the head: {said}")


def _until(well: Callable[[], bool]) -> None:
    end = time.monotonic() + UP_SECONDS
    while not well() and time.monotonic() < end:
        time.sleep(0.2)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


def _run(*words: str) -> None:
    done = subprocess.run(  # noqa: S603 - as above
        words, capture_output=True, text=True, errors="replace", check=False
    )
    if done.returncode:
        raise CloudError(
            f"JupyterLab cannot be installed on the head: {done.stderr.strip()[-400:]}"
        )


def serve(control: str, requirements: str, port: int) -> None:
    """Have JupyterLab up for the deployment whose control objects are at a URL.

    Raises:
        CloudError: it cannot be installed, or does not come up.
    """
    deployment = known.at(control)
    folder = Path.home() / ".imgbatch-jupyter"
    program = install(folder, requirements)
    start(folder, program, token_of(cloud_of(deployment).secrets.get(deployment.token)), port)
