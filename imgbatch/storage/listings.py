"""Enters: a bucket, and what keys begin with. Leaves: an Entry for each object, page by page.

obstore lists until it is given a name that it cannot say (see `storage.odd`); from the page on that
holds it the maker's SDK lists.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import obstore
from obstore.exceptions import InvalidPathError

from imgbatch.storage import Entry
from imgbatch.storage.odd import is_odd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from obstore import ObjectMeta
    from obstore.store import ObjectStore

    from imgbatch.storage.odd import OddNames

T = TypeVar("T")
PAGE = 1000
# Objects of a page that are looked at side by side.
LOOKS = 16


class Listing:
    """How one store lists.

    Args:
        store: of obstore.
        odd: the SDK of the same bucket; None where names are never odd and folders have no markers.
        prefix: of the keys, which names are without.
        look: returns the Entry of a name; raises FileNotFoundError.
    """

    def __init__(
        self,
        store: ObjectStore,
        odd: OddNames | None,
        *,
        prefix: str,
        look: Callable[[str], Entry],
    ) -> None:
        self._store = store
        self._odd = odd
        self._prefix = prefix
        self._look = look

    def below(self, start: str) -> Iterator[Entry]:
        """Yield every object whose key begins so: with nothing, or with whole folders.

        Raises:
            BaseError: of obstore.
            RetoldError: of the SDK.
        """
        listed = _Listed()
        if not (start and self._odd and is_odd(start.removesuffix("/"))):
            try:
                for page in self._pages(start):
                    yield from self._without_markers([self._entry(meta) for meta in page])
                    listed.note([meta["path"] for meta in page[-2:]])
            except InvalidPathError:
                if self._odd is None:
                    raise
            else:
                return
        assert self._odd is not None, "only a bucket's names are odd"
        for found in _ahead(self._odd.objects.pages(start, listed.end)):
            yield from self._with_versions(found)

    def _pages(self, start: str) -> Iterator[Sequence[ObjectMeta]]:
        """Yield obstore's pages, a page ahead.

        Raises:
            InvalidPathError: at the page with the first odd name. That are also names that obstore
                gives without their slash: one in front, anywhere in a whole bucket; one at the end,
                where the same page has the name without it.
        """
        pages = _ahead(obstore.list(self._store, prefix=start[:-1] or None, chunk_size=PAGE))
        with ThreadPoolExecutor(1, "leads") as side:
            leads = side.submit(self._leads) if not start and self._odd else None
            for page in pages:
                if len({meta["path"] for meta in page}) < len(page):
                    raise InvalidPathError("two keys are one but for a slash")
                if leads and leads.result():
                    raise InvalidPathError("a key begins with a slash")
                yield page

    def _leads(self) -> bool:
        return self._odd is not None and self._odd.objects.leads()

    def _entry(self, meta: ObjectMeta) -> Entry:
        name = meta["path"].removeprefix(self._prefix)
        return Entry(name, meta["size"], version_of(dict(meta)))

    def _without_markers(self, page: Sequence[Entry]) -> Iterator[Entry]:
        """Leave out what consoles and tools put where they want a folder to be seen: `folder/`.

        obstore lists such an empty object without the slash; asked for, it is not there.
        """
        empty = [entry.name for entry in page if entry.size == 0]
        if not empty or self._odd is None:
            yield from page
            return
        there = self._looked_at(empty)
        yield from (entry for entry in page if there.get(entry.name, entry) is not None)

    def _with_versions(self, page: Sequence[Entry]) -> Iterator[Entry]:
        """Give entries of the SDK their names, and the versions that only obstore knows."""
        named = [Entry(e.name.removeprefix(self._prefix), e.size, e.version) for e in page]
        there = self._looked_at([entry.name for entry in named if not entry.version])
        found = (there.get(entry.name, entry) for entry in named)
        yield from (entry for entry in found if entry is not None)

    def _looked_at(self, names: Sequence[str]) -> dict[str, Entry | None]:
        if not names:
            return {}
        with ThreadPoolExecutor(LOOKS) as pool:
            return dict(zip(names, pool.map(self._there, names), strict=True))

    def _there(self, name: str) -> Entry | None:
        try:
            return self._look(name)
        except FileNotFoundError:
            return None


class _Listed:
    """How far a listing in the order of keys has come."""

    def __init__(self) -> None:
        self._last: list[str] = []

    def note(self, paths: Iterable[str]) -> None:
        """Take note of the last paths of a page."""
        self._last = [*self._last, *paths][-2:]

    @property
    def end(self) -> str:
        """Return the last key; "" before the first page.

        `x` may be the folder marker `x/`, told without its slash. What lies between the two, such
        as `x-1`, came before it then.
        """
        if not self._last:
            return ""
        before, last = self._last[0], self._last[-1]
        return f"{last}/" if len(self._last) > 1 and before >= last else last


def version_of(meta: dict[str, object]) -> str:
    """Return what we call the version of an object, from what obstore says of it."""
    # The etag first: listings of buckets with versioning give it alone, other answers both.
    return str(
        meta.get("e_tag") or meta.get("version") or f"{meta['size']}-{meta['last_modified']}"
    )


def _ahead(pages: Iterator[T]) -> Iterator[T]:
    """Yield pages; the next one is asked for while one is looked at."""
    with ThreadPoolExecutor(1, "list") as pool:
        coming = pool.submit(next, pages, None)
        while (page := coming.result()) is not None:
            coming = pool.submit(next, pages, None)
            yield page
