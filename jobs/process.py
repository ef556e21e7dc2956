"""A worker in a process of its own, on the far side of Ray: tasks in, news out, by one call.

The driver asks again and again what is new (`exchange`), and hands over tasks as it asks. What was
told stays here until the driver says that it has it: a call that the network swallowed loses
nothing, and one that came twice doubles nothing.

Decision, 2026-11: one call that waits for news, not a streaming call per task. Streams are consumed
one object at a time, which took 6 ms each and one thread each in the driver; and what a broken
connection swallowed of one was gone, and its task with it. Drawback: this is a protocol of ours.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from imgbatch.crew.fleet import Event, Said
from imgbatch.crew.hands import Hands
from imgbatch.messages import Job, Task, Tick
from imgbatch.pipeline import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgbatch.crew import AnyWorker

    News = list[tuple[int, Event]]


# A call that is tried again is a few seconds old, and so are its slips; they grow.
TAKEN = 10_000

# How often it is looked whether Ray is still there, and how long logs may take to be written then.
PARENT_SECONDS, GRACE_SECONDS = 1.0, 5.0


class WorkerProcess:
    """What a Ray actor of ours is.

    Args:
        job: what every worker of the run is told.
        number: of this process; it is in all that is told.
        make: a worker from a job and a name.
    """

    def __init__(
        self, job: Job, number: int, make: Callable[[Job, str], AnyWorker] = Worker
    ) -> None:
        self._changed = threading.Condition()
        self._news: deque[tuple[int, Event]] = deque()
        self._told = 0
        self._asked = 0
        self._taken: set[int] = set()
        threading.Thread(target=_end_with, args=[os.getppid()], daemon=True).start()
        self._hands = Hands(number, partial(make, job, f"ray-{number}"), self._tell)

    def _tell(self, event: Event) -> None:
        with self._changed:
            self._told += 1
            self._news.append((self._told, event))
            self._changed.notify_all()

    def exchange(
        self, heard: int, slips: Mapping[int, Task], *, leaving: bool, seconds: float
    ) -> News:
        """Take tasks, and return what is new, in order, each with its number.

        Progress alone waits for so many seconds, so that it comes in one; all else goes at once. A
        call that comes while another waits lets that one return.

        Args:
            heard: the driver has all news up to this number.
            slips: tasks; those that came already are not taken twice.
            leaving: give back what is not begun.
            seconds: to wait at most.
        """
        with self._changed:
            while self._news and self._news[0][0] <= heard:
                self._news.popleft()
            fresh = {slip: task for slip, task in slips.items() if slip not in self._taken}
            self._taken |= fresh.keys()
            if len(self._taken) > TAKEN:
                self._taken = set(sorted(self._taken)[-TAKEN // 2 :])
            self._hands.give(fresh)
            if leaving:
                self._hands.give_back()
            self._asked += 1
            asked = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._urgent() or self._asked != asked, seconds)
            return list(self._news)

    def _urgent(self) -> bool:
        # Progress comes in between at most now and then: looking at all of it costs nothing.
        return any(not isinstance(e, Said) or not isinstance(e.said, Tick) for _, e in self._news)

    def close(self) -> None:
        """End the threads and write the rest of the log."""
        self._hands.close()


def _end_with(parent: int) -> None:
    """End this process when Ray's own process on this machine is gone.

    Ray asks it to end then. Python waits for all threads before it does, and one that hangs in a
    source never ends: the process would stay, with its memory and its share of a GPU.
    """
    while os.getppid() == parent:
        time.sleep(PARENT_SECONDS)
    time.sleep(GRACE_SECONDS)
    os._exit(1)
