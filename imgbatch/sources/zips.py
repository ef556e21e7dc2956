"""Enters: a zip as a seekable file. Leaves: its members as Sources, read by offset.

Layout after PKWARE's APPNOTE 6.3.10. Read here and not by `zipfile`, which gives up the whole
archive for one name that is no UTF-8 or one unknown version, and holds every member in memory.
"""

from __future__ import annotations

import stat
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from imgbatch.errors import ArchiveError
from imgbatch.records import Source, Verdict
from imgbatch.sources.members import MEMBER_BYTES, Addresses
from imgbatch.sources.unpack import LOCAL, METHODS, STORED

if TYPE_CHECKING:
    from collections.abc import Iterator

END = struct.Struct("<4s4H2LH")
END64_LOCATOR = struct.Struct("<4sLQL")
END64 = struct.Struct("<4sQ2H2L4Q")
ENTRY = struct.Struct("<4s6H3L5H2L")
COMMENT_BYTES = 0xFFFF
FULL16 = 0xFFFF
FULL32 = 0xFFFFFFFF
LARGEST = 2**63 - 1
ENCRYPTED = 0x0001 | 0x0040 | 0x2000
UTF8 = 0x0800
MADE_ON_UNIX = 3
ZIP64_EXTRA, UNICODE_PATH = 0x0001, 0x7075


@dataclass(frozen=True, slots=True)
class _Directory:
    """Where the central directory lies.

    Attributes:
        start, size: in the file.
        count: entries as the end record says.
        shift: bytes before the zip proper (a self-extracting program): all offsets move by it.
    """

    start: int
    size: int
    count: int
    shift: int


@dataclass(frozen=True, slots=True)
class _Entry:
    name: str
    flags: int
    method: int
    crc: int
    packed_size: int
    size: int
    offset: int
    mode: int


def list_zip(file: BinaryIO, container: str) -> Iterator[Source]:
    """Yield the members of a zip; directories are none.

    Raises:
        ArchiveError: archive.truncated, archive.corrupt, archive.unsupported or archive.bomb.
            The members before the damage were yielded.
    """
    directory = _directory(file)
    addresses = Addresses(container)
    file.seek(directory.start)
    left, count = directory.size, 0
    while left > 0:
        entry, taken = _entry(file, left)
        left -= taken
        count += 1
        if entry.name.endswith(("/", "\\")) and entry.size == 0:
            continue
        yield Source(
            address=addresses.take(entry.name),
            version=f"{entry.crc:08x}",
            size=entry.size,
            container=container,
            packing="zip",
            offset=entry.offset + directory.shift,
            packed_size=entry.packed_size,
            method=entry.method,
            verdict=_verdict(entry, directory),
        )
    # Writers without zip64 let the count wrap.
    if count & FULL16 != directory.count & FULL16:
        raise ArchiveError("archive.corrupt", f"{directory.count} entries told, {count} found")


def _directory(file: BinaryIO) -> _Directory:
    size = file.seek(0, 2)
    tail_start = max(0, size - END.size - COMMENT_BYTES)
    file.seek(tail_start)
    tail = file.read(size - tail_start)
    at = _end_record(tail)
    if at < 0:
        file.seek(0)
        if file.read(4) == b"PK\x03\x04" or size == 0:
            raise ArchiveError("archive.truncated", f"zip without its end, {size} bytes are there")
        raise ArchiveError("archive.corrupt", "not a zip: no end record")
    _, disk, first_disk, _, count, length, offset, _ = END.unpack_from(tail, at)
    end = tail_start + at
    if FULL16 in (disk, count) or FULL32 in (length, offset):
        end, disk, count, length, offset = _end64(file, end) or (end, disk, count, length, offset)
        first_disk = 0
    if disk or first_disk:
        raise ArchiveError("archive.unsupported", "one part of a zip that is split into several")
    start = end - length
    if start < offset:
        raise ArchiveError("archive.corrupt", "the directory lies outside the file")
    return _Directory(start, length, count, start - offset)


def _end_record(tail: bytes) -> int:
    """Return where the end record begins: at best where its comment ends with the file."""
    fallback = -1
    at = tail.rfind(b"PK\x05\x06")
    while at >= 0:
        if at + END.size <= len(tail):
            ends = at + END.size + END.unpack_from(tail, at)[-1]
            if ends == len(tail):
                return at
            if ends < len(tail) and fallback < 0:
                fallback = at
        at = tail.rfind(b"PK\x05\x06", 0, at)
    return fallback


