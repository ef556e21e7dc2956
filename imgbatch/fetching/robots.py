"""A URL enters; whether its host lets us ask for it, and how often, leaves. RFC 9309.

`X-Robots-Tag: noai` and `noimageai`, as some hosts send them with a picture, are read here too.

Decision, 2026-11: Protego reads robots.txt. Python's own parser knows no wildcards and takes the
first rule that fits in place of the longest (RFC 9309, 2.2.2). Drawback: one more package.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Protocol

from protego import Protego

from imgbatch.errors import LinkError
from imgbatch.fetching.urls import origin

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx2

AGENT = "imgbatch"
# RFC 9309, 2.5: at least so much of it must be read.
LONGEST = 500 * 1024
# Hosts whose rules are kept in memory.
KEPT = 2000
FORBIDDING = {"noai", "noimageai"}
# Directives with a value, so that what stands before their colon is no robot's name.
VALUED = {"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"}
TOO_MANY, SERVER_ERRORS = 429, 500


class Small(Protocol):
    """What gives a small text."""

    def small(self, url: str, most: int) -> tuple[int, bytes]:
        """Return status and the first bytes of what a URL gives, redirects followed.

        Raises:
            LinkError: it cannot be had.
        """


class Robots:
    """The robots.txt of each origin, read once when its first URL comes up.

    Args:
        web: gives small texts.
    """

    def __init__(self, web: Small) -> None:
        self._web = web
        self._known: OrderedDict[str, Protego] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}

    def check(self, url: httpx2.URL) -> float:
        """Return how many seconds this host wants between two requests; 0 where it does not say.

        Raises:
            LinkError: link.robots, it forbids this URL; or its robots.txt cannot be had now, which
                forbids everything for the moment (RFC 9309, 2.3.1.4).
        """
        rules = self._rules(origin(url))
        if not rules.can_fetch(str(url), AGENT):
            raise LinkError("link.robots", f"robots.txt of {url.host} forbids it to {AGENT}")
        return float(rules.crawl_delay(AGENT) or 0.0)

    def _rules(self, where: str) -> Protego:
        with self._lock:
            lock = self._reading.setdefault(where, threading.Lock())
        with lock:
            known = self._known.get(where)
            if known is None:
                known = self._read(where)
                with self._lock:
                    self._keep(where, known)
        return known

    def _keep(self, where: str, rules: Protego) -> None:
        self._known[where] = rules
        if len(self._known) > KEPT:
            gone, _ = self._known.popitem(last=False)
            self._reading.pop(gone, None)

    def _read(self, where: str) -> Protego:
        status, text = self._web.small(f"{where}/robots.txt", LONGEST)
        if status == TOO_MANY or status >= SERVER_ERRORS:
            raise LinkError("link.server", f"robots.txt answers {status}")
        ok = 200 <= status < 300  # noqa: PLR2004 - HTTP's own
        return Protego.parse(text.decode("utf-8", "replace") if ok else "")


def forbids_ai(tags: Iterable[str]) -> str | None:
    """Return which word of the X-Robots-Tag headers keeps a file from machine analysis, if any.

    A header may begin with the robot that it is for, `otherbot: noai`; those are not ours.
    """
    for tag in tags:
        name, colon, rest = tag.partition(":")
        words = tag
        if colon and "," not in name and name.strip().lower() not in VALUED:
            if name.strip().lower() not in (AGENT, "*"):
                continue
            words = rest
        for word in words.split(","):
            if word.strip().lower() in FORBIDDING:
                return word.strip().lower()
    return None
