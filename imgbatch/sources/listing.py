"""Enters: INPUT, a store or a URL. Leaves: a Source for every object and every archive member."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

from imgbatch.attempts import pause
from imgbatch.errors import DeniedError, InputError, SourceError
from imgbatch.records import Source, Verdict
from imgbatch.sources.blobs import LOCAL_SCHEME, fetching, open_whole
from imgbatch.sources.names import archive_form
from imgbatch.sources.streams import open_tape
from imgbatch.sources.tars import list_tar
from imgbatch.sources.zips import list_zip
from imgbatch.storage import locate, open_store
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from imgbatch.storage import Entry, Store

# From an archive's address and version to all that its former listing gave, the archive's own
# source included, or None where this version was never listed.
Known = Callable[[str, str], "Iterable[Source] | None"]

# How often an archive's listing is begun.
ATTEMPTS = 4
UNLISTED = "Nothing was written. Make it readable, or give an INPUT without it, then run again."


def open_input(url: str, *, known: Known | None = None) -> Iterator[Source]:
    """Yield the sources of a folder, a prefix, or a single object (with its members).

    Raises:
        InputError: nothing is there, or a folder cannot be listed.
        StorageError: the store failed.
        SettingsError: the scheme of the URL is not known.
    """
    store = open_store(url)
    count = 0
    try:
        for source in _listed(store, known):
            count += 1
            yield source
    except NotADirectoryError:
        # INPUT is a file of this machine. Local paths never raise it later: folders are scanned.
        yield from _single(store, known)
        return
    if count:
        return
    if store.root.startswith(LOCAL_SCHEME):
        raise InputError(f"{store.root}: no files in this folder")
    # In a bucket an object is no prefix, so nothing was listed below it.
    yield from _single(store, known)


def list_sources(store: Store, *, known: Known | None = None) -> Iterator[Source]:
    """Yield a Source for every object below the store's root, in no promised order.

    An archive gives one Source for each member and then one for itself, whose verdict counts them
    (`filtered: archive`) or names its damage. The members before a damage stay.

    Args:
        store: where to look.
        known: asked before an archive is read; what it returns is taken instead, unless the
            archive could not be fetched then.

    Raises:
        InputError: a folder cannot be listed. None is passed over: its files would be lost rows.
        StorageError: the store failed.
    """
    try:
        yield from _listed(store, known)
    except NotADirectoryError as error:
        raise InputError(f"{store.root} is a file, not a folder") from error


def _listed(store: Store, known: Known | None) -> Iterator[Source]:
    for entry in _entries(store):
        yield from list_object(store, entry, known=known)


def _entries(store: Store) -> Iterator[Entry]:
    try:
        yield from store.list()
    except NotADirectoryError:
        raise
    except FileNotFoundError as error:
        raise InputError(f"{_where(store, error)} is not there") from error
    except DeniedError as error:
        here = store.root.startswith(LOCAL_SCHEME)
        raise InputError(str(error), UNLISTED if here else error.remedy) from error
    except OSError as error:
        raise InputError(f"{_where(store, error)}: {error.strerror or error}", UNLISTED) from error


def _where(store: Store, error: OSError) -> str:
    return quote(error.filename) if isinstance(error.filename, str) else store.root


def _single(store: Store, known: Known | None) -> Iterator[Source]:
    parent, name = locate(store.root)
    if not name:
        raise InputError(f"{store.root}: nothing is there")
    try:
        entry = parent.head(name)
    except FileNotFoundError as error:
        raise InputError(f"{store.root}: nothing is there") from error
    except DeniedError as error:
        raise InputError(str(error), error.remedy) from error
    except PermissionError as error:
        raise InputError(f"{store.root}: {error}") from error
    yield from list_object(parent, entry, known=known)


def list_object(store: Store, entry: Entry, *, known: Known | None = None) -> Iterator[Source]:
    """Yield an object, and before it its members where it is an archive."""
    address = store.address(entry.name)
    form = archive_form(entry.name)
    if form is None:
        yield Source(address, entry.version, entry.size)
        return
    former = _former(address, entry.version, known)
    if former is not None:
        yield from former
        return
    count, number = 0, 1
    verdict = None
    while verdict is None:
        try:
            # After a failed attempt those that were given already are passed over.
            for member in islice(_members(store, entry, address, form), count, None):
                count += 1
                yield member
            verdict = Verdict("filtered", "archive", f"{count} members")
        except SourceError as error:
            if error.retryable and number < ATTEMPTS:
                pause(number)
                number += 1
                continue
            verdict = Verdict("failed", error.code, f"{error}; {count} members before that")
    yield Source(address, entry.version, entry.size, verdict=verdict)


def _members(store: Store, entry: Entry, address: str, form: str) -> Iterator[Source]:
    with fetching(address), open_whole(store, entry.name, entry.version, size=entry.size) as file:
        if form == "zip":
            yield from list_zip(file, address)
            return
        with open_tape(file) as (tape, packing):
            yield from list_tar(tape, address, packing=packing)


def _former(address: str, version: str, known: Known | None) -> list[Source] | None:
    """Return an archive's former listing, unless it came from an archive that was not read."""
    found = known(address, version) if known else None
    if found is None:
        return None
    sources = list(found)
    own = [source.verdict for source in sources if source.address == address]
    unread = any(verdict and verdict.error_class.startswith("fetch.") for verdict in own)
    return None if unread else sources
