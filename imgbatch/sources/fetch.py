"""Enters: a Source that is read by itself. Leaves: its Blob, or the SourceError that says why not.

Members of compressed tars are read by `streams.read_stream`.
"""

from __future__ import annotations

import io
import os
import tarfile
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.attempts import Patience, attempt
from imgbatch.errors import ArchiveError, FetchError
from imgbatch.media import Blob
from imgbatch.sources.blobs import CHUNK, LOCAL_SCHEME, Held, fetching, gather, open_whole
from imgbatch.sources.members import is_named, told_name
from imgbatch.sources.names import claims_video
from imgbatch.sources.ranges import Stretch
from imgbatch.sources.tars import BLOCK
from imgbatch.sources.unpack import LOCAL, unpack_zip
from imgbatch.storage import locate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.errors import ImgbatchError
    from imgbatch.records import Source
    from imgbatch.settings import Limits
    from imgbatch.storage import Store

    Report = Callable[[Source, int, ImgbatchError], None]

# Asked for beyond a zip member's packed bytes, so that one request also brings its local header;
# names and extra fields that take more cost a second request.
HEADER_GUESS = LOCAL.size + 512
# What the size field of a tar's header holds in plain digits.
LARGEST_OCTAL = 8**11 - 1


def patience(limits: Limits) -> Patience:
    """Return how long a store is asked again."""
    return Patience(limits.fetch_attempts, limits.fetch_seconds)


def fetch(source: Source, *, limits: Limits, report: Report | None = None) -> Blob:
    """Return the bytes of a source; a fetch that fails in a way that may pass is tried again.

    Buckets: what a store hides by itself (two repeats of a request, see `storage.remote`) is one
    attempt here.

    Up to `limits.fetched_bytes` they are in memory. Beyond, and for videos on this machine, the
    Blob reads from the file, which it keeps open; from a bucket or out of a compressed member they
    go to a temporary file, which vanishes with the Blob; from a bucket, beyond
    `limits.spooled_bytes`, the Blob reads from the bucket, by ranges that are fetched ahead.

    Args:
        source: what to fetch.
        limits: what may be held in memory, and how often to try.
        report: told of each attempt that is followed by another: source, its number, its error.

    Raises:
        FetchError: fetch.missing, fetch.denied, fetch.unreadable, fetch.changed (its version is
            another than listed); fetch.failed and fetch.timeout after the last attempt.
        AccessError: the store as a whole cannot be used.
        OutageError: nobody answered there for `limits.fetch_seconds`.
        ArchiveError: archive.truncated, archive.corrupt.
        StorageError: a temporary file cannot be written.
        ValueError: the source lies in a compressed tar.
    """

    def told(number: int, error: ImgbatchError) -> None:
        if report:
            report(source, number, error)

    return attempt(partial(_fetch, source, limits), patience(limits), told)


def _fetch(source: Source, limits: Limits) -> Blob:
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
                with store.open(name, source.version) as file:
                    found = os.fstat(file.fileno()).st_size
                    _check_size(store, name, found, size)
                    return Held(os.dup(file.fileno()), 0, found).blob()
            data = store.get_range(name, 0, size + 1, source.version)
    elif size > limits.spooled_bytes:
        store, name = locate(address)
        return _stretch(store, name, source, limits).blob()
    elif large:
        return gather(_whole(source), size=size, in_memory=limits.fetched_bytes)
    else:
        with fetching(address):
            store, name = locate(address)
            data = store.get(name, source.version)
    with fetching(address):
        _check_size(store, name, len(data), size)
    return Blob.of(data)


def _stretch(store: Store, name: str, source: Source, limits: Limits) -> Stretch:
    """Return where a large source lies in its bucket, to be read there."""
    inside = source.container is not None
    return Stretch(
        store=store,
        name=name,
        start=source.offset or 0,
        size=source.size,
        whole=None if inside else source.size,
        # A member's version is not its archive's.
        version="" if inside else source.version,
        patience=patience(limits),
    )


def _check_size(store: Store, name: str, found: int, listed: int) -> None:
    """Tell an object that has changed from a body that was cut short on its way."""
    if found == listed:
        return
    now = store.head(name).size
    if now != listed:
        raise FetchError("fetch.changed", f"{now} bytes now, {listed} when it was listed")
    raise FetchError("fetch.failed", f"{found} of {listed} bytes came")


def _range(store: Store, name: str, start: int, length: int) -> bytes:
    """Return a part of an object, shorter only where the object ends."""
    data = store.get_range(name, start, length)
    if len(data) < length:
        there = min(length, max(0, store.head(name).size - start))
        if len(data) < there:
            raise FetchError("fetch.failed", f"{len(data)} of {there} bytes came")
    return data


def _whole(source: Source) -> Iterator[bytes]:
    with fetching(source.address):
        store, name = locate(source.address)
        with open_whole(store, name, source.version, size=source.size) as file:
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
            data = _range(store, name, offset, HEADER_GUESS + packed)
        if _header_bytes(data) <= HEADER_GUESS:
            yield from unpack_zip(io.BytesIO(data), source)
            return
    with fetching(source.address):
        file = open_whole(store, name)
    with file, fetching(source.address):
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
            data = _range(store, name, offset - BLOCK, BLOCK + source.size)
        check_header(data[:BLOCK], source)
        if len(data) < BLOCK + source.size:
            raise _cut()
        return Blob.of(data[BLOCK:])
    with fetching(source.address):
        header = _range(store, name, offset - BLOCK, BLOCK)
        check_header(header, source)
        if source.address.startswith(LOCAL_SCHEME):
            with store.open(name) as file:
                if os.fstat(file.fileno()).st_size < offset + source.size:
                    raise _cut()
                return Held(os.dup(file.fileno()), offset, source.size).blob()
    if source.size > limits.spooled_bytes:
        return _stretch(store, name, source, limits).blob()
    return gather(_tar_chunks(store, source), size=source.size, in_memory=limits.fetched_bytes)


def _tar_chunks(store: Store, source: Source) -> Iterator[bytes]:
    with fetching(source.address):
        _, name, offset = _place(source)
        left = source.size
        with open_whole(store, name) as file:
            file.seek(offset)
            while left > 0:
                chunk = file.read(min(left, CHUNK))
                if not chunk:
                    raise _cut()
                left -= len(chunk)
                yield chunk


def check_header(block: bytes, source: Source) -> None:
    """Check that the block before a tar member's data still is its header.

    Many tars have one time for all members, and frames of one size: what tells them apart is the
    name. A long or foreign one stands before this block, and a large size may.

    Raises:
        FetchError: fetch.changed, it is not.
    """
    try:
        info = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        raise _gone() from None
    name = told_name(source)
    elsewhere = len(name) > tarfile.LENGTH_NAME or not name.isascii() or "%" in name
    same_size = info.size == source.size or source.size > LARGEST_OCTAL or not info.size
    same_version = source.version == f"{source.size}-{int(info.mtime)}"
    if not (same_version and same_size and (elsewhere or is_named(source, info.name))):
        raise _gone()


def _gone() -> FetchError:
    return FetchError("fetch.changed", "the archive has no such member there any more")


def _cut() -> ArchiveError:
    return ArchiveError("archive.truncated", "the archive ends inside this member")


def _place(source: Source) -> tuple[Store, str, int]:
    assert source.container is not None, "only members have a place in a container"
    assert source.offset is not None, "the listing records each member's offset"
    return (*locate(source.container), source.offset)
