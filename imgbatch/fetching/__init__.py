"""A dump that links to its media enters; OUT leaves: the media, an outcome per URL, and the posts.

    OUT/posts.jsonl                   the dump's posts, each medium with its file or why it has none
    OUT/media/ab/KEY-DIGEST.jpg       KEY is of the URL, DIGEST of what it held
    OUT/fetched/outcomes.parquet      one row per URL, and outcomes.jsonl the same; see `kept`

OUT is itself a dump, of format `fetched`: `imgbatch run OUT DATASET` joins its posts to its media.
One request is one Step of one Task; this module's loop owns all state (`Hosts`, `Links`, `Journal`)
and threads make requests, nothing else.

Decision, 2026-11: threads, not asyncio. Stores are called from blocking code, a request is bounded
by the network, and hashing and TLS release the interpreter lock. Drawback: a thread per request
under way, 32 by default.

Decision, 2026-11: every redirect becomes a Task of the host that it leads to, so its rate, its
robots.txt and its address are looked at as those of any other. Drawback: none known.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.dataset import tombstones
from imgbatch.dataset.lock import RunLock
from imgbatch.errors import DumpError, LinkError, SettingsError, TooManyFailedError
from imgbatch.fetching import kept, posts
from imgbatch.fetching.asked import FetchSettings
from imgbatch.fetching.hosts import Hosts
from imgbatch.fetching.links import Links
from imgbatch.fetching.robots import Robots
from imgbatch.fetching.task import UNASKED, Task, failed
from imgbatch.fetching.urls import key_of
from imgbatch.fetching.web import Web, backend_of
from imgbatch.fetching.worker import Worker
from imgbatch.settings import read_limits
from imgbatch.sources.dumps import Dump, choose
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import httpcore2

    from imgbatch.fetching.hosts import Host
    from imgbatch.fetching.kept import Journal
    from imgbatch.fetching.posts import Told
    from imgbatch.fetching.task import Row, Step
    from imgbatch.sources.dumps import Asked
    from imgbatch.storage import Store

__all__ = ["FetchSettings", "Fetched", "Progress", "Wish", "fetch"]

TICK_SECONDS = 0.5


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


@dataclass(slots=True)
class Progress:
    """How far a fetch is.

    Attributes:
        of: URLs to be asked.
        asked: URLs that have their outcome.
        outcomes: how many came to `ok`, or to which error class.
    """

    of: int = 0
    asked: int = 0
    bytes: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count an outcome."""
        name = row["error_class"] or "ok"
        self.asked += 1
        self.outcomes[name] = self.outcomes.get(name, 0) + 1


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
        _Loop(wish, store, links, progress, backend or backend_of(settings)).go(tell)
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
    for inner, outer in ((out, root), (root, out)):
        if f"{inner}/".startswith(f"{outer}/"):
            raise SettingsError(
                f"OUT {out} and the dump {root} lie in one another",
                "Give an OUT beside the dump.",
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


class _Loop:
    """Takes tasks as their hosts allow, hands them to threads, and keeps what comes of them."""

    def __init__(
        self,
        wish: Wish,
        store: Store,
        links: Links,
        progress: Progress,
        backend: httpcore2.NetworkBackend,
    ) -> None:
        settings = wish.settings
        self._wish = wish
        self._links = links
        self._progress = progress
        self._journal: Journal = kept.Journal(store)
        self._hosts = Hosts(settings, links.next_of)
        self._web = Web(settings, backend)
        robots = None if settings.ignore_robots else Robots(self._web)
        self._worker = Worker(self._web, robots, store, settings)
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._steps: queue.SimpleQueue[Step] = queue.SimpleQueue()
        self._under_way = 0

    def go(self, tell: Callable[[Progress], None]) -> None:
        """Work until every URL has its outcome."""
        # Daemons: an interrupted fetch ends at once, whatever a server is doing.
        threads = [
            threading.Thread(target=self._work, name="fetch", daemon=True)
            for _ in range(min(self._wish.settings.at_once, self._progress.of))
        ]
        for thread in threads:
            thread.start()
        try:
            self._ask_all(tell)
        finally:
            self._journal.flush()
            for _ in threads:
                self._tasks.put(None)
        self._web.close()

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            self._steps.put(self._worker.step(task))

    def _ask_all(self, tell: Callable[[Progress], None]) -> None:
        for host in self._links.hosts():
            self._hosts.open(host)
        while True:
            wait = self._start_some()
            if not self._under_way and wait is None:
                return
            self._journal.tick()
            tell(self._progress)
            try:
                step = self._steps.get(timeout=min(TICK_SECONDS, wait or TICK_SECONDS))
            except queue.Empty:
                continue
            self._under_way -= 1
            self._take(step)

    def _start_some(self) -> float | None:
        """Hand out what may be asked now; return the seconds until there is more, if known."""
        now = time.monotonic()
        while self._under_way < self._wish.settings.at_once:
            task = self._hosts.take(now)
            if task is None:
                return self._hosts.wait(now)
            self._under_way += 1
            self._tasks.put(task)
        return TICK_SECONDS

    def _take(self, step: Step) -> None:
        if step.fatal is not None:
            raise step.fatal
        task, error = step.task, step.error
        now = time.monotonic()
        host = self._hosts.answered(task, step.delay, error, now)
        self._progress.bytes += step.bytes
        if step.moved:
            if why := self._hosts.moved(task, step.moved):
                self._keep(failed(task, LinkError(UNASKED, why)))
            return
        dead = bool(host.down) or self._hosts.is_dead(host, now)
        if error is not None and not dead and self._hosts.again(task, error, now):
            return
        row = step.row if error is None else failed(task, error)
        assert row is not None, "a step has a row, an error or a place to go"
        self._keep(row)
        if (self._hosts.counted(host, error) or dead) and not host.down:
            self._leave(host, error)

    def _leave(self, host: Host, error: LinkError | None) -> None:
        """Ask a host no more; its other URLs are for the next fetch."""
        assert error is not None, "only failures make us leave"
        times = max(host.failures, host.silent)
        why = f"its host failed {times} times in a row, at last with {error.code}: {error}"
        for task in self._hosts.leave(host, why):
            self._keep(failed(task, LinkError(UNASKED, why)))

    def _keep(self, row: Row) -> None:
        self._links.done(row)
        self._journal.add(row)
        self._progress.add(row)
        self._check_failures()

    def _check_failures(self) -> None:
        most = self._wish.max_failed
        if most is None:
            return
        count = sum(
            n
            for name, n in self._progress.outcomes.items()
            if name != "ok" and not LinkError(name, "").by_rule
        )
        if count > (most if most >= 1 else most * self._progress.of):
            raise TooManyFailedError(
                f"{count:,} of {self._progress.of:,} URLs failed, more than --max-failed allows"
            )
