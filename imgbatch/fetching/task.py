"""What one URL is on its way: asked for where, how often, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from imgbatch.errors import LinkError

Row = dict[str, Any]
# What a URL comes to whose host was left alone; the next fetch asks for it without being told.
UNASKED = "link.unasked"
# What no post wants of all that link to it.
UNWANTED = "link.kind"
TOO_LARGE = "link.too-large"
# What says that nobody should have a file any more, or not for this. One that is only not there any
# more, or not for us (`link.gone`, `link.denied`, `link.robots`), stays: links rot, that is why it
# was fetched, and robots.txt speaks of what is asked for, not of what one has.
WITHDRAWN = ("link.noai", "link.legal")


@dataclass(slots=True)
class Task:
    """A URL that is to be asked for.

    Attributes:
        url: as the dump has it, canonical.
        key: its name here.
        at: where it is asked for now: it, or where redirects led.
        former: its former outcome, {} if there is none; asked again only if it changed.
        via: every URL that was asked on the way here.
        attempts: requests that were made for it.
        slot: seconds of its host's time that it takes.
    """

    url: str
    key: str
    at: str = ""
    former: Row = field(default_factory=dict)
    via: list[str] = field(default_factory=list)
    attempts: int = 0
    slot: float = 0.0


@dataclass(frozen=True, slots=True)
class Step:
    """What came of one request.

    Attributes:
        task: whose.
        row: its outcome, if that is decided.
        moved: where a redirect leads.
        error: what went wrong, in a way that may pass.
        delay: seconds that the host's robots.txt wants between two requests.
        fatal: what ends the whole fetch.
        bytes: that came.
        free: no request was made.
    """

    task: Task
    row: Row | None = None
    moved: str = ""
    error: LinkError | None = None
    delay: float = 0.0
    fatal: BaseException | None = None
    bytes: int = 0
    free: bool = False


def failed(task: Task, error: LinkError) -> Row:
    """Return the outcome of a URL that gave nothing.

    What a former fetch has of it stays, a file that was here is still the file of that URL; but for
    one that its host withdraws.
    """
    stays = task.former.get("file") and error.code not in WITHDRAWN
    former = {name: task.former[name] for name in KEPT} if stays else {}
    if came_from(task.former) != task.at:
        former |= dict.fromkeys(VALIDATORS)
    return {
        **dict.fromkeys(FIELDS),
        **former,
        "url": task.url,
        "status": "filtered" if error.by_rule else "failed",
        "error_class": error.code,
        "message": str(error),
        "final_url": task.at if task.at != task.url else None,
        "attempts": task.attempts,
        "fetched_at": now(),
    }


def came_from(row: Row) -> str:
    """Return where the file of an outcome was given: what its ETag and its date speak of."""
    return str(row.get("final_url") or row.get("url", ""))


def now() -> str:
    """Return the time of an outcome."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


FIELDS = (
    "url",
    "status",
    "error_class",
    "message",
    "file",
    "kind",
    "bytes",
    "sha256",
    "content_type",
    "final_url",
    "http_status",
    "etag",
    "last_modified",
    "attempts",
    "fetched_at",
    # That were allowed, of a file that was too large.
    "max_bytes",
)
# By which a server tells whether a file is still the same.
VALIDATORS = ("etag", "last_modified")
KEPT = ("file", "kind", "bytes", "sha256", "content_type", *VALIDATORS)
