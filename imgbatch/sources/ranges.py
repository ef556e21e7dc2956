"""Enters: a large object of a bucket, or a stretch of one. Leaves: a Blob that reads it there.

Nothing of it lies on this machine's disk. Drawback: whoever reads it twice fetches it twice, and
its SHA-256 takes one reading.
"""

from __future__ import annotations

import errno
import io
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from imgbatch.attempts import attempt
from imgbatch.media import HEAD_BYTES, Blob
from imgbatch.sources.blobs import BUFFER, fetching, open_whole

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from imgbatch.attempts import Patience
    from imgbatch.storage import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """A part of an object; of one version, where that is told.

    Attributes:
        start, size: where it lies in the object, in bytes.
        whole: bytes of the object, where they are known.
        version: in which the object must be; "" for any.
        patience: how long the store is asked again when a read fails in a way that may pass.
    """

    store: Store
    name: str
    start: int
    size: int
    whole: int | None
    version: str
    patience: Patience

    def open(self) -> BinaryIO:
        """Open it as a seekable file with a position of its own.

        Raises:
            FetchError: from its reads too.
        """
        return cast("BinaryIO", io.BufferedReader(_Reader(self), BUFFER))

    def blob(self) -> Blob:
        """Return it as a Blob.

        Raises:
            FetchError: its first bytes could not be read.
        """
        with self.open() as file:
            head = file.read(HEAD_BYTES)
        return Blob(head, self.size, opener=self.open)


class _Reader(io.RawIOBase):
    """Reads a stretch; what the store refuses for a moment it is asked again for."""

    def __init__(self, stretch: Stretch) -> None:
        self._stretch = stretch
        self._address = stretch.store.address(stretch.name)
        self._position = 0
        self._file: BinaryIO = attempt(self._opened, stretch.patience)

    def _opened(self) -> BinaryIO:
        stretch = self._stretch
        with fetching(self._address):
            return open_whole(stretch.store, stretch.name, stretch.version, size=stretch.whole)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        left = self._stretch.size - self._position
        view = memoryview(buffer).cast("B")[: max(left, 0)]
        if not view:
            return 0
        count = attempt(partial(self._read, view), self._stretch.patience)
        self._position += count
        return count

    def _read(self, view: memoryview) -> int:
        with fetching(self._address):
            self._file.seek(self._stretch.start + self._position)
            data = self._file.read(len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        sizes = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._stretch.size}
        if sizes[whence] + offset < 0:
            raise OSError(errno.EINVAL, "seek before the start")
        self._position = sizes[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        # Not there where opening failed.
        if file := getattr(self, "_file", None):
            file.close()
        super().close()
