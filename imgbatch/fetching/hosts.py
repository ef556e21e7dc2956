"""Tasks enter; each leaves when its host may be asked: a rate, so many at once, pauses, backoff.

One thread owns all of it. The heap holds each host once, with the moment at which it may be asked
next; a host that has all its requests under way is not in it, and comes back with an answer.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from imgbatch.errors import LinkError
    from imgbatch.fetching.asked import FetchSettings
    from imgbatch.fetching.task import Task

    # From a host to its next tasks; none when there are no more.
    More = Callable[[str], list[Task]]

# Seconds before the second attempt; each further one waits twice as long.
FIRST, LONGEST = 0.5, 60.0
SLOW_DOWN = "link.limited"
# What a host gives that is not there. One that is back within so many seconds is not left.
SILENCE = ("link.timeout", "link.connect", "link.dns")
SILENT_SECONDS = 10.0


@dataclass(slots=True)
class Host:
    """One host and what waits for it.

    Attributes:
        free_at: the moment from which it may be asked.
        paused_until: the moment from which it said that it may be.
        interval: seconds between two requests.
        active: requests under way.
        tasks: to be asked next.
        later: those that failed and wait, by the moment of their next attempt.
        more: whether the list of URLs may hold further ones.
        armed: the number of its place in the heap; 0: it has none.
        failures: URLs in a row that failed in a way that may pass.
        silent: requests in a row that got no answer.
        silent_since: the moment at which the first of them was over.
        down: why it is not asked any more; "": it is.
    """

    name: str
    interval: float
    free_at: float = 0.0
    paused_until: float = 0.0
    active: int = 0
    tasks: deque[Task] = field(default_factory=deque)
    later: list[tuple[float, int, Task]] = field(default_factory=list)
    more: bool = True
    armed: int = 0
    failures: int = 0
    silent: int = 0
    silent_since: float = 0.0
    down: str = ""


class Hosts:
    """All hosts.

    Args:
        settings: rates and limits.
        more: asked for a host's next tasks.
    """

    def __init__(self, settings: FetchSettings, more: More) -> None:
        self._settings = settings
        self._more = more
        self._hosts: dict[str, Host] = {}
        self._heap: list[tuple[float, int, str]] = []
        self._count = itertools.count(1)

    def open(self, name: str) -> Host:
        """Take note of a host that has URLs."""
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = Host(name, 1 / self._settings.rate)
            self._arm(host)
        return host

    def take(self, now: float) -> Task | None:
        """Return a task whose host may be asked now."""
        while self._heap and self._heap[0][0] <= now:
            _, number, name = heapq.heappop(self._heap)
            host = self._hosts[name]
            if number != host.armed:
                continue  # it was given another moment since
            host.armed = 0
            task = self._next(host, now)
            if task is not None:
                host.active += 1
                task.slot = host.interval
                host.free_at = max(now, host.free_at) + task.slot
                self._arm(host)
                return task
            self._arm(host)
        return None

    def wait(self, now: float) -> float | None:
        """Return the seconds until a host may be asked; None while none waits for its moment."""
        return max(self._heap[0][0] - now, 0.0) if self._heap else None

    def answered(
        self, task: Task, delay: float, error: LinkError | None, now: float, *, free: bool = False
    ) -> Host:
        """Take note that a request is over, or that there was none to be made (`free`)."""
        host = self._hosts[host_of(task.at)]
        host.active -= 1
        if error is None or error.code not in SILENCE:
            host.silent = 0
        else:
            host.silent_since = host.silent_since if host.silent else now
            host.silent += 1
        host.interval = max(1 / self._settings.rate, delay or host.interval)
        if free:
            host.free_at = max(host.free_at - task.slot, host.paused_until)
        self._arm(host, anew=free)
        return host

    def moved(self, task: Task, to: str) -> str:
        """Ask for a task elsewhere, before what waits there; return why not, if that is down."""
        task.via.append(task.at)
        task.at = to
        task.attempts = 0
        host = self.open(host_of(to))
        if not host.down:
            host.tasks.appendleft(task)
            self._arm(host, anew=True)
        return host.down

    def again(self, task: Task, error: LinkError, now: float) -> bool:
        """Ask for a task once more, later; False if it was asked often enough, or for too long.

        A server that says 429, or when to come back, is left alone by all its tasks until then.
        """
        host = self._hosts[host_of(task.at)]
        longest = min(LONGEST, FIRST * 2 ** max(task.attempts - 1, 0))
        pause = random.uniform(longest / 2, longest)  # noqa: S311 - no secret
        if error.after is not None or error.code == SLOW_DOWN:
            pause = max(error.after or 0.0, pause)
            if pause <= self._settings.patience:
                host.paused_until = max(host.paused_until, now + pause)
                host.free_at = max(host.free_at, host.paused_until)
        if pause > self._settings.patience or task.attempts >= self._settings.attempts:
            return False
        heapq.heappush(host.later, (now + pause, next(self._count), task))
        self._arm(host, anew=True)
        return True

    def counted(self, host: Host, error: LinkError | None) -> bool:
        """Count a URL's end; True if its host is to be left alone from now on.

        Any answer that is one says that the host is up; one that asks for more patience than there
        is is left at once.
        """
        if error is None or not error.retryable:
            host.failures = 0
            return False
        host.failures += 1
        worn = error.after is not None and error.after > self._settings.patience
        return worn or host.failures >= self._settings.down_after

    def is_dead(self, host: Host, now: float) -> bool:
        """Tell whether a host has not answered for so long, and so often, that it is given up."""
        return (
            host.silent >= self._settings.down_after and now - host.silent_since >= SILENT_SECONDS
        )

    def leave(self, host: Host, why: str) -> Iterator[Task]:
        """Ask a host no more; yield all its tasks that are not under way."""
        host.down = why
        while host.tasks or host.later:
            yield host.tasks.popleft() if host.tasks else host.later.pop()[2]
        while more := self._more(host.name):
            yield from more
        host.more = False

    def _next(self, host: Host, now: float) -> Task | None:
        if host.later and host.later[0][0] <= now:
            return heapq.heappop(host.later)[2]
        if not host.tasks and host.more:
            host.tasks.extend(self._more(host.name))
            host.more = bool(host.tasks)
        return host.tasks.popleft() if host.tasks else None

    def _arm(self, host: Host, *, anew: bool = False) -> None:
        """Put a host into the heap with its next moment, if it has one.

        Args:
            host: which.
            anew: also if it is there already; what stands there is then void.
        """
        if host.active >= self._settings.per_host or (host.armed and not anew):
            return
        if host.tasks or host.more:
            at = host.free_at
        elif host.later:
            at = max(host.free_at, host.later[0][0])
        else:
            return
        host.armed = next(self._count)
        heapq.heappush(self._heap, (at, host.armed, host.name))


def host_of(url: str) -> str:
    """Return the host of a URL, without its port: what is asked politely; "" of what is no URL."""
    try:
        return httpx2.URL(url).host
    except (httpx2.InvalidURL, ValueError):
        return ""
