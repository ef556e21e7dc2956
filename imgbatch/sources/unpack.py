"""Enters: a zip at a member's local header. Leaves: the member's bytes, bounded and checked."""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

import zstandard

from imgbatch.errors import ArchiveError
from imgbatch.sources.blobs import CHUNK, fetching
from imgbatch.sources.members import WINDOW_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.records import Source

LOCAL = struct.Struct("<4s5H3L2H")
STORED, DEFLATED, BZIP2, LZMA, ZSTD = 0, 8, 12, 14, 93
LZMA_PROPERTIES = 5


def unpack_zip(file: BinaryIO, source: Source) -> Iterator[bytes]:
    """Yield the bytes of a member; `file` stands at its local header.

    Raises:
        ArchiveError: archive.truncated or archive.corrupt; only after the last chunk are the bytes
            known to be good.
        FetchError: the file cannot be read.
    """
    part = _Part(file, source)
    crc = total = 0
    try:
        for chunk in METHODS[source.method or STORED](part):
            total += len(chunk)
            if total > source.size:
                raise ArchiveError("archive.corrupt", f"more than its {source.size} bytes")
            crc = zlib.crc32(chunk, crc)
            yield chunk
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, EOFError, OSError) as error:
        raise ArchiveError("archive.corrupt", f"cannot be unpacked: {error}") from error
    if total < source.size:
        raise ArchiveError("archive.corrupt", f"{total} of its {source.size} bytes")
    if f"{crc:08x}" != source.version:
        raise ArchiveError("archive.corrupt", f"CRC is {crc:08x}, not {source.version}")


class _Part:
    """The packed bytes of one member, as a file that can only be read."""

    def __init__(self, file: BinaryIO, source: Source) -> None:
        self._file = file
        self._container = source.container or source.address
        self._left = LOCAL.size
        header = LOCAL.unpack(self.read(LOCAL.size))
        if header[0] != b"PK\x03\x04":
            raise ArchiveError("archive.corrupt", "no member begins where the directory says")
        self._left = header[9] + header[10]
        self.read(self._left)
        self._left = source.packed_size or 0

    def read(self, length: int) -> bytes:
        wanted = min(length, self._left)
        with fetching(self._container):
            data = self._file.read(wanted)
        if len(data) < wanted:
            raise ArchiveError("archive.truncated", "the archive ends inside this member")
        self._left -= wanted
        return data


def _stored(part: _Part) -> Iterator[bytes]:
    while chunk := part.read(CHUNK):
        yield chunk


def _inflated(part: _Part) -> Iterator[bytes]:
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    while not engine.eof and (data := engine.unconsumed_tail or part.read(CHUNK)):
        yield engine.decompress(data, CHUNK)
    # At most a few hundred bytes: what the last bits of input still stood for.
    yield engine.flush()


class _Engine(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


def _pulled(engine: _Engine, part: _Part) -> Iterator[bytes]:
    while not engine.eof:
        data = part.read(CHUNK) if engine.needs_input else b""
        if engine.needs_input and not data:
            return
        yield engine.decompress(data, CHUNK)


def _bunzipped(part: _Part) -> Iterator[bytes]:
    return _pulled(bz2.BZ2Decompressor(), part)


def _unlzma(part: _Part) -> Iterator[bytes]:
    header = part.read(4)
    properties = part.read(LZMA_PROPERTIES)
    if header[2:] != struct.pack("<H", LZMA_PROPERTIES) or len(properties) < LZMA_PROPERTIES:
        raise ArchiveError("archive.corrupt", "an LZMA header that is none")
    engine = lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=2 * WINDOW_BYTES)
    # The header of a .lzma file of unknown size: the same stream, and the only public way to set
    # a memory limit for it.
    engine.decompress(properties + b"\xff" * 8)
    return _pulled(engine, part)


def _unzstd(part: _Part) -> Iterator[bytes]:
    engine = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES)
    with engine.stream_reader(
        cast("BinaryIO", part), read_across_frames=True, closefd=False
    ) as reader:
        while chunk := reader.read(CHUNK):
            yield chunk


METHODS: dict[int, Callable[[_Part], Iterator[bytes]]] = {
    STORED: _stored,
    DEFLATED: _inflated,
    BZIP2: _bunzipped,
    LZMA: _unlzma,
    ZSTD: _unzstd,
}
