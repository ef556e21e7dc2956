"""One process of this machine: begun here, told its job, and what it does from then on.

It may be begun before its job is known (`Spare`): loading its modules takes most of its start. A
pipe carries the job and tasks there, and events and a sign of life each second back. A process
whose driver is gone reads that from its pipe and ends.

Decision, 2026-11: fresh interpreters (spawn), not forks: Arrow, OpenCV and the stores' runtime have
threads here, and a fork would copy the locks that these hold. Drawback: each takes the second that
its imports take, so few pictures are done in one process, as `crew.local` decides.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.resource_tracker
import os
import signal
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from imgbatch.crew.hands import Hands
from imgbatch.pipeline import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from multiprocessing.connection import Connection

    from imgbatch.crew.fleet import Event
    from imgbatch.messages import Job, Task

# How long a process may take to write the rest of its log.
CLOSE_SECONDS = 10.0
BEAT_SECONDS = 1.0
SAFE_PATH = "PYTHONSAFEPATH"


@dataclass(frozen=True, slots=True)
class Spare:
    """A process that loads its modules and then waits to be told what it is."""

    pipe: Connection
    process: Any

    @classmethod
    def begin(cls) -> Spare:
        """Begin one."""
        spawned = multiprocessing.get_context("spawn")
        ours, theirs = spawned.Pipe()
        process = spawned.Process(target=_work, args=(theirs,), daemon=True)
        with _uninterrupted(), _unshadowed():
            process.start()
        theirs.close()
        return cls(ours, process)

    def end(self) -> None:
        """End it: nobody needs it."""
        self.pipe.close()
        self.process.kill()
        self.process.join()


def send(pipe: Connection, words: tuple[Job, int] | Mapping[int, Task] | None) -> None:
    """Tell a process its job, its tasks, or that it is over; one that is gone hears nothing."""
    with contextlib.suppress(OSError):
        pipe.send(words)


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Have what is started here never see the terminal's interrupt, which goes to all at once."""
    # Python starts this beside the first process, and then takes no note of what was blocked.
    multiprocessing.resource_tracker.ensure_running()
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


@contextlib.contextmanager
def _unshadowed() -> Iterator[None]:
    """Have what is started here look for no module in the working directory: a queue.py of others.

    It is told where to look by this process as soon as it has read so much.
    """
    former = os.environ.get(SAFE_PATH)  # noqa: TID251 - a setting of Python, not of ours
    os.environ[SAFE_PATH] = "1"  # noqa: TID251 - as above
    try:
        yield
    finally:
        if former is None:
            del os.environ[SAFE_PATH]  # noqa: TID251 - as above
        else:
            os.environ[SAFE_PATH] = former  # noqa: TID251 - as above


def _work(pipe: Connection) -> None:
    """Be one of the processes, until the driver says that it is over, or is gone."""
    try:
        job, number = pipe.recv()
    except (EOFError, OSError):
        os._exit(0)  # nobody needs it
    lock = threading.Lock()

    def tell(event: Event | None) -> None:
        with lock, contextlib.suppress(OSError):
            pipe.send(event)

    threading.Thread(target=_beat, args=[tell], daemon=True).start()
    hands = Hands(number, partial(Worker, job, f"local-{number}"), tell)
    with contextlib.suppress(EOFError, OSError):
        while (slips := pipe.recv()) is not None:
            hands.give(slips)
    ending = threading.Thread(target=hands.close, daemon=True)
    ending.start()
    ending.join(CLOSE_SECONDS)
    # Not as Python ends: a thread that hangs in a source would keep the process for ever.
    os._exit(0)


def _beat(tell: Callable[[None], None]) -> None:
    while True:
        tell(None)
        time.sleep(BEAT_SECONDS)
