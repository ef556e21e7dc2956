"""Enters: bytes that were put to Google, and the ETag of its answer. Leaves: an error, if need be.

Decision, 2026-11: an ETag that is another MD5 proves nothing yet. Google promises it to be that of
the bytes only for objects without a key of the customer's own, put in one request, so where it
differs they are read again. Where they are the right ones, ETags of this bucket are no MD5s, and
none is compared any more. Drawback: what a store puts there first is transferred twice.

Only of `put`, which may be repeated. A conditional write would meet its own object.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from imgbatch.errors import StorageError
from imgbatch.storage import ChangedError

if TYPE_CHECKING:
    from collections.abc import Callable

_MD5 = re.compile(r'"?([0-9a-f]{32})"?')


class Echo:
    """What a bucket's ETags say of bytes; for several threads."""

    def __init__(self) -> None:
        self._tells = True

    def compare(self, address: str, data: bytes, etag: str, again: Callable[[], bytes]) -> None:
        """Hold an object that was put against its answer.

        Args:
            address: of the object, for messages.
            data: what was put.
            etag: of the answer.
            again: reads the object, in that version.

        Raises:
            StorageError: other bytes lie there; whatever else `again` raises, too.
        """
        said = _MD5.fullmatch(etag)
        if not (self._tells and said):
            return
        if said[1] == hashlib.md5(data, usedforsecurity=False).hexdigest():
            return
        try:
            there = again()
        except (ChangedError, FileNotFoundError):
            return  # it is somebody else's by now
        if there != data:
            raise StorageError(f"{address}: other bytes came there than were sent")
        self._tells = False
