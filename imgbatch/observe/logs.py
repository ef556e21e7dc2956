"""Structured logs: JSON lines per worker below the dataset's logs/, written while running.

Each line has its run, worker, event and time, and what is of a shard or a source has the shard too.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import uuid
from typing import TYPE_CHECKING

import structlog

from imgbatch.errors import StorageError
from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from imgbatch.storage import Store

SEGMENT_BYTES = 2**20
FLUSH_SECONDS = 5.0
WARNING_LENGTH = 500
PY_WARNINGS = logging.getLogger("py.warnings")


class LogFile:
    """Lines of one worker. An object cannot be appended to, so it is put again while it grows.

    A full segment is left behind for a new one, so that each time costs at most one segment. A
    thread writes every few seconds what is new, also where no further line comes: a worker that
    dies loses what it said since. A worker that replaces a lost one of its name writes other files.

    Args:
        every: seconds between two looks at whether something is new.
    """

    def __init__(self, store: Store, run: str, worker: str, *, every: float | None = None) -> None:
        self._store = store
        self._stem = f"logs/{run}/{worker}-{uuid.uuid4().hex[:6]}"
        self._every = FLUSH_SECONDS if every is None else every
        self._lock, self._putting = threading.Lock(), threading.Lock()
        self._segment = 0
        self._lines: list[str] = []
        self._dirty = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="log", daemon=True)
        self._thread.start()

    def msg(self, line: str) -> None:
        """Take one line; structlog calls this."""
        line = scrub(line)
        with self._lock:
            self._lines.append(line)
            self._dirty = True

    # structlog calls the method that is named like the level
    debug = info = warning = error = critical = msg

    def flush(self) -> None:
        """Write what is not written yet.

        Raises:
            StorageError: it could not be written; it is kept for the next time.
        """
        with self._putting:
            with self._lock:
                if not self._dirty:
                    return
                lines, self._dirty = list(self._lines), False
            data = ("\n".join(lines) + "\n").encode()
            try:
                self._store.put(f"{self._stem}-{self._segment:04d}.jsonl", data)
            except BaseException:
                self._dirty = True
                raise
            if len(data) > SEGMENT_BYTES:
                self._segment += 1
                with self._lock:
                    del self._lines[: len(lines)]

    def close(self) -> None:
        """Write the rest.

        Raises:
            StorageError: it could not be written.
        """
        self._stop.set()
        self._thread.join()
        self.flush()

    def _keep(self) -> None:
        while not self._stop.wait(self._every):
            # A store that fails for a while: the lines are kept, and `close` says so if it lasts.
            with contextlib.suppress(StorageError, OSError):
                self.flush()


class WarningLines(logging.Handler):
    """Python's own warnings (Pillow's of odd files) as log lines, not on the terminal."""

    def __init__(self, log: structlog.typing.FilteringBoundLogger) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Take one warning."""
        self._log.warning("python.warning", text=record.getMessage()[:WARNING_LENGTH])

    def install(self) -> None:
        """Send warnings here."""
        logging.captureWarnings(capture=True)
        PY_WARNINGS.addHandler(self)
        PY_WARNINGS.propagate = False

    def uninstall(self) -> None:
        """Send them where Python sends them by itself."""
        PY_WARNINGS.removeHandler(self)
        PY_WARNINGS.propagate = True
        logging.captureWarnings(capture=False)


def logger(file: LogFile, *, run: str, worker: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry time (UTC), level, run and worker.

    Lines name sources by id, never by address: logs are shared more freely than corpora.
    """
    bound: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        file,
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger("info"),
    ).bind(run=run, worker=worker)
    return bound
