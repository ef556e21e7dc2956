"""Enters: a file's bytes. Leaves: the bytes that it holds, unpacked by content, in pieces.

What its mark says to be UTF-16, as Windows' PowerShell and spreadsheets write it, leaves as UTF-8.

Reddit's files ask for a zstd window of 2 GiB, and so they get it: the memory of reading one is
what its writer chose, whatever its length.
"""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import itertools
import lzma
import zlib
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

import zstandard

from imgbatch.errors import ArchiveError
from imgbatch.sources.streams import HEAD_BYTES, compression_of

if TYPE_CHECKING:
    from collections.abc import Iterator

WINDOW = 2**31
BUFFER = 2**18
# A zstd block of some bytes may stand for 128 KiB: little is put in at once, so little comes out.
PIECE = 2**12
UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# No UTF-8: stands for what was cut in the middle of a character.
HALF = b"\xff"


def unpacked(file: BinaryIO) -> io.BufferedReader:
    """Return a file as a stream of what it holds; closing that closes the file.

    Raises:
        ArchiveError: archive.corrupt or archive.truncated, from its reads too.
    """
    stream = _unpacked(file)
    try:
        stream, head = _begun(stream, len(UTF_16[0]))
        if head not in UTF_16:
            return stream
    except BaseException:
        stream.close()
        raise
    return io.BufferedReader(Pieces(_as_utf_8(stream), stream), BUFFER)


def _as_utf_8(file: io.BufferedReader) -> Iterator[bytes]:
    """Yield what a file of UTF-16 says; what is no text in it is no UTF-8 either."""
    decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")
    while data := file.read1(BUFFER):
        yield decoder.decode(data).encode("utf-8", "surrogatepass")
    if decoder.getstate()[0]:
        yield HALF


def _unpacked(file: BinaryIO) -> io.BufferedReader:
    buffered = file if isinstance(file, io.BufferedReader) else io.BufferedReader(_raw(file))
    buffered, head = _begun(buffered, HEAD_BYTES)
    compression = compression_of(head)
    stream: BinaryIO
    if compression is None:
        return buffered
    if compression == "gz":
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=buffered, mode="rb"))
    elif compression == "bz2":
        stream = cast("BinaryIO", bz2.BZ2File(buffered))
    elif compression == "xz":
        stream = cast("BinaryIO", lzma.LZMAFile(buffered))  # noqa: SIM115 - _Unpacked closes it
    else:
        stream = cast("BinaryIO", Pieces(_zstd(buffered)))
    return io.BufferedReader(_Unpacked(stream, buffered), BUFFER)


def _begun(stream: io.BufferedReader, count: int) -> tuple[io.BufferedReader, bytes]:
    """Return a stream that is still at its begin, and its first bytes: fewer only where it ends."""
    head = stream.peek(count)[:count]
    if len(head) >= count:
        return stream, head
    # A read may give less than there is.
    head = stream.read(count)
    pieces = itertools.chain([head] if head else [], iter(partial(stream.read1, BUFFER), b""))
    return io.BufferedReader(Pieces(pieces, stream), BUFFER), head


def _raw(file: BinaryIO) -> io.RawIOBase:
    return cast("io.RawIOBase", file)


class Pieces(io.RawIOBase):
    """Bytes that come in pieces of any size, as a file; closes the file they are made of."""

    def __init__(self, pieces: Iterator[bytes], file: BinaryIO | None = None) -> None:
        self._pieces = pieces
        self._file = file
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as the next piece goes; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type] # any buffer will do
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = memoryview(piece)
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Close the file too."""
        if self._file is not None:
            self._file.close()
        super().close()


class _Unpacked(io.RawIOBase):
    """Turns what the engines raise into ArchiveErrors."""

    def __init__(self, stream: BinaryIO, packed: io.BufferedReader) -> None:
        self._stream = stream
        self._packed = packed
        # What lies before damage is given before that is told: no more than one piece at a time.
        self._read = getattr(stream, "read1", stream.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type] # any buffer will do
        try:
            data = self._read(len(view))
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
        view[: len(data)] = data
        return len(data)

    def close(self) -> None:
        self._stream.close()
        self._packed.close()
        super().close()


def _zstd(file: io.BufferedReader) -> Iterator[bytes]:
    """Yield what a zstd file holds, all its frames.

    The library's own reader takes a cut frame for the end of the file; this tells them apart.
    """
    engine = zstandard.ZstdDecompressor(max_window_size=WINDOW)
    frame = engine.decompressobj()
    inside = False
    while data := file.read(PIECE):
        while data:
            inside = True
            yield frame.decompress(data)
            data = b""
            if frame.eof:
                data = frame.unused_data
                frame = engine.decompressobj()
                inside = False
    if inside:
        raise EOFError("inside a zstd frame")
