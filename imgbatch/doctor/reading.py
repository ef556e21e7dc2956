"""Whether INPUT can be read: listed, got, got in ranges."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from imgbatch.doctor.tries import Place, WrongError, size, tried
from imgbatch.storage import Entry, Store, locate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.storage.buckets import Finding

# So many objects are looked at for one that is not empty.
LOOKED = 1000
WHOLE = 16 * 2**20
START, LENGTH = 1, 16


def look(place: Place) -> Iterator[Finding]:
    """Yield whether it can be listed, and whether an object of it can be read."""
    found: list[tuple[Store, Entry]] = []
    listed = tried(place, "list", "list", lambda: _first(place, found))
    yield listed
    if place.bucket:
        yield from place.bucket.may(("list", "get"))
    if not found:
        return
    store, entry = found[0]
    yield tried(place, "get", "get", lambda: _get(store, entry))
    if entry.size > START:
        yield tried(place, "get a range", "get", lambda: _range(store, entry))


def _first(place: Place, found: list[tuple[Store, Entry]]) -> str:
    """Put the first object that is not empty into `found`, else any."""
    nothing = WrongError(f"nothing is there: {place.store.root}", "Check the path or URL.")
    seen: Entry | None = None
    single = place.bucket is not None  # an object is no prefix: nothing is listed below it
    try:
        for entry in islice(place.store.list(), LOOKED):
            seen = entry
            if entry.size:
                break
    except NotADirectoryError:
        single = True
    except FileNotFoundError:
        raise nothing from None
    if seen:
        found.append((place.store, seen))
        return f"{seen.name} ({size(seen.size)}) is the first that is found"
    parent, name = locate(place.store.root)
    if not (single and name):
        raise nothing
    try:
        found.append((parent, parent.head(name)))
    except FileNotFoundError:
        raise nothing from None
    return f"one object, {size(found[0][1].size)}"


def _get(store: Store, entry: Entry) -> str:
    if entry.size > WHOLE:
        return f"not tried whole: {size(entry.size)}"
    got = len(store.get(entry.name))
    if got != entry.size:
        raise WrongError(
            f"{entry.name}: {got:,} bytes came, the listing says {entry.size:,}",
            "Somebody may be writing it now; look again. If it stays so, mistrust the server.",
        )
    return f"{size(got)} of {entry.name}"


def _range(store: Store, entry: Entry) -> str:
    wanted = min(LENGTH, entry.size - START)
    got = len(store.get_range(entry.name, START, wanted))
    if got != wanted:
        raise WrongError(
            f"{entry.name}: {got:,} bytes came of {wanted} that were asked for",
            "The server, or a proxy before it, ignores ranges: archives could not be read from it.",
        )
    return f"{wanted} bytes of {entry.name}"
