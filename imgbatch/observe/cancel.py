"""A run's end is asked for by an object beside its record; the run looks for it every few seconds.

It bears the run's own id, so it never ends a later one.
"""

from __future__ import annotations

import json
import socket
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from imgbatch.errors import DamageError
from imgbatch.storage import claim

if TYPE_CHECKING:
    from imgbatch.storage import Store


def name(run: str) -> str:
    """Return the name of the object that asks for a run's end."""
    return f"runs/{run}/cancel.json"


def ask(store: Store, run: str) -> bool:
    """Ask for a run's end; return whether nobody had yet."""
    at = datetime.now(UTC).isoformat(timespec="seconds")
    # With what no other request has: ours is told from another one's.
    told = {"run": run, "host": socket.gethostname(), "at": at, "token": uuid.uuid4().hex}
    try:
        claim(store, name(run), json.dumps(told, indent=1).encode())
    except FileExistsError:
        return False
    return True


def asked(store: Store, run: str) -> str | None:
    """Return from where and when a run's end was asked for; None when nobody did.

    Raises:
        DamageError: the request is there and cannot be read.
    """
    try:
        told = json.loads(store.get(name(run)))
        return f"from {told['host']} at {told['at']}"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(f"{name(run)} is not readable: {error!r}") from error
