"""Sources of a shard enter; what was found of each leaves, in order, with few of them under way.

chunks -> fetched -> decoding threads, each a lane -> examined, in order
"""

from __future__ import annotations

import contextlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.media.gate import ByteGate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.carry import Shift
    from imgbatch.examine import Examined
    from imgbatch.media import Blob
    from imgbatch.records import Source
    from imgbatch.settings import Limits

    Fetched = Callable[[], Blob] | None
    Fetcher = Callable[[Source], Fetched]
    Examine = Callable[[int, Source, Fetched], Examined]

FETCHED_IN_FLIGHT = 128 * 2**20
# What a decoding thread takes in one go. Handing over costs as much as decoding a small picture.
CHUNK_SOURCES = 16
CHUNK_BYTES = 2**20
CHUNKS_PER_THREAD = 3


class Lanes:
    """The decoding threads of one process, and how much is fetched ahead of them."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._fetched = ByteGate(FETCHED_IN_FLIGHT)
        self._decoders = ThreadPoolExecutor(limits.threads, "decode")

    def close(self) -> None:
        """End the threads; what has not begun is left."""
        self._decoders.shutdown(cancel_futures=True)

    def examined(
        self,
        shift: Shift,
        examine: Examine,
        fetcher: Fetcher,
    ) -> Iterator[Examined]:
        """Yield the sources of a shard that are to be read, examined, in the order of their places.

        Args:
            shift: the shard and what is to be done in it.
            examine: decodes and analyzes one source; runs in a lane.
            fetcher: begins to fetch a source; what it returns waits for the bytes.
        """
        under_way: deque[Future[list[Examined]]] = deque()
        window = self._window(shift)
        for chunk in _chunks(shift, self._limits.threads):
            # Bytes are counted before they are fetched, in order, so nothing waits in a circle.
            held = contextlib.ExitStack()
            held.enter_context(self._fetched.hold(self._held_bytes(chunk)))
            fetches = [fetcher(source) for _, source in chunk]
            future = self._decoders.submit(_examine_chunk, examine, chunk, fetches)
            future.add_done_callback(partial(_release, held))
            under_way.append(future)
            while len(under_way) >= window or (under_way and under_way[0].done()):
                yield from under_way.popleft().result()
        while under_way:
            yield from under_way.popleft().result()

    def _window(self, shift: Shift) -> int:
        """Return how many chunks are under way: from a bucket enough to keep its fetchers busy."""
        limits = self._limits
        chunks = CHUNKS_PER_THREAD * limits.threads
        if not shift.places or shift.sources[shift.places[0]].address.startswith("file:"):
            return chunks
        sizes = [shift.sources[place].size for place in shift.places]
        per_chunk = max(1, min(CHUNK_SOURCES, CHUNK_BYTES * len(sizes) // max(1, sum(sizes))))
        return max(chunks, limits.threads + -(-limits.fetch_threads // per_chunk))

    def _held_bytes(self, chunk: list[tuple[int, Source]]) -> int:
        # A larger object is read from its file, never held whole.
        return sum(min(source.size, self._limits.fetched_bytes) for _, source in chunk)


def _chunks(shift: Shift, threads: int) -> Iterator[list[tuple[int, Source]]]:
    """Cut what is to be read into what one thread takes in one go, each source with its place.

    Few sources, as in a shard of which little changed, are shared among all threads.
    """
    most = min(CHUNK_SOURCES, -(-len(shift.places) // threads))
    chunk: list[tuple[int, Source]] = []
    size = 0
    for place in shift.places:
        source = shift.sources[place]
        if chunk and (len(chunk) == most or size + source.size > CHUNK_BYTES):
            yield chunk
            chunk, size = [], 0
        chunk.append((place, source))
        size += source.size
    if chunk:
        yield chunk


def _examine_chunk(
    examine: Examine, chunk: list[tuple[int, Source]], fetches: list[Fetched]
) -> list[Examined]:
    return [examine(i, source, fetch) for (i, source), fetch in zip(chunk, fetches, strict=True)]


def _release(held: contextlib.ExitStack, _: Future[list[Examined]]) -> None:
    held.close()
