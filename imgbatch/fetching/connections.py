"""Whoever asks is lent a pool of connections; of HTTP/2 one that no other thread uses meanwhile.

Decision, 2026-11: HTTP/1.1 over connections that stay open, HTTP/2 on request (`--http2`), and then
one request at a time over each connection. The engine's HTTP/2 has one state of compressed headers
for all threads of a connection and does not lock it: with 32 threads at once a server refused what
it sent ("Invalid table index"), and a wrong index could as well be another file's path. Nor is it
faster so: a thread waits for its bytes while another reads them. `scripts/bench fetch`, 100 files
of 100 KB that are 50 ms away, 4 at a time on four busy cores: 2.0 s by either protocol; the engine
alone 1.6 s by HTTP/1.1, 3.9 s with all on one connection of HTTP/2. Drawback: a connection per
request under way to a host, by either; where many hosts are asked in turn, HTTP/2 makes more of
them than HTTP/1.1.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpcore2

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.fetching.asked import FetchSettings

KEPT_SECONDS = 30.0


class Connections:
    """All connections of a fetch, for any thread.

    Args:
        settings: how many, and whether by HTTP/2.
        backend: connects to hosts.
    """

    def __init__(self, settings: FetchSettings, backend: httpcore2.NetworkBackend) -> None:
        self._settings = settings
        self._backend = backend
        self._context = httpcore2.default_ssl_context()
        self._shared = None if settings.http2 else self._made(2 * settings.at_once)
        # The last that came back is lent first: it is most likely to have the connection.
        self._free: list[httpcore2.ConnectionPool] = []

    @contextlib.contextmanager
    def lent(self) -> Iterator[httpcore2.ConnectionPool]:
        """Lend a pool for one request, its body included."""
        if self._shared is not None:
            yield self._shared
            return
        try:
            pool = self._free.pop()
        except IndexError:
            pool = self._made(2)
        try:
            yield pool
        finally:
            self._free.append(pool)

    def close(self) -> None:
        """Close all that nobody uses."""
        for pool in (self._shared, *self._free):
            if pool is not None:
                pool.close()

    def _made(self, most: int) -> httpcore2.ConnectionPool:
        return httpcore2.ConnectionPool(
            ssl_context=self._context,
            max_connections=most,
            max_keepalive_connections=most,
            keepalive_expiry=KEPT_SECONDS,
            http2=self._settings.http2,
            network_backend=self._backend,
        )
