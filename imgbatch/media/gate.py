"""A number of bytes enters; the caller is let through when that many more may be in flight."""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class ByteGate:
    """Caps the decoded bytes in flight over all threads of a worker.

    First come, first served: a large request at the head of the queue is not overtaken by small
    ones, so it cannot starve. A request above the cap is let through when nothing else is in
    flight, and runs alone. A thread that holds bytes must not ask for more: it would wait for
    itself.

    Args:
        cap: bytes that may be in flight together, at least 1.
    """

    def __init__(self, cap: int) -> None:
        if cap < 1:
            raise ValueError(f"a gate needs a cap of at least 1 byte, not {cap}")
        self._cap = cap
        self._lock = threading.Lock()
        self._in_flight = 0
        self._waiting: deque[tuple[int, threading.Event]] = deque()

    @contextmanager
    def hold(self, decoded_bytes: int) -> Iterator[None]:
        """Wait until that many bytes fit, and hold them until the block ends.

        No bytes need no place: such a request never waits, whoever is in the queue.
        """
        taken = min(max(decoded_bytes, 0), self._cap)
        self._enter(taken)
        try:
            yield
        finally:
            with self._lock:
                self._in_flight -= taken
                self._admit()

    def _enter(self, taken: int) -> None:
        with self._lock:
            fits = self._in_flight + taken <= self._cap
            if not taken or (fits and not self._waiting):
                self._in_flight += taken
                return
            turn = threading.Event()
            ticket = (taken, turn)
            self._waiting.append(ticket)
        try:
            turn.wait()
        except BaseException:
            # An interrupt while waiting: leave the queue, or give back what was just granted.
            with self._lock:
                if turn.is_set():
                    self._in_flight -= taken
                else:
                    self._waiting.remove(ticket)
                self._admit()
            raise

    def _admit(self) -> None:
        while self._waiting and self._in_flight + self._waiting[0][0] <= self._cap:
            taken, turn = self._waiting.popleft()
            self._in_flight += taken
            turn.set()
