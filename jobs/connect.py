"""An address enters; this process leaves as a driver on that Ray cluster, or with a clear error."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

from imgbatch.errors import ClusterError, SettingsError, VersionError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

LOCAL = ("local", "auto")
REACH_SECONDS = 10
WANTED = (
    "Set RAY_AUTH_MODE=token and the cluster's own token in RAY_AUTH_TOKEN, or the path of a file "
    "that holds it in RAY_AUTH_TOKEN_PATH."
)


def connect(address: str, **options: Any) -> None:
    """Join the Ray cluster at HOST:PORT (or `auto`) as its driver; `local` starts one here.

    Raises:
        ClusterError: it cannot be reached, or asks for another token.
        VersionError: it has another version of Ray or Python.
    """
    import ray  # noqa: PLC0415 - nothing to do must not start Ray

    if address not in LOCAL:
        _knock(address)
    with _explained(address):
        ray.init(address=address, **options)
    if threading.current_thread() is threading.main_thread():
        # Ray's own handler exits with 15, which means something else here, and commits nothing.
        signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 - what signal gives
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # a second one must not end the last commit
    raise KeyboardInterrupt


@contextlib.contextmanager
def _explained(address: str) -> Iterator[None]:
    from ray.exceptions import AuthenticationError  # noqa: PLC0415 - as above

    try:
        yield
    except AuthenticationError as error:
        raise refused(address) from error
    except ConnectionError as error:
        # Ray says on stderr that a token is wrong, and raises what it raises for a dead cluster.
        raise ClusterError(
            f"the Ray cluster at {address} is not reached, or does not take our token: {error}",
            f"Check --address and that the cluster is up. If it asks for a token: {WANTED}",
        ) from error
    except RuntimeError as error:
        if not str(error).startswith("Version mismatch"):
            raise
        raise VersionError(" ".join(str(error).split())) from error


def refused(address: str) -> ClusterError:
    """Return the error for a cluster that asks for a token which we lack."""
    told = sorted(n for n in os.environ if n.startswith("RAY_AUTH_"))  # noqa: TID251 - Ray's own variables, by name
    said = f"{', '.join(told)} set" if told else "no RAY_AUTH_ variable set"
    return ClusterError(
        f"the Ray cluster at {address} asks for a token and does not take ours ({said})", WANTED
    )


def _knock(address: str) -> None:
    """Refuse an address where nobody listens: Ray would try for two minutes, and print it."""
    host, separator, port = address.rpartition(":")
    if not (separator and host and port.isdecimal()) or "://" in address:
        raise SettingsError(
            f"--address {address!r} is not HOST:PORT of a Ray cluster",
            "Give the address that `ray start --head` printed (port 6379), `auto`, or `local`; the "
            "address of a dashboard (http://...) is for `imgbatch submit`.",
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise ClusterError(f"nothing answers at {address}: {error}") from error
