"""A Watcher that says nothing: for runs whose progress nobody looks at."""

from __future__ import annotations


class Silent:
    """Is told everything and does nothing."""

    def listing(self, found: int) -> None:
        """So many sources are listed so far."""

    def fetching(self, name: str, done: int, size: int) -> None:
        """So many bytes of a model's weights are here."""

    def planned(self, *, shards: int, sources: int, note: str) -> None:
        """So much will be computed."""

    def tick(self, tick: object) -> None:
        """Sources were examined."""

    def crewed(self, crew: object) -> None:
        """Workers came or went."""
