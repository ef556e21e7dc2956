"""Archives made by hand, with what the standard writers refuse to write."""

from __future__ import annotations

import io
import struct
import tarfile
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imgbatch.sources import open_input

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from imgbatch.records import Source

FULL32 = 0xFFFFFFFF


@dataclass
class Packed:
    """One zip member, every field of it free."""

    name: bytes
    data: bytes = b""
    method: int = 0
    packed: bytes | None = None
    crc: int | None = None
    size: int | None = None
    flags: int = 0
    made_by: int = 20
    attributes: int = 0
    local_extra: bytes = b""
    extra: bytes = b""
    zip64: bool = False
    offset: int | None = None


def zip_bytes(
    members: Iterable[Packed], *, prefix: bytes = b"", comment: bytes = b"", end64: bool = False
) -> bytes:
    """Return a zip; its offsets count from after the prefix, as those of a real installer do."""
    body, directory, count = b"", b"", 0
    for m in members:
        packed = m.data if m.packed is None else m.packed
        crc = zlib.crc32(m.data) if m.crc is None else m.crc
        size = len(m.data) if m.size is None else m.size
        offset = len(body) if m.offset is None else m.offset
        told = (FULL32, FULL32, FULL32) if m.zip64 else (len(packed), size, offset)
        wide = struct.pack("<2H3Q", 1, 24, size, len(packed), offset) if m.zip64 else b""
        extra = m.extra + wide
        common = (m.flags, m.method, 0, 0, crc)
        lengths = (len(m.name), len(m.local_extra))
        body += struct.pack("<4s5H3L2H", b"PK\3\4", 20, *common, len(packed), size, *lengths)
        body += m.name + m.local_extra + packed
        directory += struct.pack("<4s6H", b"PK\1\2", m.made_by, 20, *common[:4])
        directory += struct.pack("<3L", crc, told[0], told[1])
        directory += struct.pack("<5H", len(m.name), len(extra), 0, 0, 0)
        directory += struct.pack("<2L", m.attributes, told[2]) + m.name + extra
        count += 1
    start, length = len(body), len(directory)
    end = b""
    if end64:
        at = start + length
        end += struct.pack("<4sQ2H2L", b"PK\6\6", 44, 45, 45, 0, 0)
        end += struct.pack("<4Q", count, count, length, start)
        end += struct.pack("<4sLQL", b"PK\6\7", 0, at, 1)
        end += struct.pack("<4s4H2L", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, FULL32, FULL32)
    else:
        end += struct.pack("<4s4H2L", b"PK\5\6", 0, 0, count, count, length, start)
    return prefix + body + directory + end + struct.pack("<H", len(comment)) + comment


def tar_bytes(members: dict[str, bytes], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    """Return a plain tar of files; the n-th has the modification time n."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for number, (name, data) in enumerate(members.items()):
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), number
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def tar_header(name: str, *, kind: bytes = b"0", size: int = 0, mtime: int = 0) -> bytes:
    """Return one header block."""
    info = tarfile.TarInfo(name)
    info.type, info.size, info.mtime = kind, size, mtime
    return info.tobuf(tarfile.GNU_FORMAT)[-tarfile.BLOCKSIZE :]


def rechecked(block: bytes) -> bytes:
    """Return a header block with its checksum set right."""
    total = sum(block[:148]) + 8 * 32 + sum(block[156:])
    return block[:148] + f"{total:06o}\0 ".encode() + block[156:]


def padded(data: bytes) -> bytes:
    """Return data filled up to whole blocks."""
    return data + bytes(-len(data) % tarfile.BLOCKSIZE)


END = bytes(2 * tarfile.BLOCKSIZE)


def listed(path: Path, data: bytes) -> tuple[list[Source], Source]:
    """Write an archive and list it: its members, and the archive's own source."""
    path.write_bytes(data)
    *members, own = open_input(str(path))
    assert own.address == f"file://{path}"
    return members, own


def names(sources: Iterable[Source]) -> list[str]:
    """Return what stands behind `!/` in each address."""
    return [source.address.partition("!/")[2] for source in sources]


def error_class(source: Source) -> str | None:
    """Return the error class of a source's verdict."""
    return source.verdict.error_class if source.verdict else None
