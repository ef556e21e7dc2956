"""URLs that are to be asked enter; each leaves with its outcome, by way of its host's turn.

One request is one Step of one Task; the loop owns all state (`Hosts`, `Links`, `Journal`) and
threads make requests, nothing else.

Decision, 2026-11: threads, not asyncio. Stores are called from blocking code, a request is bounded
by the network, and hashing and TLS release the interpreter lock. Drawback: a thread per request
under way, 32 by default.

Decision, 2026-11: every redirect becomes a Task of the host that it leads to, so its rate, its
robots.txt and its address are looked at as those of any other. Drawback: none known.
"""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.errors import LinkError, TooManyFailedError
from imgbatch.fetching import kept
from imgbatch.fetching.hosts import Hosts
from imgbatch.fetching.robots import Robots
from imgbatch.fetching.task import UNASKED, Task, failed
from imgbatch.fetching.web import Web
from imgbatch.fetching.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpcore2

    from imgbatch.fetching.asked import FetchSettings
    from imgbatch.fetching.hosts import Host
    from imgbatch.fetching.kept import Journal
    from imgbatch.fetching.links import Links
    from imgbatch.fetching.task import Row, Step
    from imgbatch.storage import Store

TICK_SECONDS = 0.5


@dataclass(slots=True)
class Progress:
    """How far a fetch is.

    Attributes:
        of: URLs to be asked.
        asked: URLs that have their outcome.
        withdrawn: files of theirs that were here and that nobody is to have any more.
        outcomes: how many came to `ok`, or to which error class.
    """

    of: int = 0
    asked: int = 0
    bytes: int = 0
    withdrawn: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count an outcome."""
        name = row["error_class"] or "ok"
        self.asked += 1
        self.outcomes[name] = self.outcomes.get(name, 0) + 1


class Loop:
    """Takes tasks as their hosts allow, hands them to threads, and keeps what comes of them.

    Args:
        store: OUT.
        links: what is planned to be asked.
        progress: is counted on, `of` is known.
        settings: how.
        backend: connects to hosts.
        max_failed: it ends as soon as more URLs failed: a count, or below 1 a share; None: never.
    """

    def __init__(
        self,
        store: Store,
        links: Links,
        progress: Progress,
        settings: FetchSettings,
        backend: httpcore2.NetworkBackend,
        max_failed: float | None = None,
    ) -> None:
        self._settings = settings
        self._max_failed = max_failed
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
        """Work until every URL has its outcome.

        Args:
            tell: is told the counts so far, again and again.

        Raises:
            TooManyFailedError: more than `max_failed` failed.
            StorageError: OUT cannot be written.
            BusyError: another fetch writes there.
        """
        # Daemons: an interrupted fetch ends at once, whatever a server is doing.
        threads = [
            threading.Thread(target=self._work, name="fetch", daemon=True)
            for _ in range(min(self._settings.at_once, self._progress.of))
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
        while self._under_way < self._settings.at_once:
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
        host = self._hosts.answered(task, step.delay, error, now, free=step.free)
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
        self._progress.withdrawn += bool(task.former.get("file") and not row["file"])
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
        most = self._max_failed
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
