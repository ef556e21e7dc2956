"""Structured logs: JSON lines per worker below the dataset's logs/, flushed while running."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import structlog

from imgbatch.storage.secrets import scrub

if TYPE_CHECKING:
    from imgbatch.storage import Store

SEGMENT_BYTES = 2**20
WARNING_LENGTH = 500
PY_WARNINGS = logging.getLogger("py.warnings")


class LogFile:
    """Lines of one worker. An object cannot be appended to, so it is put again while it grows.

    A full segment is left behind for a new one, so that each flush costs at most one segment.
    """

    def __init__(self, store: Store, run: str, worker: str, *, every: float = 5.0) -> None:
        self._store = store
        self._stem = f"logs/{run}/{worker}"
        self._every = every
        self._lock = threading.Lock()
        self._segment = 0
        self._lines: list[str] = []
        self._size = 0
        self._dirty = False
        self._flushed = time.monotonic()

    def msg(self, line: str) -> None:
        """Take one line; structlog calls this."""
        line = scrub(line)
        with self._lock:
            self._lines.append(line)
            self._size += len(line)
            self._dirty = True
            if time.monotonic() - self._flushed >= self._every:
                self._put()

    # structlog calls the method that is named like the level
    debug = info = warning = error = critical = msg

    def flush(self) -> None:
        """Write what is not written yet."""
        with self._lock:
            if self._dirty:
                self._put()

    def _put(self) -> None:
        data = ("\n".join(self._lines) + "\n").encode()
        self._store.put(f"{self._stem}-{self._segment:04d}.jsonl", data)
        self._dirty = False
        self._flushed = time.monotonic()
        if self._size > SEGMENT_BYTES:
            self._segment += 1
            self._lines, self._size = [], 0


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
