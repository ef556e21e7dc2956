"""A dump and endings enter; the few names by whose files a format is recognised leave.

Decision, 2026-11: the first names of each ending, then some of those that are called otherwise,
drawn by a hash of the name. So files of another tool that sort before hide nothing, however many
they are, where the two are named differently. Drawback: some passes over the names of these
endings, 2 microseconds each; and one file among many that are called alike is not looked at.
"""

from __future__ import annotations

import zlib
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from imgbatch.sources.dumps.dump import Dump

# Of each ending: each look may be a request to a store.
FIRST, OTHERS = 20, 30
# So many ways of naming files are known from each other; beyond them each name is its own.
WAYS = 10_000
NUMBERS = dict.fromkeys(map(ord, "0123456789"))


def few(dump: Dump, *endings: str, own: Callable[[str], object] | None = None) -> Iterator[str]:
    """Yield the names of some metadata files, at most FIRST + OTHERS of each ending.

    Args:
        dump: that has them.
        endings: as of `Dump.metadata`.
        own: tells which names a format may read at all; without it all of them.
    """
    for ending in endings:
        names = filter(own, dump.metadata(ending)) if own else dump.metadata(ending)
        first = list(islice(names, FIRST))
        yield from first
        # Most formats ask for the same.
        if (ending, own) not in dump.drawn:
            dump.drawn[ending, own] = nsmallest(OTHERS, _unlike(names, first), key=_drawn)
        yield from dump.drawn[ending, own]


def _unlike(names: Iterable[str], first: Iterable[str]) -> Iterator[str]:
    """Yield the first name of each way of naming files, which is the name without its numbers."""
    known = {name.translate(NUMBERS) for name in first}
    for name in names:
        way = name.translate(NUMBERS)
        if way not in known:
            if len(known) < WAYS:
                known.add(way)
            yield name


def _drawn(name: str) -> int:
    return zlib.crc32(name.encode(errors="surrogatepass"))
