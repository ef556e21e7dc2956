"""Forgotten posts enter; OUT leaves without them, and without the media that only they link to.

What is forgotten has a tombstone in OUT too (`OUT/fetched/forgotten`, as a dataset has them), so
that the next fetch of the same dump leaves it out. posts.jsonl is written last: whoever is killed
before finds there all that is still to be taken out.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import uuid
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from imgbatch.dataset import tombstones
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.post_marks import (
    is_author_forgotten,
    is_forgotten,
    mark,
    posts_in,
    was_forgotten,
)
from imgbatch.errors import DatasetError
from imgbatch.fetching import kept, owners
from imgbatch.fetching.links import Links
from imgbatch.fetching.posts import urls_of, written
from imgbatch.settings import read_limits
from imgbatch.sources.dumps.fetched import former_of
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.fetching.task import Row
    from imgbatch.storage import Store

REFERENCES = ("reply_to", "repost_of")


@dataclass(frozen=True, slots=True)
class TakenOut:
    """What left OUT.

    Attributes:
        posts: lines of posts.jsonl.
        urls: outcomes of URLs that no other post links to, theirs now or in a former export.
        files: of them, deleted.
        nobodys: of the URLs, those of which nobody knows whose they were: no post of the last
            export links to them, and what was fetched before `owners` were kept names no other.
        versions: former versions of objects, where the store keeps them.
        addresses: of the files.
    """

    out: str
    posts: int
    urls: int
    files: int
    nobodys: int
    versions: int
    addresses: tuple[str, ...] = field(default=(), repr=False)

    def record(self) -> dict[str, Any]:
        """Return what `--json` says of it."""
        return {name: told for name, told in asdict(self).items() if name != "addresses"}


def check_out(out: str) -> None:
    """Refuse a folder that no fetch wrote to its end.

    Raises:
        DatasetError: it holds something else, or no posts.jsonl yet.
    """
    store = open_store(out)
    if not kept.refuse_other(store):
        raise DatasetError(f"{store.root} holds nothing that was fetched")
    try:
        store.open(kept.POSTS).close()
    except FileNotFoundError:
        raise DatasetError(
            f"{store.root} has no {kept.POSTS}: its fetch was not finished",
            "Fetch again first, so that it is known which post has which file.",
        ) from None


def take_out(out: str, marks: frozenset[str], *, before: float | None = None) -> TakenOut:
    """Take posts out of what a fetch wrote, and the media that only they link to.

    Args:
        out: of the fetch.
        marks: of posts and authors, as `posts_forgotten.mark` makes them of plain ids.
        before: seconds since 1970; posts that were made before go too. Media of which nobody knows
            whose they were go if they were fetched before, and with any post that is named.

    Raises:
        DatasetError: see `check_out`; or it is damaged.
        BusyError: a fetch is at work there.
        StorageError: OUT cannot be written, or former versions of objects may not be deleted.
    """
    check_out(out)
    store = open_store(out)
    inner = open_store(f"{store.root}/{kept.FOLDER}")
    lock = RunLock.take(inner, "forget", expires=read_limits().lock_seconds)
    try:
        owners.with_key(store)
        platforms = {platform for platform, _ in posts_in(marks)}
        old = {
            mark(one["platform"], one["post_id"])
            for one in written(store)
            if _is_old(owners.created(one), before)
        }
        stones = tombstones.add(inner, uuid.uuid4().hex, marks | old, platforms)
        with contextlib.closing(Links()) as links:
            given = owners.with_given(stones, marks)
            return _take_out(store, given, links, every=bool(marks), before=before)
    finally:
        lock.release()


def _take_out(
    store: Store, stones: Tombstones, links: Links, *, every: bool, before: float | None
) -> TakenOut:
    links.remember(kept.outcomes(store))
    links.found(kept.files(store))
    links.own(owners.read(store, stones))
    gone = 0
    with tempfile.TemporaryFile() as file:
        for one in written(store):
            if "gap" not in one:
                links.own(owners.of_line(stones, one))
            if is_gone(stones, one):
                gone += 1
                continue
            for url in urls_of(one):
                links.link(url, wanted=False)
            file.write(json.dumps(_without(one, stones), ensure_ascii=False).encode() + b"\n")
        nobodys = [key for key, row in links.nobodys() if every or _is_old(_at(row), before)]
        links.leave(nobodys)
        links.disown(lambda marks, at: owners.is_gone(stones, marks) or _is_old(at, before))
        urls_gone = links.take_out()
        kept.write_tables(store, links.outcomes())
        files = kept.tidy(store, links)
        owners.write(store, stones, links.owners())
        kept.put_changed(store, kept.POSTS, cast("BinaryIO", file))
    former = list(store.former())
    store.erase(former)
    return TakenOut(
        out=store.root,
        posts=gone,
        urls=urls_gone,
        files=len(files),
        nobodys=len(nobodys),
        versions=len(former),
        addresses=tuple(map(store.address, files)),
    )


def _at(row: Row) -> float | None:
    said = row.get("fetched_at")
    return datetime.fromisoformat(said).timestamp() if said else None


def _is_old(created: float | None, before: float | None) -> bool:
    return before is not None and created is not None and created < before


def is_gone(stones: Tombstones, one: dict[str, Any]) -> bool:
    """Tell whether a line of posts.jsonl is of a post that is forgotten."""
    where = one.get("platform")
    return (
        any(is_forgotten(stones, name, one.get("post_id")) for name in owners.platforms(one))
        or is_author_forgotten(stones, where, one.get("author_id"))
        or any(was_forgotten(stones, where or "", name, None) for name in former_of(one))
    )


def _without(one: dict[str, Any], stones: Tombstones) -> dict[str, Any]:
    """Return a post that names no forgotten one."""
    where = one.get("platform")
    named = [name for name in REFERENCES if is_forgotten(stones, where, one.get(name))]
    return {**one, **dict.fromkeys(named)} if named else one
