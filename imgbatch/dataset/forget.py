"""Sources to be forgotten enter; a dataset that does not hold them leaves, and an audit record.

    tombstones -> fence -> logs, run records, report, what was put aside -> manifest -> tables
    (never listed again)   (texts, while addresses are known)      (rows) -> files -> versions

No picture is read: parts are written again without the rows. Every step looks at what is there, so
a forget that was killed is completed by the next one, whatever that one names. What it costs: the
files behind former versions of the tables are deleted, so there is no travel to a time before.
What it was and did is told by `imgbatch.dataset.audit`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgbatch.dataset import (
    MANIFEST,
    SOURCES,
    groups,
    labels,
    labels_leaving,
    medium_marks,
    posts,
    posts_leaving,
    rows_leaving,
    scrub,
    tombstones,
)
from imgbatch.dataset.audit import (
    Audit,
    finish,
    new_audit,
    platforms_of,
    records,
    report_kind,
)
from imgbatch.dataset.commit import check_ours, take_number
from imgbatch.dataset.given import Known
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.needles import Needles
from imgbatch.dataset.post_ids import PostIds
from imgbatch.dataset.posts_theirs import KnownPosts
from imgbatch.errors import SettingsError
from imgbatch.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.given import Given
    from imgbatch.dataset.labels_leaving import Recount

COMPLETED = "completes what was begun"


def forget(
    dataset: Dataset,
    known: Known,
    *,
    of_posts: KnownPosts | None = None,
    former: bool = False,
    reason: str | None = None,
    recount: Recount = labels_leaving.as_they_are,
) -> Audit:
    """Take sources and posts out of a dataset for good, and complete what was interrupted.

    Nothing but tombstones and the record is written where nothing of them is left to take out.

    Args:
        dataset: which they leave.
        known: of the sources, those of posts among them.
        of_posts: of the posts.
        former: whatever is named, all that stands behind former states leaves as well: files that
            no snapshot holds, what a repair put aside, and labels of rows that are no more.
        reason: kept in the audit record.
        recount: tells again what is left of groups that lose rows: `imgbatch.recount`, where labels
            may be there. By default their other columns stay as they are.

    Raises:
        SettingsError: the reason names a source or a post.
        DamageError: another program committed to a table, or its log is damaged; nothing was done.
        BusyError: a run is at work on the dataset; nothing was done.
        FencedError: another run took the dataset over; do it again.
        StorageError: former versions of objects may not be deleted.
    """
    store = dataset.store
    told = of_posts or KnownPosts()
    if reason is not None and _named(known, told).in_text(reason):
        raise SettingsError(
            "--reason names a source or a post, and it is kept for good",
            "Say why without saying which: a ticket's number, the kind of request.",
        )
    audit = new_audit(reason, named=len(known.ids), told=told)
    audit.former = former
    _refuse_strange(dataset)
    lock = RunLock.take(store, audit.run, expires=Limits().lock_seconds)
    try:
        _forget(dataset, known, told, audit, recount)
    finally:
        lock.release()
    return audit


def begin(dataset: Dataset, told: KnownPosts, *, reason: str) -> None:
    """Put on record that posts are to be forgotten, for `complete` to do when no run is at work.

    From now on no run brings them or lists their sources, and the proof says what is not done.

    Args:
        dataset: which they will leave.
        told: of the posts, with the sources that go with them.
        reason: kept in the audit record.
    """
    audit = new_audit(reason, named=len(told.sources), told=told)
    ids = told.sources | told.marks | told.names
    tombstones.add(dataset.store, audit.run, ids, told.platforms)
    audit.write(dataset.store)


def complete(dataset: Dataset, recount: Recount) -> Audit | None:
    """Do what is on record as begun; None where nothing is.

    Args:
        dataset: which it leaves.
        recount: as for `forget`.

    Raises:
        BusyError, FencedError, StorageError: as for `forget`; it stays on record.
    """
    begun = [record for record in records(dataset.store) if record["status"] == "begun"]
    if not begun:
        return None
    stones = tombstones.read(dataset.store)
    there: dict[str, str] = {}
    for batch in dataset.batches(MANIFEST, columns=["source_id", "address"]):
        rows = pa.Table.from_batches([batch])
        gone = rows.filter(stones.among(rows["source_id"]))
        there.update(zip(*(column.to_pylist() for column in gone.columns), strict=True))
    known = Known(frozenset(there), frozenset(there.values()), unknown=(), twins=())
    return forget(dataset, known, reason=COMPLETED, recount=recount)


def is_left(dataset: Dataset, one: Given) -> bool:
    """Tell whether labels, logs or files of the past name a source that the tables lack."""
    addresses = frozenset() if one.address is None else frozenset({one.address})
    words = frozenset({one.source_id})
    return scrub.traced(dataset, Needles(tombstones.Tombstones(), words, addresses))


def _refuse_strange(dataset: Dataset) -> None:
    """Look at the names of all parts: of a strange one nobody knows what it holds."""
    for folder in scrub.all_tables(dataset):
        dataset.table(folder).parts()


def _forget(
    dataset: Dataset, known: Known, told: KnownPosts, audit: Audit, recount: Recount
) -> None:
    store = dataset.store
    before = records(store)
    begun = [record for record in before if record["status"] == "begun"]
    audit.former |= any(record.get("former", False) for record in begun)
    # Whoever killed a forget after it deleted the report is to have it back all the same.
    kinds = {record["report"] for record in begun} | {report_kind(store)}
    audit.report = next(kind for kind in ("pictures", "plain", "none") if kind in kinds)
    ids = known.ids | told.marks
    media = medium_marks.media_marks(dataset, known.ids)
    stones = tombstones.add(store, audit.run, ids | media | told.names, told.platforms)
    audit.write(store)
    needles = _all_needles(known, PostIds(stones, platforms_of(before) | stones.platforms))
    here = known.addresses or told.here
    if begun or audit.former or here or _is_left(dataset, needles):
        _take_out(dataset, needles, audit, recount, alone=_of_nobody(begun, known, told))
    else:
        # A photo that a search was asked with is on its page, and no source of the dataset.
        audit.files += scrub.pages(store, needles)
        if report_kind(store) != "none":
            audit.report = "none"  # it stays as it is
    finish(store, audit, begun)


def _is_left(dataset: Dataset, needles: Needles) -> bool:
    """Tell whether something is there to be taken out, wherever the proof would find it.

    What a run took out, as INPUT lacks it, has labels and former rows still; a post that is none
    here may be answered or shared by one that is; and a forget may have been killed before it was
    on record.
    """
    stones = needles.stones
    shards = {part.shard: part for part in dataset.table(MANIFEST).parts().values()}
    return (
        rows_leaving.is_listed(dataset, stones)
        or any(
            rows_leaving.is_left(dataset, folder, shards, stones)
            for folder in scrub.all_tables(dataset)
            if folder.startswith("tables/")
        )
        or posts_leaving.is_left(dataset, stones)
        or scrub.traced(dataset, needles)
        or scrub.kept(dataset.store, needles)
    )


def files_kept(dataset: Dataset, known: Known, told: KnownPosts) -> set[str]:
    """Return the names of files beside labels that a forget of these leaves where they are.

    Where a source or a post leaves, all of them go: nobody looks at what a model or a contact sheet
    shows. Where earlier states alone do, those of labels that stay belong to the state that stays.

    Args:
        dataset: which they lie in.
        known: the sources that are to be forgotten.
        told: the posts that are.
    """
    begun = [record for record in records(dataset.store) if record["status"] == "begun"]
    return labels.files(dataset) if _of_nobody(begun, known, told) else set()


def _of_nobody(begun: Iterable[Mapping[str, Any]], known: Known, told: KnownPosts) -> bool:
    """Tell whether no source and no post is named, nor was by what is completed on the way."""
    before = any(record.get(key) for record in begun for key in ("named", "posts", "authors"))
    return not (before or known.ids or told.marks or told.names or told.sources)


def _take_out(
    dataset: Dataset, needles: Needles, audit: Audit, recount: Recount, *, alone: bool
) -> None:
    """Take out what needles find.

    Args:
        dataset: which it leaves.
        needles: of sources and posts.
        audit: what is counted.
        recount: tells again what is left of groups.
        alone: no source and no post is named, so files beside labels that stay do so too.
    """
    store, stones = dataset.store, needles.stones
    # A run that still goes on is shut out of every table by this: what is read below stays true.
    number = take_number(dataset, audit.run)
    folders = scrub.all_tables(dataset)
    # Texts go before rows: after a kill, nobody could say what addresses to look for in them.
    audit.lines += scrub.texts(store, needles)
    audit.files += scrub.aside(store, needles)
    audit.files += scrub.report(store)
    audit.rows[MANIFEST] += rows_leaving.leave_manifest(dataset, stones, audit.run, number)
    shards = {part.shard: part for part in dataset.table(MANIFEST).parts().values()}
    # Before the tables of sources: a post must not point at rows that are gone.
    audit.rows.update(posts_leaving.leave(dataset, stones, run=audit.run, number=number))
    others = set(folders) - {MANIFEST, *posts.TABLES}
    for folder in sorted(others, key=lambda f: (f.endswith(f"/{SOURCES}"), f)):
        if folder.startswith(f"{groups.FOLDER}/"):
            name = folder.removeprefix(f"{groups.FOLDER}/")
            gone = labels_leaving.leave(
                dataset, name, stones, recount, run=audit.run, number=number
            )
        else:
            gone = rows_leaving.leave_table(dataset, folder, shards, stones, (audit.run, number))
        audit.rows[folder.rpartition("/")[2]] += gone
        audit.write(store)
    if audit.former:
        for name in labels.outdated(dataset):
            labels_leaving.empty(dataset, name, run=audit.run, number=number)
        audit.files += scrub.all_aside(store)
    # What no snapshot holds may be what a run that took over is about to commit.
    check_ours(dataset, number)
    audit.files += scrub.vacuum(dataset, labels.files(dataset) if alone else ())
    audit.versions += scrub.former_versions(store)


def _all_needles(known: Known, posts_gone: PostIds) -> Needles:
    given = {one.address for one in known.unknown if one.address is not None}
    addresses = known.addresses | given
    return Needles(posts_gone.stones, words=known.ids, addresses=addresses, posts=posts_gone)


def _named(known: Known, told: KnownPosts) -> Needles:
    """Return what finds the given sources and posts alone, before any has a tombstone."""
    none = tombstones.Tombstones()
    own = tombstones.Tombstones(hashes=frozenset(map(none.hash, told.marks)))
    return _all_needles(known, PostIds(own, told.platforms))
