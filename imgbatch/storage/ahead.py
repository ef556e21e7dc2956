"""Enters: a way to get a range of an object. Leaves: a seekable file that fetches ahead.

Whoever reads on from block to block finds the next ones asked for already, more of them the longer
it goes on; whoever jumps pays for the one block that it wants. Blocks read a moment ago are kept:
demuxers go to and fro between two places.

Decision, 2026-11: blocks of half a MiB. A jump to the header of a large member of a tar brings no
more than that, and sixteen under way hide the latency of a bucket. Drawback: two thousand requests
for a GiB, where four hundred would do.
"""

from __future__ import annotations

import errno
import io
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from imgbatch.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import WriteableBuffer

BLOCK = 2**19
# Blocks under way, and blocks held: those under way and those read last.
AHEAD, HELD = 16, 32
# Whoever passes over so few blocks still reads on: an archive of small members is read in a row.
NEAR = 4


class AheadFile(io.RawIOBase):
    """An object of a known size as a raw file; of one thread at a time.

    Args:
        get: returns `length` bytes from `start`; called from several threads.
        size: of the object.
    """

    def __init__(self, get: Callable[[int, int], bytes], size: int) -> None:
        self._get = get
        self._size = size
        self._position = 0
        self._blocks: OrderedDict[int, Future[bytes]] = OrderedDict()
        self._last = -1
        self._ahead = 0
        self._pool: ThreadPoolExecutor | None = None

    def readable(self) -> bool:
        """Say yes."""
        return True

    def seekable(self) -> bool:
        """Say yes."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read up to the end of a block.

        Raises:
            StorageError: the store gave less than there is; and whatever `get` raises.
        """
        view = memoryview(buffer).cast("B")
        if self._position >= self._size or not view:
            return 0
        number, start = divmod(self._position, BLOCK)
        block = self._block(number)
        count = min(len(view), len(block) - start)
        view[:count] = memoryview(block)[start : start + count]
        self._position += count
        return count

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place, without a request."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise OSError(errno.EINVAL, "seek before the start")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        """Return the place."""
        return self._position

    def close(self) -> None:
        """Forget the blocks; requests that did not begin never do."""
        if self._pool:
            self._pool.shutdown(wait=False, cancel_futures=True)
            self._pool = None
        self._blocks.clear()
        super().close()

    def _block(self, number: int) -> bytes:
        if number != self._last:
            goes_on = 0 < number - self._last <= NEAR
            self._ahead = min(2 * self._ahead or 1, AHEAD) if goes_on else 0
            self._last = number
            self._ask(number)
        try:
            return self._blocks[number].result()
        except BaseException:
            # Whoever asks again is to get another answer.
            self._last = -1 - NEAR
            self._blocks.clear()
            raise

    def _ask(self, number: int) -> None:
        last = (self._size - 1) // BLOCK
        for wanted in range(number, min(number + self._ahead, last) + 1):
            if wanted not in self._blocks:
                self._blocks[wanted] = self._asked(wanted)
            self._blocks.move_to_end(wanted)  # what is not to be read soon goes first
        while len(self._blocks) > HELD:
            self._blocks.popitem(last=False)

    def _asked(self, number: int) -> Future[bytes]:
        if self._ahead:
            self._pool = self._pool or ThreadPoolExecutor(AHEAD, "ahead")
            return self._pool.submit(self._fetched, number)
        here: Future[bytes] = Future()
        here.set_result(self._fetched(number))
        return here

    def _fetched(self, number: int) -> bytes:
        start = number * BLOCK
        length = min(BLOCK, self._size - start)
        data = self._get(start, length)
        if len(data) < length:
            raise StorageError(f"the store gave {len(data)} of {length} bytes at {start}")
        return data
