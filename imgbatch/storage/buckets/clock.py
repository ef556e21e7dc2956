"""A server's Date header enters; how far our clock is from it leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from imgbatch.storage.buckets import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

# S3 refuses requests that are signed further off than that; Google's tokens allow less.
REFUSED = timedelta(minutes=15)
ODD = timedelta(minutes=2)
REMEDY = (
    "Set this machine's clock: `sudo timedatectl set-ntp true`, or `sudo chronyc makestep`. In a "
    "container or a virtual machine it is the host's."
)


def clock(date: str | None) -> Iterator[Finding]:
    """Yield how far off we are, where the server told its time."""
    try:
        theirs = parsedate_to_datetime(date or "")
    except ValueError:
        yield Finding("clock", "skipped", "the server does not tell its time")
        return
    if theirs.tzinfo is None:
        theirs = theirs.replace(tzinfo=UTC)
    off = datetime.now(UTC) - theirs
    size = abs(off)
    text = f"{_length(size)} {'ahead of' if off > timedelta() else 'behind'} the server's"
    if size >= REFUSED:
        yield Finding("clock", "failed", f"{text}: every request will be refused", REMEDY, True)  # noqa: FBT003 - blocks
    elif size >= ODD:
        yield Finding("clock", "warning", text, REMEDY)
    else:
        yield Finding(
            "clock", "ok", f"within {_length(max(size, timedelta(seconds=1)))} of the server's"
        )


def _length(of: timedelta) -> str:
    seconds = int(of.total_seconds())
    if seconds >= 7200:  # noqa: PLR2004 - two hours
        return f"{seconds // 3600} hours"
    return f"{seconds // 60} minutes" if seconds >= 120 else f"{seconds} s"  # noqa: PLR2004 - two minutes
