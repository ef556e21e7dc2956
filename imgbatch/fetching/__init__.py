"""A dump that links to its media enters; OUT leaves: the media, an outcome per URL, and the posts.

    OUT/posts.jsonl                   the dump's posts, each medium with its file or why it has none
    OUT/media/ab/KEY-DIGEST.jpg       KEY is of the URL, DIGEST of what it held
    OUT/fetched/outcomes.parquet      one row per URL, and outcomes.jsonl the same; see `kept`

OUT is itself a dump, of format `fetched`: `imgbatch run OUT DATASET` joins its posts to its media.
This module says what is to be asked and what leaves; `loop` does the asking.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.dataset import tombstones
from imgbatch.dataset.lock import RunLock
from imgbatch.errors import DumpError, LinkError, SettingsError
from imgbatch.fetching import kept, posts
from imgbatch.fetching.asked import FetchSettings
from imgbatch.fetching.links import Links
from imgbatch.fetching.loop import Loop, Progress
from imgbatch.fetching.task import Task, failed
from imgbatch.fetching.urls import key_of
from imgbatch.fetching.web import backend_of
from imgbatch.settings import read_limits
from imgbatch.sources.dumps import Dump, choose
from imgbatch.storage import open_store
from imgbatch.storage.addresses import lies_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpcore2

    from imgbatch.fetching.posts import Told
    from imgbatch.fetching.task import Row
    from imgbatch.sources.dumps import Asked
    from imgbatch.storage import Store

__all__ = ["FetchSettings", "Fetched", "Progress", "Wish", "fetch"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be fetched, and where to.

    Attributes:
        dump: format of INPUT, or `auto`.
        columns: which columns hold ids and media, for tables.
        max_failed: the fetch ends as soon as more URLs failed: a count, or below 1 a share; those
            that a rule kept away do not count.
    """

    input: str
    out: str
    settings: FetchSettings
    dump: str = "auto"
    columns: Asked | None = None
    max_failed: float | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch came to.

    Attributes:
        asked, bytes: URLs and bytes of this call.
        adopted: files taken as a killed fetch had left them.
        outcomes: of all URLs of the dump, those of former calls too.
        deleted: files of OUT that a newer one replaced.
    """

    out: str
    formats: list[str]
    posts: int
    gaps: int
    asked: int
    bytes: int
    adopted: int
    deleted: int
    outcomes: dict[str, int]
    seconds: float


def fetch(
    wish: Wish,
    *,
    tell: Callable[[Progress], None] = lambda _: None,
    backend: httpcore2.NetworkBackend | None = None,
) -> Fetched:
    """Fetch what a dump links to, as far as OUT does not have it.

    Args:
        wish: what.
        tell: is told the counts so far, again and again.
        backend: connects to hosts; by default one that connects to what the settings allow.

    Raises:
        SettingsError: OUT lies in the dump, or the dump in OUT.
        InputError: the dump cannot be listed.
        DumpError: it is of no known format, or of several.
        DatasetError: OUT holds something else, or is damaged.
        BusyError: another fetch is at work there.
        StorageError: OUT cannot be written.
        TooManyFailedError: more than `max_failed` failed; what was fetched stays.
    """
    store = open_store(wish.out)
    _refuse_nested(open_store(wish.input).root, store.root)
    dump = Dump.at(wish.input)
    names = choose(dump, wish.dump)
    if not names:
        raise DumpError(f"{dump.root} is no dump of a format that is known")
    kept.take(store)
    lock = RunLock.take(
        open_store(f"{store.root}/{kept.FOLDER}"), "fetch", expires=read_limits().lock_seconds
    )
    with contextlib.closing(dump), contextlib.closing(Links()) as links:
        try:
            return _fetch(wish, store, dump, names, links, tell, backend)
        finally:
            lock.release()


def _fetch(
    wish: Wish,
    store: Store,
    dump: Dump,
    names: Sequence[str],
    links: Links,
    tell: Callable[[Progress], None],
    backend: httpcore2.NetworkBackend | None,
) -> Fetched:
    started = time.monotonic()
    # The same dump goes on to hold posts that were taken out of OUT.
    stones = tombstones.read(open_store(f"{store.root}/{kept.FOLDER}"))
    told = partial(posts.told, dump, names, wish.columns, stones)
    _collect(store, dump, told(), wish, links)
    adopted = _adopt(store, links)
    settings = wish.settings
    progress = Progress(
        of=links.plan(retry=settings.retry, refresh=settings.refresh, limit=settings.limit)
    )
    if progress.of:
        backend = backend or backend_of(settings)
        Loop(store, links, progress, settings, backend, wish.max_failed).go(tell)
    kept.write_tables(store, links.outcomes())
    n_posts, n_gaps = posts.write_posts(store, dump, told(), links)
    return Fetched(
        out=store.root,
        formats=list(names),
        posts=n_posts,
        gaps=n_gaps,
        asked=progress.asked,
        bytes=progress.bytes,
        adopted=adopted,
        deleted=kept.tidy(store, links),
        outcomes=links.counts(),
        seconds=time.monotonic() - started,
    )


def _refuse_nested(root: str, out: str) -> None:
    if lies_in(out, root) or lies_in(root, out):
        raise SettingsError(
            f"OUT {out} and the dump {root} lie in one another", "Give an OUT beside the dump."
        )


def _collect(store: Store, dump: Dump, told: Told, wish: Wish, links: Links) -> None:
    links.remember(kept.outcomes(store))
    links.found(kept.files(store))
    for text, wanted in posts.linked(dump, told, wish.settings.kinds):
        links.link(posts.address_of(text), wanted=wanted)
    for url in links.unwanted():
        links.done(_unasked(url, LinkError("link.kind", "media of this kind are not asked for")))


def _adopt(store: Store, links: Links) -> int:
    count = 0
    for _, url, name in links.strays():
        row = kept.adopted(store, url, name)
        if row is not None:
            links.done(row)
            count += 1
    return count


def _unasked(url: str, error: LinkError) -> Row:
    return failed(Task(url=url, key=key_of(url), at=url), error)
