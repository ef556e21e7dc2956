"""Weights enter; a store leaves that has them, for workers that shall ask no hub.

It holds each file as the cache does, at `<digest>/<name>`, so a mirror may be a folder, a bucket,
or a disk that somebody carries to a machine without a network.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.models.download import CHUNK
from imgbatch.models.weights import Wanted, file_of, get
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from imgbatch.models.download import Listener
    from imgbatch.storage import Store


@dataclass(frozen=True, slots=True)
class Pushed:
    """A file in a mirror.

    Attributes:
        address: of the object.
        sent: it was not there, or not whole, before.
    """

    address: str
    sent: bool


def push(wanted: Wanted, url: str, listener: Listener | None = None, *, sha256: str = "") -> Pushed:
    """Put weights into the store at a URL; what is there already is read, and left if it is whole.

    Args:
        wanted: which.
        url: of the store.
        listener: told how much of it is here, while it comes.
        sha256: as for `get`.

    Raises:
        WeightsError: they cannot be had here.
        StorageError, PermissionError: the store does not take them.
    """
    had = get(wanted, sha256=sha256, mirrored=False, listener=listener)
    file, store = file_of(wanted), open_store(url)
    sent = not _is_whole(store, file.key, sha256 or file.sha256)
    if sent:
        store.put_file(file.key, str(had.path))
    return Pushed(store.address(file.key), sent)


def _is_whole(store: Store, name: str, sha256: str) -> bool:
    found = hashlib.sha256()
    try:
        with store.open(name) as opened:
            while chunk := opened.read(CHUNK):
                found.update(chunk)
    except FileNotFoundError:
        return False
    return found.hexdigest().startswith(sha256)
