"""Enters: a compressed tar. Leaves: its tape, or wanted members in order, all in one pass."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import zlib
from typing import TYPE_CHECKING, BinaryIO, Literal, cast

import zstandard

from imgbatch.attempts import pause
from imgbatch.errors import ArchiveError, FetchError, SourceError
from imgbatch.sources.blobs import CHUNK, fetching, gather, open_whole
from imgbatch.sources.members import MEMBER_BYTES, WINDOW_BYTES, is_named
from imgbatch.sources.tars import FileTape, walk
from imgbatch.storage import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgbatch.media import Blob
    from imgbatch.records import Packing, Source
    from imgbatch.settings import Limits
    from imgbatch.sources.tars import Header, Tape

Compression = Literal["gz", "bz2", "xz", "zst"]

# A stream that gave more than BOMB_BYTES and more than BOMB_RATIO times what was put in is
# `archive.bomb`. Folders of empty files, the emptiest honest tars, come to about 100 times.
BOMB_BYTES = 2**30
BOMB_RATIO = 200

MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gz"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
)
# pzstd begins with a skippable frame: 16 magic numbers that differ in half a byte.
ZSTD_SKIPPABLE, ZSTD_SKIPPABLE_FIRST = b"\x2a\x4d\x18", 0x5
HEAD_BYTES = 64
GONE = FetchError("fetch.changed", "the archive has no such member any more")


def compression_of(head: bytes) -> Compression | None:
    """Return how a file is compressed by its first bytes; None: it is not."""
    for magic, compression in MAGIC:
        if head.startswith(magic):
            return compression
    if head[1:4] == ZSTD_SKIPPABLE and head[0] >> 4 == ZSTD_SKIPPABLE_FIRST:
        return "zst"
    return None


class StreamTape:
    """The unpacked bytes of a compressed file; forgets what it handed out.

    Args:
        unpacked: gives the unpacked bytes.
        packed: the file that these come from; its position says how much was put in.
    """

    def __init__(self, unpacked: BinaryIO, packed: BinaryIO) -> None:
        self._unpacked = unpacked
        self._packed = packed
        self.position = 0

    def read(self, length: int) -> bytes:
        """Return that many bytes; fewer only at the end.

        Raises:
            ArchiveError: archive.corrupt, archive.truncated or archive.bomb.
        """
        try:
            data = self._unpacked.read(length)
        except EOFError as error:
            raise ArchiveError("archive.truncated", f"the stream is cut: {error}") from error
        except (zlib.error, lzma.LZMAError, zstandard.ZstdError) as error:
            raise ArchiveError("archive.corrupt", f"cannot be unpacked: {error}") from error
        except MemoryError as error:
            raise ArchiveError("archive.bomb", "needs more memory than there is") from error
        except OSError as error:
            # gzip and bz2 raise it for bad data, without a number; the file system gives one.
            if error.errno is not None:
                raise
            raise ArchiveError("archive.corrupt", f"cannot be unpacked: {error}") from error
        self.position += len(data)
        if self.position > BOMB_BYTES and self.position > BOMB_RATIO * self._packed.tell():
            raise ArchiveError("archive.bomb", f"unpacks to more than {BOMB_RATIO} times its size")
        return data

    def skip(self, length: int) -> None:
        """Read on and forget."""
        while length > 0:
            data = self.read(min(length, CHUNK))
            if not data:
                raise ArchiveError("archive.truncated", "the stream ends inside a member")
            length -= len(data)


@contextlib.contextmanager
def open_tape(file: BinaryIO) -> Iterator[tuple[Tape, Packing]]:
    """Open a tar, compressed or not, as a tape; the file stays the caller's to close.

    Raises:
        ArchiveError: archive.unsupported, its zstd window is larger than WINDOW_BYTES.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    compression = compression_of(head)
    if compression is None:
        yield FileTape(file), "tar"
        return
    with contextlib.closing(_unpacked(file, head, compression)) as unpacked:
        yield StreamTape(unpacked, file), "stream"


def _unpacked(file: BinaryIO, head: bytes, compression: Compression) -> BinaryIO:
    if compression == "gz":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb"))
    if compression == "bz2":
        return cast("BinaryIO", bz2.BZ2File(file))
    if compression == "xz":
        return cast("BinaryIO", lzma.LZMAFile(file))
    _check_window(head)
    engine = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    return cast("BinaryIO", engine.stream_reader(file, read_across_frames=True, closefd=False))