def _end64(file: BinaryIO, end: int) -> tuple[int, int, int, int, int] | None:
    """Return where the directory ends, disk, count, length and offset, as zip64 gives them."""
    at = end - END64_LOCATOR.size
    if at < 0:
        return None
    signature, _, told, _ = END64_LOCATOR.unpack(_at(file, at, END64_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return None
    # Right before its locator, else where the locator says: a program before the zip shifts that.
    for start in (at - END64.size, told):
        if 0 <= start <= at - END64.size:
            fields = END64.unpack(_at(file, start, END64.size))
            if fields[0] == b"PK\x06\x06":
                disk, count, length, offset = fields[4], fields[7], fields[8], fields[9]
                return start, disk, count, length, offset
    raise ArchiveError("archive.corrupt", "the zip64 end record is not where it should be")


def _at(file: BinaryIO, start: int, length: int) -> bytes:
    file.seek(start)
    return _exactly(file, length)


def _exactly(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) < length:
        raise ArchiveError("archive.truncated", "the file ends inside the zip's directory")
    return data


def _entry(file: BinaryIO, left: int) -> tuple[_Entry, int]:
    """Read one entry of the directory, of which `left` bytes are to come."""
    if left < ENTRY.size:
        raise ArchiveError("archive.corrupt", "the directory ends inside an entry")
    fields = ENTRY.unpack(_exactly(file, ENTRY.size))
    signature, made_by, _, flags, method, _, _, crc = fields[:8]
    packed_size, size, name_length, extra_length, comment_length = fields[8:13]
    attributes, offset = fields[15:]
    taken = ENTRY.size + name_length + extra_length + comment_length
    if signature != b"PK\x01\x02" or taken > left:
        raise ArchiveError("archive.corrupt", "an entry of the directory is damaged")
    rest = _exactly(file, taken - ENTRY.size)
    extra = rest[name_length : name_length + extra_length]
    size, packed_size, offset = _widened(extra, size, packed_size, offset)
    if max(size, packed_size, offset) > LARGEST:
        raise ArchiveError("archive.corrupt", "an entry of the directory is damaged")
    mode = attributes >> 16 if made_by >> 8 == MADE_ON_UNIX else 0
    name = _decoded(rest[:name_length], flags, extra)
    return _Entry(name, flags, method, crc, packed_size, size, offset, mode), taken


def _widened(extra: bytes, *values: int) -> list[int]:
    """Return the values, those that are full in 32 bits from the zip64 extra field."""
    wide = _extra(extra, ZIP64_EXTRA) if FULL32 in values else b""
    numbers = iter(struct.unpack(f"<{len(wide) // 8}Q", wide[: len(wide) // 8 * 8]))
    return [next(numbers, value) if value == FULL32 else value for value in values]


def _extra(extra: bytes, wanted: int) -> bytes:
    """Return what the first extra field of a kind holds; b"" where there is none."""
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _decoded(raw: bytes, flags: int, extra: bytes) -> str:
    """Return a name as text: UTF-8 where it is, else code page 437, as the format says.

    macOS writes UTF-8 without saying so; text in code page 437 is next to never valid UTF-8.
    Packers of Windows write the code page of their country, and UTF-8 in an extra field (APPNOTE,
    4.6.9), which holds as long as the name that it was made for still stands there.
    """
    if flags & UTF8:
        return raw.decode("utf-8", "surrogateescape")
    told = _extra(extra, UNICODE_PATH)
    if told[:5] == struct.pack("<BL", 1, zlib.crc32(raw)):
        return told[5:].decode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp437")


def _verdict(entry: _Entry, directory: _Directory) -> Verdict | None:
    """Return what is known of a member before it is read."""
    kind = stat.S_IFMT(entry.mode)
    if kind == stat.S_IFLNK:
        return Verdict("filtered", "link", "a symbolic link")
    if kind not in (0, stat.S_IFREG):
        return Verdict("filtered", "special", f"neither file nor link: mode {entry.mode:o}")
    if entry.flags & ENCRYPTED:
        return Verdict("failed", "archive.encrypted", "encrypted; imgbatch takes no passwords")
    if entry.offset + directory.shift + LOCAL.size > directory.start:
        return Verdict("failed", "archive.corrupt", "begins behind the last member")
    return _packing_verdict(entry)


def _packing_verdict(entry: _Entry) -> Verdict | None:
    if entry.method not in METHODS:
        return Verdict("failed", "archive.unsupported", f"compression method {entry.method}")
    if entry.method != STORED and entry.size > MEMBER_BYTES:
        return Verdict("failed", "archive.bomb", f"{entry.size} bytes unpacked")
    return None
