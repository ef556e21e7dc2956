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
from itertools import chain
from typing import TYPE_CHECKING

from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.post_columns import BROKEN, NONE_HERE, SUSPECT
from imgbatch.errors import DatasetError, DumpError, LinkError, SettingsError
from imgbatch.fetching import kept, owners, posts
from imgbatch.fetching.asked import FetchSettings
from imgbatch.fetching.links import Links
from imgbatch.fetching.loop import Loop, Progress
from imgbatch.fetching.task import UNWANTED, Task, failed
from imgbatch.fetching.urls import key_of
from imgbatch.fetching.web import backend_of
from imgbatch.posts.damage import DAMAGE
from imgbatch.posts.keys import file_of
from imgbatch.settings import read_limits
from imgbatch.sources.dumps import Dump, Gap, choose
from imgbatch.storage import open_store
from imgbatch.storage.addresses import lies_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpcore2

    from imgbatch.dataset.tombstones import Tombstones
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
        deleted: files of OUT that a newer one replaced, or that nobody may have any more.
        withdrawn: files whose hosts say now that nobody is to have them, or not for this; deleted.
        kept: files that could not be had again, and are kept as they were, by error class.
        unlinked: files of OUT that no post of the dump links to.
        lost: posts that OUT had and the dump does not have.
        silent: metadata files that gave posts and give none now, nor say that there are none.
    """

    out: str
    formats: list[str]
    posts: int
    gaps: int
    asked: int
    bytes: int
    adopted: int
    deleted: int
    withdrawn: int
    kept: dict[str, int]
    unlinked: int
    lost: int
    silent: int
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
    inner = open_store(f"{store.root}/{kept.FOLDER}")
    lock = RunLock.take(inner, "fetch", expires=read_limits().lock_seconds)
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
    stones = owners.with_key(store)
    told = partial(posts.told, dump, names, wish.columns, stones)
    kept.tidy_partial(store)
    links.remember(kept.outcomes(store))
    links.found(kept.files(store))
    _had(store, stones, links)
    left: set[str] = set()
    whole = _collect(dump, told(gave=left), stones, wish, links)
    for file in left:
        links.gives(file)
    silent = sum(1 for _ in posts.silent(dump, links))
    # Before anything comes: of what a killed fetch leaves it is known whose it is.
    owners.write(store, stones, links.owners())
    if wish.settings.removed == "forget" and whole and not silent:
        links.leave_unlinked()
    # Whoever was killed taking posts out may have left media of theirs.
    links.disown(lambda marks, _: owners.is_gone(stones, marks))
    links.take_out()
    adopted = _adopt(store, links)
    settings = wish.settings
    progress = Progress(of=links.plan(settings))
    if progress.of:
        backend = backend or backend_of(settings)
        Loop(store, links, progress, settings, backend, wish.max_failed).go(tell)
    kept.write_tables(store, links.outcomes())
    # Which files are silent stands there too: the next fetch knows them by that.
    lines = chain(told(), (("", gap) for gap in posts.silent(dump, links)))
    n_posts, n_gaps = posts.write_posts(store, dump, lines, links)
    deleted = kept.tidy(store, links)
    owners.write(store, stones, links.owners())
    return Fetched(
        out=store.root,
        formats=list(names),
        posts=n_posts,
        gaps=n_gaps,
        asked=progress.asked,
        bytes=progress.bytes,
        adopted=adopted,
        deleted=len(deleted),
        withdrawn=progress.withdrawn,
        kept=links.kept(),
        unlinked=links.unlinked(),
        lost=links.lost(),
        silent=silent,
        outcomes=links.counts(),
        seconds=time.monotonic() - started,
    )


def _refuse_nested(root: str, out: str) -> None:
    if lies_in(out, root) or lies_in(root, out):
        raise SettingsError(
            f"OUT {out} and the dump {root} lie in one another", "Give an OUT beside the dump."
        )


def _had(store: Store, stones: Tombstones, links: Links) -> None:
    """Take note of the posts that OUT has, and of what they and former ones link to."""
    links.own(owners.read(store, stones))
    # It is written again: where it is damaged, or not there yet, it tells what it can.
    with contextlib.suppress(FileNotFoundError, DatasetError):
        for one in posts.written(store):
            links.gave(posts.gave(one))
            if "gap" not in one:
                links.had([owners.hashes(stones, one)])
                links.own(owners.of_line(stones, one))


def _collect(dump: Dump, told: Told, stones: Tombstones, wish: Wish, links: Links) -> bool:
    """Take note of what the dump links to; return whether all of it could be read."""
    whole = True
    for _, post in told:
        if isinstance(post, Gap):
            whole &= not post.kind.startswith((*DAMAGE, BROKEN, SUSPECT))
            if post.kind == NONE_HERE:
                links.gives(post.ref)
            continue
        links.gives(file_of(post.raw_ref))
        marks, created = owners.hashes(stones, post), owners.created(post)
        links.has(marks)
        for text, wanted in posts.linked(dump, post, wish.settings.kinds):
            url = posts.address_of(text)
            links.link(url, wanted=wanted)
            links.own([(key_of(url), marks, created)])
    for url in links.unwanted():
        links.done(_unasked(url, LinkError(UNWANTED, "media of this kind are not asked for")))
    return whole


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