def _check_window(head: bytes) -> None:
    try:
        window = zstandard.get_frame_parameters(head).window_size
    except zstandard.ZstdError as error:
        raise ArchiveError("archive.corrupt", f"cannot be unpacked: {error}") from error
    if window > WINDOW_BYTES:
        raise ArchiveError("archive.unsupported", f"a zstd window of {window} bytes")


def read_stream(
    container: str,
    wanted: Iterable[Source],
    *,
    limits: Limits,
    report: Callable[[Source, int, SourceError], None] | None = None,
) -> Iterator[tuple[Source, Blob | SourceError]]:
    """Yield the wanted members of a compressed tar in one pass from its front.

    Decision, 2026-11: where the order breaks, another pass begins. A tar that was written anew with
    members in between has shards that lie across each other, and none of them may be given up.
    Drawback: a pass for each such shard.

    Args:
        container: its address.
        wanted: members, none with a verdict; asked for one by one. In the order of the stream they
            take one pass, else one more for each that lies before the one that came before it.
        limits: `fetched_bytes`: a larger member goes to a temporary file; `fetch_attempts`: how
            often the pass is begun again from the front before a member is given up for a store
            that fails in a way that may pass.
        report: told of each attempt that is followed by another: the member that is next, the
            attempt's number, its error.

    Yields:
        Each wanted source once, as they were asked for, with its bytes or with why there are none.
        After damage all the rest come with the same error. A pass ends with its last member.

    Raises:
        StorageError: a temporary file cannot be written.
    """
    queue = _Queue(wanted)
    why: SourceError | None = None
    number = 1
    while why is None and (source := queue.first) is not None:
        try:
            for pair in _pass(container, queue, limits):
                yield pair
                number = 1
        except SourceError as error:
            if not error.retryable or number >= limits.fetch_attempts:
                why = error
                continue
            if report:
                report(queue.first or source, number, error)
            pause(number)
            number += 1
    while why is not None and (source := queue.first) is not None:
        yield source, why
        queue.drop()


class _Queue:
    """The wanted members that were not given yet, asked for one by one."""

    def __init__(self, wanted: Iterable[Source]) -> None:
        self._left = iter(wanted)
        self.first = next(self._left, None)

    def drop(self) -> None:
        self.first = next(self._left, None)


def _pass(
    container: str, queue: _Queue, limits: Limits
) -> Iterator[tuple[Source, Blob | SourceError]]:
    """Read from the front until the last wanted member, or the last before one that lies behind."""
    passed = -1
    with _opened(container) as tape:
        for header in _walk(container, tape):
            while (source := queue.first) and passed < _offset(source) < header.offset:
                passed = _offset(source)
                yield source, GONE
                queue.drop()
            if source is None or _offset(source) <= passed:
                return
            if source.offset == header.offset:
                passed = header.offset
                yield source, _member(tape, header, source, limits)
                queue.drop()
                if queue.first is None or _offset(queue.first) <= passed:
                    return
    while (source := queue.first) and passed < _offset(source):
        passed = _offset(source)
        yield source, GONE
        queue.drop()


def _offset(source: Source) -> int:
    assert source.offset is not None, "the listing records each member's offset"
    return source.offset


@contextlib.contextmanager
def _opened(container: str) -> Iterator[Tape]:
    with contextlib.ExitStack() as stack:
        with fetching(container):
            store, name = locate(container)
            file = stack.enter_context(open_whole(store, name))
            tape, _ = stack.enter_context(open_tape(file))
        yield tape


def _walk(container: str, tape: Tape) -> Iterator[Header]:
    with fetching(container):
        yield from walk(tape)


def _member(tape: Tape, header: Header, source: Source, limits: Limits) -> Blob | SourceError:
    if header.version != source.version or not is_named(source, header.name):
        return FetchError("fetch.changed", "another member stands in its place now")
    if header.size > MEMBER_BYTES:
        return ArchiveError("archive.bomb", f"{header.size} bytes unpacked")
    chunks = _chunks(source.container or source.address, tape, header.size)
    return gather(chunks, size=header.size, in_memory=limits.fetched_bytes)


def _chunks(container: str, tape: Tape, size: int) -> Iterator[bytes]:
    left = size
    with fetching(container):
        while left > 0:
            data = tape.read(min(left, CHUNK))
            if not data:
                raise ArchiveError("archive.truncated", "the stream ends inside this member")
            left -= len(data)
            yield data
