"""Sources to be forgotten enter; a dataset that does not hold them leaves, and an audit record.

    tombstones -> fence -> logs, run records, report -> manifest -> tables -> files -> versions
    (never listed again)   (texts, while addresses are known)       (rows)    (bytes)

No picture is read: parts are written again without the rows. Every step looks at what is there, so
a forget that was killed is completed by the next one, whatever that one names. What it costs: the
files behind former versions of the tables are deleted, so there is no travel to a time before.

    DATASET/forgotten/<run>.json    who forgot, when, why, and how much. No address, id or content
"""

from __future__ import annotations

import getpass
import json
import os
import platform
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import (
    MANIFEST,
    SOURCES,
    groups,
    labels,
    manifest,
    posts,
    posts_forgotten,
    posts_leaving,
    scrub,
    tombstones,
)
from imgbatch.dataset.changes import GONE, Changes
from imgbatch.dataset.commit import take_number
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.needles import Needles
from imgbatch.dataset.parts import put_table, read_part
from imgbatch.dataset.posts_forgotten import KnownPosts
from imgbatch.dataset.shards import read_rows
from imgbatch.errors import DamageError, SettingsError
from imgbatch.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset, Part, Table
    from imgbatch.dataset.given import Known
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.storage import Store

PAGE = f"{scrub.REPORT}/index.html"
OURS = "imgbatch."
READERS = 8


