"""Enters: OUT, and posts that it should not know. Leaves: proof that it does not, or where it does.

Everything is looked at that a takedown changes: posts.jsonl, the outcomes, whose they are, the
media, and former versions of these where the store keeps them.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.dataset.post_marks import is_forgotten
from imgbatch.fetching import kept, owners
from imgbatch.fetching.links import Links
from imgbatch.fetching.posts import urls_of, written
from imgbatch.fetching.takedown import REFERENCES, check_out, is_gone
from imgbatch.fetching.urls import key_of
from imgbatch.fetching.worker import MEDIA
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.storage import Former, Store

SHOWN = 5


@dataclass(slots=True)
class Traces:
    """What was looked for in OUT and found.

    Attributes:
        tombstones: forgotten posts and authors.
        urls: whose outcomes were looked at.
        problems: one line for each thing that should not be.
    """

    out: str
    tombstones: int
    urls: int = 0
    problems: list[str] = field(default_factory=list)


def traces(out: str, marks: frozenset[str] = frozenset()) -> Traces:
    """Look through what a fetch wrote for posts that were taken out of it.

    Args:
        out: of the fetch.
        marks: of posts and authors that must have been, as `takedown.take_out` is given them. All
            that were are looked for, whether they are given or not.

    Raises:
        DatasetError: see `takedown.check_out`; or it is damaged.
        StorageError: former versions of objects may not be listed.
    """
    check_out(out)
    store = open_store(out)
    stones = owners.stones(store)
    found = Traces(store.root, len(stones))
    if strangers := sum(one not in stones for one in marks):
        found.problems.append(f"{strangers} of the given posts and authors were never forgotten")
    stones = owners.with_given(stones, marks)
    with contextlib.closing(Links()) as links:
        _look_at_posts(store, stones, links, found)
        _look_at_media(stones, links, found)
        _look_back(store, stones, links, found)
    found.problems = [f"{store.root}: {problem}" for problem in found.problems]
    return found


def _look_at_posts(store: Store, stones: Tombstones, links: Links, found: Traces) -> None:
    links.remember(kept.outcomes(store))
    links.found(kept.files(store))
    links.own(owners.read(store, stones))
    lines = references = 0
    for one in written(store):
        lines += is_gone(stones, one)
        where = one.get("platform")
        references += any(is_forgotten(stones, where, one.get(name)) for name in REFERENCES)
        if "gap" in one or is_gone(stones, one):
            continue
        links.own(owners.of_line(stones, one))
        for url in urls_of(one):
            links.link(url, wanted=False)
    if lines:
        found.problems.append(f"{kept.POSTS} has {lines:,} lines of forgotten posts")
    if references:
        found.problems.append(f"{kept.POSTS} has {references:,} posts that name forgotten ones")


def _look_at_media(stones: Tombstones, links: Links, found: Traces) -> None:
    nobodys = sum(1 for _ in links.nobodys())
    unused = sorted(links.unused())
    links.disown(lambda marks, _: owners.is_gone(stones, marks))
    gone = links.take_out()
    found.urls = sum(1 for _ in links.outcomes())
    if gone:
        found.problems.append(f"{gone:,} URLs of forgotten posts are left, with what they gave")
    if nobodys:
        found.problems.append(
            f"{nobodys:,} URLs no post links to any more, and nobody knows which ones did: they "
            "are of a fetch that did not keep it yet"
        )
    if unused:
        shown = ", ".join(unused[:SHOWN]) + (", and more" if len(unused) > SHOWN else "")
        found.problems.append(f"{len(unused):,} files have no outcome: {shown}")


def _look_back(store: Store, stones: Tombstones, links: Links, found: Traces) -> None:
    """Look at former versions: what a takedown changed is there only if it could not erase it."""
    known = {key_of(row["url"]) for row in links.outcomes()}
    for former in store.former():
        if not former.version:
            found.problems.append(f"{former.name} was half written by a process that was killed")
        elif not former.marker and _names_gone(store, former, stones, known):
            found.problems.append(
                f"{former.name}: the store keeps version {former.version}, of what was forgotten"
            )


def _names_gone(store: Store, former: Former, stones: Tombstones, known: set[str]) -> bool:
    name = former.name
    with contextlib.suppress(ValueError):
        if name.endswith(f"/{kept.POSTS}") or name == kept.POSTS:
            return any(is_gone(stones, one) for one in _lines(store, former))
        if name.endswith(kept.LINES) or f"{kept.JOURNAL}/" in name:
            return any(key_of(one["url"]) not in known for one in _lines(store, former))
    own = kept.OURS.search(name[name.rfind(f"{MEDIA}/") :])
    return own is not None and own[1] not in known


def _lines(store: Store, former: Former) -> Iterable[dict[str, str]]:
    return map(json.loads, store.recall(former).splitlines())
