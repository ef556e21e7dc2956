"""The threads of a worker that has a process for itself: tasks in, events out by a call."""

from __future__ import annotations

import contextlib
import pickle
import threading
import traceback
from collections import deque
from typing import TYPE_CHECKING

from imgbatch.crew.board import SIDE_BY_SIDE
from imgbatch.crew.fleet import Back, Done, Event, Failed, Lost, Said, Up
from imgbatch.errors import DeviceError, JobError
from imgbatch.pipeline import Worker
from imgbatch.watch import WorkerLostError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from imgbatch.crew.threads import AnyWorker
    from imgbatch.messages import Task


class Hands:
    """A worker, made and kept busy by threads of its own; what they meet with is told.

    Nothing is raised, here or later: whoever made this may be on another machine.

    Args:
        number: of the process; it is in what is told.
        make: makes the worker.
        tell: is called from any thread with what happens.
    """

    def __init__(
        self, number: int, make: Callable[[], AnyWorker], tell: Callable[[Event], None]
    ) -> None:
        self._number = number
        self._make = make
        self._tell = tell
        self._changed = threading.Condition()
        self._slips: deque[tuple[int, Task]] = deque()
        self._ended = False
        self._worker: AnyWorker | None = None
        # Not here: who waits for this to return would not hear an error of ours as it was raised.
        self._start(self._live)

    def _start(self, what: Callable[..., None], *arguments: object) -> None:
        threading.Thread(target=what, args=arguments, daemon=True).start()

    def _live(self) -> None:
        try:
            worker = self._worker = self._make()
        except BaseException as error:  # noqa: BLE001 - told, and raised again by the driver
            self._tell(Failed(_portable(error)))
            return
        for _ in range(SIDE_BY_SIDE):
            self._start(self._keep_working, worker)
        self._tell(Up(self._number))
        if isinstance(worker, Worker) and (found := worker.guard()):
            self._tell(Lost(self._number, found))

    def _keep_working(self, worker: AnyWorker) -> None:
        while (given := self._take()) is not None:
            slip, task = given
            try:
                for said in worker.work(task):
                    self._tell(Said(slip, said))
            except DeviceError as error:
                # As if the process had crashed: another one, or another machine, goes on.
                self._tell(Lost(self._number, WorkerLostError(str(error))))
                return
            except BaseException as error:  # noqa: BLE001 - told, and raised again by the driver
                if not self._ended:
                    self._tell(Failed(_portable(error)))
                return
            self._tell(Done(slip))

    def _take(self) -> tuple[int, Task] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._slips or self._ended)
            return None if self._ended else self._slips.popleft()

    def give(self, slips: Mapping[int, Task]) -> None:
        """Take tasks, to be done in this order."""
        with self._changed:
            self._slips += slips.items()
            self._changed.notify_all()

    def give_back(self) -> None:
        """Tell of each task that is not begun that it comes back."""
        with self._changed:
            slips = [slip for slip, _ in self._slips]
            self._slips.clear()
        for slip in slips:
            self._tell(Back(slip))

    def close(self) -> None:
        """End the threads and write the rest of the log."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        if self._worker is not None:
            self._worker.close()


def _portable(error: BaseException) -> BaseException:
    """Return an error that can be sent, with the lines that led to it."""
    where = "".join(traceback.format_exception(error))
    with contextlib.suppress(Exception):  # whatever a class of somebody else's does there
        sent = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
        if type(sent) is type(error):
            sent.add_note(f"In a worker:\n{where}")
            return sent
    return JobError(f"{type(error).__name__}: {error}", f"In a worker:\n{where}")