@dataclass(slots=True)
class Audit:
    """What a forget was and did: `forgotten/<run>.json`.

    Attributes:
        run: its name; commits of the tables name it too.
        who: user and machine.
        named: how many sources were to be forgotten, members of archives counted.
        posts, authors: how many posts were, and how many authors with all posts of theirs.
        rows: how many left each table. One that was killed in between may have taken out more.
        files, versions, lines: deleted files that no snapshot holds; deleted former versions of
            objects; log lines and values of records.
        report: what was deleted: nothing, a page, or a page with pictures in it.
        status: `begun` until all is done; the next forget completes it.
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
    report: Literal["none", "plain", "pictures"] = "none"
    status: Literal["begun", "finished"] = "begun"
    posts: int = 0
    authors: int = 0
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


def forget(
    dataset: Dataset,
    known: Known,
    *,
    of_posts: KnownPosts | None = None,
    reason: str | None = None,
) -> Audit:
    """Take sources and posts out of a dataset for good, and complete what was interrupted.

    Nothing but tombstones and the record is written when the dataset holds none of them and never
    did.

    Args:
        dataset: which they leave.
        known: of the sources, those of posts among them.
        of_posts: of the posts.
        reason: kept in the audit record.

    Raises:
        SettingsError: the reason names a source.
        BusyError: a run is at work on the dataset; nothing was done.
        FencedError: another run took the dataset over; do it again.
        StorageError: former versions of objects may not be deleted.
    """
    store = dataset.store
    if reason is not None and _all_needles(known, tombstones.Tombstones()).in_text(reason):
        raise SettingsError(
            "--reason names a source, and it is kept for good",
            "Say why without saying which: a ticket's number, the kind of request.",
        )
    told = of_posts or KnownPosts()
    audit = _audit(reason, named=len(known.ids), told=told)
    lock = RunLock.take(store, audit.run, expires=Limits().lock_seconds)
    try:
        _forget(dataset, known, told, audit)
    finally:
        lock.release()
    return audit


def _forget(dataset: Dataset, known: Known, told: KnownPosts, audit: Audit) -> None:
    store = dataset.store
    begun = [record for record in records(store) if record["status"] == "begun"]
    # Whoever killed a forget after it deleted the report is to have it back all the same.
    kinds = {record["report"] for record in begun} | {_report_kind(store)}
    audit.report = next(kind for kind in ("pictures", "plain", "none") if kind in kinds)
    before = tombstones.read(store)
    ids = known.ids | told.marks
    media = posts_forgotten.media_marks(dataset, known.ids)
    stones = tombstones.add(store, audit.run, ids | media)
    audit.write(store)
    if begun or known.addresses or told.here or all(one in before for one in ids):
        _take_out(dataset, known, stones, audit)
    _finish(store, audit, begun)


def _audit(reason: str | None, *, named: int, told: KnownPosts) -> Audit:
    now = datetime.now(UTC)
    return Audit(
        run=f"{now:%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:6]}",
        started=now.isoformat(timespec="seconds"),
        who=f"{_user()}@{platform.node()}",
        reason=reason,
        named=named,
        posts=len(told.marks) - told.authors,
        authors=told.authors,
    )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number that has no name
        return str(os.getuid())


def _report_kind(store: Store) -> Literal["none", "plain", "pictures"]:
    try:
        return "pictures" if b"data:image/" in store.get(PAGE) else "plain"
    except FileNotFoundError:
        return "none"


def _take_out(dataset: Dataset, known: Known, stones: Tombstones, audit: Audit) -> None:
    store = dataset.store
    # A run that still goes on is shut out of every table by this: what is read below stays true.
    number = take_number(dataset, audit.run)
    folders = scrub.all_tables(dataset)
    # Texts go before rows: after a kill, nobody could say what addresses to look for in them.
    audit.lines += scrub.texts(store, _all_needles(known, stones))
    scrub.report(store)
    audit.rows[MANIFEST] += _leave_manifest(dataset, stones, audit.run, number)
    shards = {part.shard: part for part in dataset.table(MANIFEST).parts().values()}
    # Before the tables of sources: a post must not point at rows that are gone.
    audit.rows.update(posts_leaving.leave(dataset, stones, run=audit.run, number=number))
    others = set(folders) - {MANIFEST, *posts.TABLES}
    for folder in sorted(others, key=lambda f: (f.endswith(f"/{SOURCES}"), f)):
        if folder.startswith(f"{groups.FOLDER}/"):
            name = folder.removeprefix(f"{groups.FOLDER}/")
            gone = labels.leave(dataset, name, stones, run=audit.run, number=number)
        else:
            gone = _leave_table(dataset, folder, shards, stones, (audit.run, number))
        audit.rows[folder.rpartition("/")[2]] += gone
        audit.write(store)
    audit.files += scrub.vacuum(dataset)
    audit.versions += scrub.former_versions(store)


def _all_needles(known: Known, stones: Tombstones) -> Needles:
    given = {one.address for one in known.unknown if one.address is not None}
    return Needles(stones, words=known.ids, addresses=known.addresses | given)


def _leave_manifest(dataset: Dataset, stones: Tombstones, run: str, number: int) -> int:
    """Make a new generation of each shard that holds a forgotten source; return how many left."""
    table = dataset.table(MANIFEST)
    gone = GONE.empty_table()
    for batch in table.batches(GONE.names) if table.exists else ():
        rows = pa.Table.from_batches([batch])
        gone = pa.concat_tables([gone, rows.filter(stones.among(rows["source_id"]))])
    changes = Changes.of_rows(removed=gone)
    if not changes.nothing:
        manifest.freeze(dataset, changes, limits=Limits(), run=run, number=number)
    return int(gone.num_rows)


def _leave_table(
    dataset: Dataset,
    folder: str,
    shards: Mapping[str, Part],
    stones: Tombstones,
    fence: tuple[str, int],
) -> int:
    """Write the parts of a table again that hold a forgotten source; return how many rows left."""
    table = dataset.table(folder)

    def leave(part: Part) -> tuple[int, Part | None, Part]:
        own = shards.get(part.shard)
        if own is not None and own.label == part.label:
            return 0, part, part  # it holds exactly the sources that the manifest has
        rows, _ = read_part(dataset.store, part)
        gone = stones.of_rows(rows)
        count = int(pc.sum(gone).as_py() or 0)
        if own is None and folder.startswith("tables/"):
            return count, None, part  # of a shard that is no more
        listed = None if own is None else read_rows(dataset, own.path)
        if own is not None and listed is not None and _is_whole(part, listed):
            stem = f"{own.label}-{part.fingerprint}"
            return count, _again(dataset, table, stem, rows, _of_sources(rows, listed)), part
        kept = rows.filter(pc.invert(gone))
        return count, _again(dataset, table, part.stem, rows, kept) if count else part, part

    with ThreadPoolExecutor(READERS) as pool:
        left = list(pool.map(leave, table.parts().values()))
    adds = [new for _, new, part in left if new is not None and new.path != part.path]
    removes = [part for _, new, part in left if new is None or new.path != part.path]
    if removes:
        run, number = fence
        table.commit(adds, removes, fence=number, run=run)
    return sum(count for count, _, _ in left)


def _is_whole(part: Part, listed: pa.Table) -> bool:
    """Tell whether a part has the rows of all sources that are left in its shard.

    Such a part is carried over to their generation: no run has anything to do for it. Any other
    keeps its generation, and the next run goes on from it.
    """
    return bool(pc.max(listed["touched"]).as_py() <= part.generation)


def _again(dataset: Dataset, table: Table, stem: str, rows: pa.Table, kept: pa.Table) -> Part:
    """Write the kept rows of a part, with the provenance that the part itself names."""
    told = {
        key.decode().removeprefix(OURS): value.decode()
        for key, value in (rows.schema.metadata or {}).items()
        if key.decode().startswith(OURS)
    }
    return put_table(dataset.store, table.name, stem, kept, told)


def _of_sources(rows: pa.Table, listed: pa.Table) -> pa.Table:
    at = pc.index_in(rows["source_id"], value_set=listed["source_id"])
    same = pc.equal(listed["version"].take(at), rows["version"])
    return rows.filter(pc.fill_null(same, fill_value=False))


def _finish(store: Store, audit: Audit, begun: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    for record in begun:
        done = {**record, "status": "finished", "finished": now, "finished_by": audit.run}
        _put(store, f"{tombstones.FOLDER}/{record['run']}.json", done)
    audit.status, audit.finished = "finished", now
    audit.write(store)


def _put(store: Store, name: str, record: Mapping[str, Any]) -> None:
    store.put(name, json.dumps(record, indent=1).encode())
