"""Enters: a tar as a tape that runs forward. Leaves: its members as Sources.

Knows ustar, GNU long names, PAX headers, base-256 numbers and sparse files. `tarfile` parses the
single header block; walking is done here, because `tarfile` holds a PAX header of any size in
memory, and ends without a word at a damaged header.
"""

from __future__ import annotations

import io
import re
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

from imgbatch.errors import ArchiveError
from imgbatch.records import Source, Verdict
from imgbatch.sources.members import MEMBER_BYTES, Addresses

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.records import Packing

BLOCK = tarfile.BLOCKSIZE
ZEROS = bytes(BLOCK)
# A long name or PAX header larger than this is `archive.bomb`; real ones take a few hundred bytes.
HEADER_BYTES = 2**20
# A name longer than this is `archive.corrupt`; a zip cannot hold longer ones either.
NAME_BYTES = 2**16 - 1
LARGEST = 2**63 - 1
PAX = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
REGULAR = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
LINKS = (tarfile.LNKTYPE, tarfile.SYMTYPE)
DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
GNU_DUMPDIR = b"D"
FOLDERS = (tarfile.DIRTYPE, GNU_DUMPDIR)
# Of these the size field means nothing: no data follows.
BARE = (*LINKS, *DEVICES, tarfile.DIRTYPE)
# Offsets in old GNU sparse headers of the byte that says: another block of the map follows.
SPARSE_MORE, SPARSE_MORE_AGAIN = 482, 504
# Keys of extended attributes take a prefix and up to 255 bytes of their own.
PAX_RECORD = re.compile(rb"(\d{1,7}) ([^=]{1,1000})=")
PAX_SIZE = re.compile(r"\d{1,18}")


class Tape(Protocol):
    """Bytes that come in order.

    Attributes:
        position: bytes read or skipped so far.
    """

    position: int

    def read(self, length: int) -> bytes:
        """Return that many bytes; fewer only at the end."""

    def skip(self, length: int) -> None:
        """Go on by that many bytes.

        Raises:
            ArchiveError: archive.truncated, there are not that many.
        """


@dataclass(frozen=True, slots=True)
class Header:
    """One member as its headers describe it.

    Attributes:
        offset: where its data begin on the tape.
        size: bytes of its data on the tape.
        mtime: seconds, as the header block has it (a PAX time is not looked at).
    """

    name: str
    type: bytes
    offset: int
    size: int
    mtime: int
    sparse: bool

    @property
    def version(self) -> str:
        """What changes when the member does."""
        return f"{self.size}-{self.mtime}"

    @property
    def end(self) -> int:
        """Where the next header begins on the tape."""
        return self.offset + _padded(self.size)


