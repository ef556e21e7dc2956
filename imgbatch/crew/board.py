"""Every task's state: what waits, what is under way where, and what each worker is given next.

                          its machine was lost, or it came back unbegun
               +--------------------------------------+
               v                                      |
    tasks -> waiting -- a worker has room -----> under way -- done ---------------> over
                                                  |   ^  |                           ^
              its process was lost                |   |  | slow, and a worker idle   |
               +----------------------------------+   |  +-> under way twice --------+
               v                                      |      whoever is first counts
             again -- nothing waits, a worker empty --+
               |      (alone there; after the second loss, or where a source is suspect, first
               |      trial by trial until the sources that kill are known: `imgbatch.poison`)
               +-- lost three times, by no single source -> given up, which ends the run at its end

Nothing here looks at all tasks or all workers when one of them tells something; only the look for
slow ones does, twice a second and when a worker is idle. A task that is not begun is no object.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.crew.fleet import Back, Done, Event, Failed, Leaving, Lost, Said, Up
from imgbatch.crew.order import ATTEMPTS, Order
from imgbatch.messages import Crewed, Finished, Task, Tick

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from imgbatch.watch import WorkerLostError

    Told = Tick | Finished | Crewed

# While one shard's rows are written, the next one's pictures are decoded.
SIDE_BY_SIDE = 2
# A worker is given so many seconds' worth of tasks ahead, where tasks are short: it works on while
# the driver commits.
AHEAD_SECONDS = 2.0
# A task is slow that takes so many times as long as others did, and longer than so many seconds.
SLOW_TIMES, SLOW_SECONDS = 3, 3.0
LOOK_SECONDS = 0.5
# A worker that has had nothing for so long, while nothing waits, is let go: its machine may end.
SPARE_SECONDS = 60.0


@dataclass(slots=True)
class _Seat:
    """A worker, by the slips that it has in hand.

    Attributes:
        alone: what it has is alone there.
        pace: seconds between two tasks that it ended, on average, the last ones counting most.
        last: when that was, or when it was given something after it had nothing, or came up.
    """

    hand: set[int] = field(default_factory=set)
    alone: bool = False
    leaving: bool = False
    pace: float = AHEAD_SECONDS
    last: float = 0.0

    def ended(self, now: float) -> None:
        self.pace += 0.1 * (now - self.last - self.pace)
        self.last = now

    @property
    def ahead(self) -> float:
        return AHEAD_SECONDS / max(self.pace, 1e-6)


class Board:
    """The tasks of a run and the workers that are up.

    Attributes:
        left: how many tasks are not over.
        given_up: what is to be said of tasks that lost every worker.
    """

    def __init__(self, tasks: Sequence[Task], clock: Callable[[], float] = time.monotonic) -> None:
        self._tasks = tasks
        self._begun = 0
        self._clock = clock
        self._back: deque[Order] = deque()
        self._again: deque[Order] = deque()
        self._orders: dict[int, Order] = {}
        self._slip = 0
        self._seats: dict[int, _Seat] = {}
        self._idle: set[int] = set()
        self._asking: set[int] = set()
        self._leaving: set[int] = set()
        self._looked = 0.0
        self._lost = 0
        self._spent = 0.0
        self.left = len(tasks)
        self.given_up: list[str] = []

    # -- what happens ------------------------------------------------------------------------------

    def take(self, event: Event) -> Iterable[Told]:
        """Take note of an event; returns what the driver is to be told of it.

        Raises:
            BaseException: what went wrong, where the event says so.
        """
        match event:
            case Said():
                order = self._orders.get(event.slip)
                return () if order is None or order.over else order.hear(event.slip, event.said)
            case Done():
                self._done(event.slip)
            case Back():
                return self._gave_back(event.slip)
            case Up():
                self._seats[event.worker] = _Seat(last=self._clock())
                self._idle.add(event.worker)
                self._asking.add(event.worker)
                # An empty tick starts the clock of the rate that is shown.
                return Tick({}, 0), self.crewed()
            case Leaving():
                if event.worker in self._seats:
                    self._seats[event.worker].leaving = True
                    self._leaving.add(event.worker)
            case Lost():
                return self._worker_lost(event)
            case Failed():
                raise event.error
        return ()

    def crewed(self) -> Crewed:
        """Return how many workers are up."""
        return Crewed(len(self._seats), self._lost)

    def _take_out(self, slip: int) -> Order | None:
        """Have a slip no more in its worker's hand; that one asks for more."""
        order = self._orders.pop(slip, None)
        if order is None:
            return None
        worker = order.runs[slip].worker
        if seat := self._seats.get(worker):
            seat.hand.discard(slip)
            if not seat.hand:
                seat.alone = False
                self._idle.add(worker)
            self._asking.add(worker)
        return order

    def _done(self, slip: int) -> None:
        order = self._take_out(slip)
        if order is None:
            return
        run = order.runs[slip]
        now = self._clock()
        if seat := self._seats.get(run.worker):
            seat.ended(now)
        if order.over:
            return
        if order.probe is not None:
            order.drop(slip)
            order.answer(None)
            self._do_again(order, first=True)
            return
        self._spent += now - run.since
        self._end(order)

    def _end(self, order: Order) -> None:
        order.over = True
        self.left -= 1

    def _gave_back(self, slip: int) -> Iterable[Told]:
        order = self._take_out(slip)
        if order is None or order.over:
            return ()
        told = order.drop(slip)
        if not order.runs:
            self._wait(order)
        return told

    def _worker_lost(self, event: Lost) -> Iterator[Told]:
        seat = self._forget(event.worker)
        self._lost += 1
        for slip in sorted(seat.hand) if seat else ():
            if event.begun is not None and slip not in event.begun:
                yield from self._gave_back(slip)
                continue
            order = self._orders.pop(slip)
            if not order.over:
                yield from self._lose(order, slip, event.error)
        yield self.crewed()

    def _lose(self, order: Order, slip: int, error: WorkerLostError) -> Iterator[Told]:
        yield from order.drop(slip)
        if order.runs:
            return  # the other run goes on
        if order.probe is not None:
            if not order.excuses(error):
                order.answer(error.reason)
            self._do_again(order, first=True)
        elif not order.left.works:
            self._end(order)  # it was lost after its last shard came back
        elif order.excuses(error):
            self._wait(order)
        else:
            order.blame(error)
            if order.attempts < ATTEMPTS:
                self._do_again(order)
            else:
                self._give_up(order, error)

    def _wait(self, order: Order) -> None:
        if order.alone:
            self._do_again(order, first=True)
        else:
            self._back.append(order)
            self._asking |= self._idle

    def _do_again(self, order: Order, *, first: bool = False) -> None:
        (self._again.appendleft if first else self._again.append)(order)
        self._asking |= self._idle

    def _give_up(self, order: Order, error: WorkerLostError) -> None:
        labels = ", ".join(work.shard.label for work in order.left.works)
        self.given_up.append(
            f"{ATTEMPTS} workers were lost on shard {labels}, by no single source: {error}"
        )
        self._end(order)

    # -- who is given what -------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """How many tasks wait for their first worker, or came back from one."""
        return len(self._back) + len(self._tasks) - self._begun

    @property
    def wanted(self) -> int:
        """How many workers would have something to do, or have not been idle for long."""
        leaving = sum(len(self._seats[worker].hand) for worker in self._leaving)
        return self.waiting + len(self._again) + len(self._seats) + leaving

    def leavers(self) -> list[int]:
        """Return workers that leave, or are of no more use, with empty hands; they are forgotten.

        Decision, 2026-11: idle workers are let go before the end, so that machines that only wait
        for the last shards are seen to idle, by us and by autoscalers. Drawback: a shard that comes
        back then waits for a worker to start.
        """
        gone = [worker for worker in self._leaving if not self._seats[worker].hand]
        if not self.waiting and not self._again:
            long_ago = self._clock() - SPARE_SECONDS
            spare = (worker for worker in self._idle - self._leaving)
            gone += [worker for worker in spare if self._seats[worker].last <= long_ago]
        for worker in gone:
            self._forget(worker)
        return gone

    def _forget(self, worker: int) -> _Seat | None:
        self._idle.discard(worker)
        self._leaving.discard(worker)
        return self._seats.pop(worker, None)

    def assign(self, expected: int, deepest: int) -> Iterator[tuple[int, dict[int, Task]]]:
        """Yield workers with what each is to be given, by slip.

        Args:
            expected: how many workers are up or on their way. The last tasks are left to those that
                have none, instead of crowding where there are some already.
            deepest: how many tasks a worker may have in hand.
        """
        now = self._clock()
        asking, self._asking = self._asking, set()
        for worker in asking:
            seat = self._seats.get(worker)
            if seat is None or seat.leaving:
                continue
            given = {}
            while (order := self._next(seat, expected, deepest)) is not None:
                slip, task = self._give(order, worker, seat, now)
                given[slip] = task
            if given:
                yield worker, given
        yield from self._twice(now)

    def _next(self, seat: _Seat, expected: int, deepest: int) -> Order | None:
        held = len(seat.hand)
        if seat.alone:
            return None
        if self.waiting:
            room = max(SIDE_BY_SIDE, min(deepest, seat.ahead))
            if held and (held >= room or (expected > 1 and self.waiting <= held * expected)):
                return None
            return self._back.popleft() if self._back else self._fresh()
        return self._again.popleft() if self._again and not held else None

    def _fresh(self) -> Order:
        self._begun += 1
        return Order(self._tasks[self._begun - 1])

    def _give(self, order: Order, worker: int, seat: _Seat, now: float) -> tuple[int, Task]:
        self._slip += 1
        if not seat.hand:
            seat.last = now
            self._idle.discard(worker)
        seat.hand.add(self._slip)
        seat.alone = order.alone
        order.begin(self._slip, worker, now)
        self._orders[self._slip] = order
        return self._slip, order.next

    def _twice(self, now: float) -> Iterator[tuple[int, dict[int, Task]]]:
        """Give the slowest tasks to workers that have nothing to do, too."""
        if not self._idle or self.waiting or self._again or now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        free = [worker for worker in self._idle if not self._seats[worker].leaving]
        for worker, order in zip(free, self._slow(now), strict=False):
            slip, task = self._give(order, worker, self._seats[worker], now)
            yield worker, {slip: task}

    def _slow(self, now: float) -> list[Order]:
        """Return the tasks that are slow or may not be ended where they are, the slowest first."""
        over = len(self._tasks) - self.left
        usual = self._spent / over if over else 0.0
        limit = max(SLOW_SECONDS, SLOW_TIMES * usual)
        found: list[tuple[float, int, Order]] = []
        for order in self._orders.values():
            if order.over or order.probe is not None or len(order.runs) > 1:
                continue
            (run,) = order.runs.values()
            if now - run.since > limit or self._seats[run.worker].leaving:
                found.append((run.since, len(found), order))
        return [order for _, _, order in sorted(found)]
