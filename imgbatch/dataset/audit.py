"""What a forget did enters; a record of it leaves, which names nothing of what was forgotten.

DATASET/forgotten/<run>.json    who forgot, when, why, and how much. No address, id or content
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import uuid
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from imgbatch.dataset import scrub, tombstones
from imgbatch.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgbatch.dataset.posts_theirs import KnownPosts
    from imgbatch.storage import Store

PAGE = f"{scrub.REPORT}/index.html"
ReportKind = Literal["none", "plain", "pictures"]


@dataclass(slots=True)
class Audit:
    """What a forget was and did: `forgotten/<run>.json`.

    Attributes:
        run: its name; commits of the tables name it too.
        who: user and machine.
        named: how many sources were to be forgotten, members of archives counted.
        posts, authors: how many posts were, and how many authors with all posts of theirs.
        platforms: of these posts; "": somebody named one without saying where it is from.
        rows: how many left each table. One that was killed in between may have taken out more.
        files, versions, lines: deleted files that no snapshot holds, those that were put aside and
            those of the report among them; deleted former versions of objects; log lines and
            values of records.
        report: what was deleted: nothing, a page, or a page with pictures in it.
        status: `begun` until all is done; the next forget completes it.
        former: whether all that stood behind former states was to leave.
    """

    run: str
    started: str
    who: str
    reason: str | None
    named: int
    rows: Counter[str] = field(default_factory=Counter)
    files: int = 0
    versions: int = 0
    lines: int = 0
    report: ReportKind = "none"
    status: Literal["begun", "finished"] = "begun"
    posts: int = 0
    authors: int = 0
    platforms: list[str] = field(default_factory=list)
    former: bool = False
    finished: str | None = None

    def write(self, store: Store) -> None:
        """Write the record; called again, it replaces the former one."""
        record = {**asdict(self), "rows": dict(self.rows)}
        _put(store, f"{tombstones.FOLDER}/{self.run}.json", record)


def records(store: Store) -> list[dict[str, Any]]:
    """Return the audit records of a dataset, by its store, oldest first.

    Raises:
        DamageError: one is not readable.
    """
    names = tombstones.names_below(store, tombstones.FOLDER)
    return [_record(store, name) for name in names if name.endswith(".json")]


def platforms_of(told: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Return which platforms the posts are of that audit records tell of; "": any."""
    # Records of before this was told: who named posts mostly named no platform.
    own = (record.get("platforms", [""] if record.get("posts") else []) for record in told)
    return frozenset(chain.from_iterable(own))


def _record(store: Store, name: str) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(store.get(name))
        str(record["status"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamageError(
            f"{name} is not readable: {error!r}",
            "Bring it back from a copy, or put it aside: what is forgotten stays forgotten. Then "
            "forget the last names once more: it may not have been finished.",
        ) from error
    return record


def new_audit(reason: str | None, *, named: int, told: KnownPosts) -> Audit:
    """Return the record of a forget that begins now.

    Args:
        reason: why.
        named: how many sources are to be forgotten.
        told: the posts that are.
    """
    now = datetime.now(UTC)
    return Audit(
        run=f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}",
        started=now.isoformat(timespec="seconds"),
        who=f"{_user()}@{platform.node()}",
        reason=reason,
        named=named,
        posts=len(told.marks) - told.authors,
        authors=told.authors,
        platforms=sorted(told.platforms),
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number that has no name
        return str(os.getuid())


def report_kind(store: Store) -> ReportKind:
    """Return what there is of a report, which a forget deletes."""
    try:
        return "pictures" if b"data:image/" in store.get(PAGE) else "plain"
    except FileNotFoundError:
        return "none"


def finish(store: Store, audit: Audit, begun: list[dict[str, Any]]) -> None:
    """Write that a forget is done, and that it completed what others had begun."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for record in begun:
        done = {**record, "status": "finished", "finished": now, "finished_by": audit.run}
        _put(store, f"{tombstones.FOLDER}/{record['run']}.json", done)
    audit.status, audit.finished = "finished", now
    audit.write(store)


def _put(store: Store, name: str, record: Mapping[str, Any]) -> None:
    store.put(name, json.dumps(record, indent=1).encode())