class FileTape:
    """A plain tar in a seekable file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        self.position = 0

    def read(self, length: int) -> bytes:
        """Return that many bytes; fewer only at the end."""
        data = self._file.read(length)
        self.position += len(data)
        return data

    def skip(self, length: int) -> None:
        """Seek forward."""
        self.position += length
        if self.position > self._size:
            raise ArchiveError("archive.truncated", "the file ends inside a member")
        self._file.seek(self.position)


def list_tar(tape: Tape, container: str, *, packing: Packing) -> Iterator[Source]:
    """Yield the members of a tar; directories are none.

    Raises:
        ArchiveError: archive.truncated, archive.corrupt or archive.bomb. The members before the
            damage were yielded.
    """
    addresses = Addresses(container)
    for header in walk(tape):
        if is_folder(header):
            continue
        yield Source(
            address=addresses.take(header.name),
            version=header.version,
            size=header.size,
            container=container,
            packing=packing,
            offset=header.offset,
            packed_size=header.size,
            verdict=_verdict(header, packing),
        )


def walk(tape: Tape) -> Iterator[Header]:
    """Yield each member's header; its data may be read from the tape before the next is asked for.

    A tar that goes on after its end mark (two tars joined with `cat`) is read on.

    Raises:
        ArchiveError: see list_tar.
    """
    common: dict[str, str] = {}
    while True:
        header = _next(tape, common)
        if header is None:
            return
        yield header
        tape.skip(header.end - tape.position)


def _next(tape: Tape, common: dict[str, str]) -> Header | None:
    """Return the next member's header, with what the headers before it add; None at the end.

    `common` is what global PAX headers said so far, and grows here.
    """
    own: dict[str, str] = {}
    while (found := _block(tape)) is not None:
        info, block = found
        if info.type in PAX:
            own |= _pax(_extension(tape, info))
        elif info.type == tarfile.XGLTYPE:
            common |= _pax(_extension(tape, info))
        elif info.type == tarfile.GNUTYPE_LONGNAME:
            own["path"] = _text(_extension(tape, info).partition(b"\0")[0])
        elif info.type == tarfile.GNUTYPE_LONGLINK:
            _extension(tape, info)
        else:
            if info.type == tarfile.GNUTYPE_SPARSE and block[SPARSE_MORE]:
                _skip_sparse_map(tape)
            return _header(tape, info, common | own)
    if own:
        raise ArchiveError("archive.truncated", "ends between a member's headers")
    return None


def _block(tape: Tape) -> tuple[tarfile.TarInfo, bytes] | None:
    """Return the next header, parsed and as it is, None at the end of the tar."""
    ended = False
    while True:
        start = tape.position
        block = tape.read(BLOCK)
        if block == ZEROS:
            ended = True
            continue
        if len(block) < BLOCK and not ended:
            missing = "ends inside a header" if block else "no end mark: it may have been cut"
            raise ArchiveError("archive.truncated", missing)
        try:
            return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape"), block
        except tarfile.HeaderError as error:
            # What stands behind the end mark and is no header belongs to no tar.
            if ended:
                return None
            problem = f"damaged header at byte {start}" if start else "not a tar"
            raise ArchiveError("archive.corrupt", f"{problem}: {error}") from error


def _extension(tape: Tape, info: tarfile.TarInfo) -> bytes:
    if not 0 <= info.size <= HEADER_BYTES:
        raise ArchiveError("archive.bomb", f"a header of {info.size} bytes")
    data = tape.read(_padded(info.size))
    if len(data) < info.size:
        raise ArchiveError("archive.truncated", "ends inside a header")
    return data[: info.size]


def _pax(data: bytes) -> dict[str, str]:
    """Return the records that matter here: path, size, and whether the file is sparse."""
    found: dict[str, str] = {}
    at = 0
    while at < len(data) and data[at]:
        record = PAX_RECORD.match(data, at)
        end = at + int(record[1]) if record else 0
        if record is None or not record.end() < end <= len(data):
            raise ArchiveError("archive.corrupt", "a damaged PAX header")
        key, value = record[2], data[record.end() : end - 1]
        if key in (b"path", b"GNU.sparse.name"):
            found["path"] = _text(value)
        elif key == b"size":
            found["size"] = _text(value)
        if key.startswith(b"GNU.sparse."):
            found["sparse"] = "yes"
        at = end
    return found


def _header(tape: Tape, info: tarfile.TarInfo, added: dict[str, str]) -> Header:
    size = info.size
    if added.get("size"):
        size = int(added["size"]) if PAX_SIZE.fullmatch(added["size"]) else -1
    name = added.get("path") or info.name
    if not 0 <= size <= LARGEST or len(name) > NAME_BYTES:
        raise ArchiveError("archive.corrupt", "a member of impossible size or name")
    if info.type in BARE:
        size = 0
    sparse = info.type == tarfile.GNUTYPE_SPARSE or "sparse" in added
    return Header(name, info.type, tape.position, size, int(info.mtime), sparse)


def _skip_sparse_map(tape: Tape) -> None:
    more = True
    while more:
        block = tape.read(BLOCK)
        if len(block) < BLOCK:
            raise ArchiveError("archive.truncated", "ends inside a header")
        more = bool(block[SPARSE_MORE_AGAIN])


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def is_folder(header: Header) -> bool:
    """Tell whether a member is a directory."""
    named = header.type in REGULAR and header.name.endswith("/") and header.size == 0
    return header.type in FOLDERS or named


def _verdict(header: Header, packing: Packing) -> Verdict | None:
    """Return what is known of a member before it is read."""
    if header.type in LINKS:
        return Verdict("filtered", "link", "a link to another file")
    if header.sparse:
        return Verdict("failed", "archive.unsupported", "a sparse file")
    if header.type not in REGULAR:
        kind = header.type.decode("latin-1")
        return Verdict("filtered", "special", f"neither file nor link: type {kind!r}")
    if packing == "stream" and header.size > MEMBER_BYTES:
        return Verdict("failed", "archive.bomb", f"{header.size} bytes unpacked")
    return None
