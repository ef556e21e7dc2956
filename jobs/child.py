"""A child process of the head, begun again when it ends too soon, and what all of them say."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LOG_BYTES = 2**20
# Begun again so often after short lives; one that lived for LONG starts the count anew.
AGAIN, LONG_SECONDS, PAUSE_SECONDS = 5, 600.0, 10.0
END_SECONDS = 10.0


class Diary:
    """What the head and its children say: to stderr, and the last of it as bytes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept = b""

    def say(self, line: str) -> None:
        """Take a line down."""
        at = time.strftime("%H:%M:%S", time.gmtime())
        self.write(f"{at} head: {line}\n".encode())

    def write(self, data: bytes) -> None:
        """Take down what a child printed."""
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()
        with self._lock:
            self._kept = (self._kept + data)[-LOG_BYTES:]

    def read(self) -> bytes:
        """Return the last of it."""
        with self._lock:
            return self._kept

    def clear(self) -> None:
        """Begin anew: another run."""
        with self._lock:
            self._kept = b""


class Child:
    """A process of ours that is begun again when it ends too soon.

    Args:
        words: its command line.
        environment: all of it.
        hear: told each line that it prints.
        again: whether an exit code is one to begin again after.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        hear: Callable[[bytes], None],
        again: Callable[[int], bool],
    ) -> None:
        self._words, self._environment, self._hear, self._again = words, environment, hear, again
        self._deaths = 0
        self._due = 0.0
        self.code: int | None = None
        self._begin()

    def _begin(self) -> None:
        self._began = time.monotonic()
        self._swept = False
        self._process = subprocess.Popen(  # noqa: S603 - our own words
            self._words,
            env=dict(self._environment),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._listen, args=[self._process], daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as out:
            for line in out:
                self._hear(line)

    @property
    def pid(self) -> int:
        """Of the process, or of the last one."""
        return self._process.pid

    def look(self) -> int | None:
        """Return the exit code once it has ended for good; begins it again where that is due."""
        now = time.monotonic()
        if self.code is not None or (self._due and now < self._due):
            return self.code
        if self._due:
            self._due = 0.0
            self._begin()
            return None
        code = self._process.poll()
        if code is None:
            return None
        self._sweep()
        self._deaths = 1 if now - self._began > LONG_SECONDS else self._deaths + 1
        if not self._again(code) or self._deaths > AGAIN:
            self.code = code
        else:
            self._due = now + PAUSE_SECONDS * self._deaths
        return self.code

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal, and do not begin it again."""
        self._again = lambda _: False
        if self._due:
            self.code, self._due = self._process.returncode, 0.0
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def end(self) -> None:
        """End it and all that it started, gently for some seconds."""
        self.tell(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(END_SECONDS)
        self._sweep()
        self._process.wait()

    def _sweep(self) -> None:
        """End what it started, once: later its number may be that of others."""
        if not self._swept:
            self._swept = True
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
