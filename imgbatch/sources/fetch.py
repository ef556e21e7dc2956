"""Enters: a Source that is read by itself. Leaves: its Blob, or the SourceError that says why not.

Members of compressed tars are read by `streams.read_stream`.
"""

from __future__ import annotations

import io
import os
import tarfile
from typing import TYPE_CHECKING

from imgbatch.errors import ArchiveError, FetchError
from imgbatch.media import Blob
from imgbatch.sources.blobs import CHUNK, Held, fetching, gather
from imgbatch.sources.names import claims_video
from imgbatch.sources.tars import BLOCK
from imgbatch.sources.unpack import LOCAL, unpack_zip
from imgbatch.storage import locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.records import Source
    from imgbatch.settings import Limits
    from imgbatch.storage import Store

LOCAL_SCHEME = "file://"
# Asked for beyond a zip member's packed bytes, so that one request also brings its local header;
# names and extra fields that take more cost a second request.
HEADER_GUESS = LOCAL.size + 512


def fetch(source: Source, *, limits: Limits) -> Blob:
    """Return the bytes of a source.

    Up to `limits.fetched_bytes` they are in memory. Beyond, and for videos on this machine, the
    Blob reads from the file, which it keeps open; from a bucket or out of a compressed member they
    go to a temporary file, which vanishes with the Blob.

    Raises:
        FetchError: fetch.missing, fetch.denied, fetch.changed (its size is another than listed),
            fetch.failed.
        ArchiveError: archive.truncated, archive.corrupt.
        StorageError: a temporary file cannot be written.
        ValueError: the source lies in a compressed tar.
    """
    if source.container is None:
        return _plain(source, limits)
    if source.packing == "zip":
        return _zip_member(source, limits)
    if source.packing == "tar":
        return _tar_member(source, limits)
    raise ValueError(f"{source.address} lies in a compressed tar: use read_stream")


def _plain(source: Source, limits: Limits) -> Blob:
    address, size = source.address, source.size
    large = size > limits.fetched_bytes
    if address.startswith(LOCAL_SCHEME):
        with fetching(address):
            store, name = locate(address)
            if large or claims_video(name):
                with store.open(name) as file:
                    found = os.fstat(file.fileno()).st_size
                    _check_size(found, size)
                    return Held(os.dup(file.fileno()), 0, found).blob()
            data = store.get_range(name, 0, size + 1)
    elif large:
        return gather(_whole(source), size=size, in_memory=limits.fetched_bytes)
    else:
        with fetching(address):
            store, name = locate(address)
            data = store.get(name)
    _check_size(len(data), size)
    return Blob.of(data)


def _check_size(found: int, listed: int) -> None:
    if found != listed:
        raise FetchError("fetch.changed", f"{found} bytes now, {listed} when it was listed")


def _whole(source: Source) -> Iterator[bytes]:
    with fetching(source.address):
        store, name = locate(source.address)
        _check_size(store.head(name).size, source.size)
        with store.open(name) as file:
            while chunk := file.read(CHUNK):
                yield chunk


def _zip_member(source: Source, limits: Limits) -> Blob:
    chunks = _zip_chunks(source, limits)
    return gather(chunks, size=source.size, in_memory=limits.fetched_bytes)


def _zip_chunks(source: Source, limits: Limits) -> Iterator[bytes]:
    store, name, offset = _place(source)
    packed = source.packed_size or 0
    if packed <= limits.fetched_bytes:
        with fetching(source.address):
            data = store.get_range(name, offset, HEADER_GUESS + packed)
        if _header_bytes(data) <= HEADER_GUESS:
            yield from unpack_zip(io.BytesIO(data), source)
            return
    with fetching(source.address):
        file = store.open(name)
    with file:
        with fetching(source.address):
            file.seek(offset)
        yield from unpack_zip(file, source)


def _header_bytes(data: bytes) -> int:
    if len(data) < LOCAL.size:
        return 0
    fields = LOCAL.unpack_from(data)
    return LOCAL.size + int(fields[9]) + int(fields[10])


def _tar_member(source: Source, limits: Limits) -> Blob:
    store, name, offset = _place(source)
    if source.size <= limits.fetched_bytes:
        with fetching(source.address):
            data = store.get_range(name, offset - BLOCK, BLOCK + source.size)
        _check_header(data[:BLOCK], source)
        if len(data) < BLOCK + source.size:
            raise _cut()
        return Blob.of(data[BLOCK:])
    with fetching(source.address):
        header = store.get_range(name, offset - BLOCK, BLOCK)
        _check_header(header, source)
        if source.address.startswith(LOCAL_SCHEME):
            with store.open(name) as file:
                if os.fstat(file.fileno()).st_size < offset + source.size:
                    raise _cut()
                return Held(os.dup(file.fileno()), offset, source.size).blob()
    return gather(_tar_chunks(store, source), size=source.size, in_memory=limits.fetched_bytes)


def _tar_chunks(store: Store, source: Source) -> Iterator[bytes]:
    with fetching(source.address):
        _, name, offset = _place(source)
        left = source.size
        with store.open(name) as file:
            file.seek(offset)
            while left > 0:
                chunk = file.read(min(left, CHUNK))
                if not chunk:
                    raise _cut()
                left -= len(chunk)
                yield chunk


def _check_header(block: bytes, source: Source) -> None:
    """Check that the block before a tar member's data still is its header."""
    try:
        mtime = int(tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape").mtime)
    except tarfile.HeaderError:
        mtime = -1
    # The size may stand in a PAX header instead.
    if source.version != f"{source.size}-{mtime}":
        raise FetchError("fetch.changed", "the archive has no such member there any more")


def _cut() -> ArchiveError:
    return ArchiveError("archive.truncated", "the archive ends inside this member")


def _place(source: Source) -> tuple[Store, str, int]:
    assert source.container is not None, "only members have a place in a container"
    assert source.offset is not None, "the listing records each member's offset"
    return (*locate(source.container), source.offset)
