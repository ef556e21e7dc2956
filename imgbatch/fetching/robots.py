"""A URL enters; whether its host lets us ask for it, and how often, leaves. RFC 9309.

`X-Robots-Tag: noai` and `noimageai`, as some hosts send them with a picture, are read here too.

Decision, 2026-11: Protego reads robots.txt. Python's own parser knows no wildcards and takes the
first rule that fits in place of the longest (RFC 9309, 2.2.2). Drawback: one more package.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
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


@dataclass(slots=True)
class _Origin:
    """What is known of one robots.txt; `failed` is why it could not be had the last time."""

    reading: threading.Lock = field(default_factory=threading.Lock)
    rules: Protego | None = None
    failed: LinkError | None = None


class Robots:
    """The robots.txt of each origin, read once when its first URL comes up.

    Args:
        web: gives small texts.
    """

    def __init__(self, web: Small) -> None:
        self._web = web
        self._known: OrderedDict[str, _Origin] = OrderedDict()
        self._lock = threading.Lock()

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
        known = self._origin(where)
        before = known.failed
        with known.reading:
            if known.rules is None and known.failed is not None and known.failed is not before:
                # It failed while we waited: a host that is down is not waited for one by one.
                raise LinkError(known.failed.code, str(known.failed))
            if known.rules is None:
                try:
                    known.rules = self._read(where)
                except LinkError as error:
                    known.failed = error
                    raise
            return known.rules

    def _origin(self, where: str) -> _Origin:
        with self._lock:
            known = self._known.setdefault(where, _Origin())
            self._known.move_to_end(where)
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
            return known

    def _read(self, where: str) -> Protego:
        status, text = self._web.small(f"{where}/robots.txt", LONGEST)
        if status == TOO_MANY or status >= SERVER_ERRORS:
            raise LinkError("link.server", f"robots.txt answers {status}")
        ok = 200 <= status < 300  # noqa: PLR2004 - HTTP's own
        # With a byte order mark before it, the first group would be nobody's.
        return Protego.parse(text.decode("utf-8-sig", "replace") if ok else "")


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
