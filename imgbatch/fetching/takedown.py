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
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from imgbatch.dataset import tombstones
from imgbatch.dataset.lock import RunLock
from imgbatch.dataset.post_marks import is_author_forgotten, is_forgotten, mark, was_forgotten
from imgbatch.errors import DatasetError
from imgbatch.fetching import kept
from imgbatch.fetching.links import Links
from imgbatch.fetching.posts import address_of
from imgbatch.settings import read_limits
from imgbatch.sources.dumps.fetched import former_of
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.storage import Store

REFERENCES = ("reply_to", "repost_of")


@dataclass(frozen=True, slots=True)
class TakenOut:
    """What left OUT.

    Attributes:
        posts: lines of posts.jsonl.
        urls: outcomes of URLs that no other post links to.
        files: of them, deleted.
        versions: former versions of objects, where the store keeps them.
    """

    out: str
    posts: int
    urls: int
    files: int
    versions: int


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
        before: seconds since 1970; posts that were made before go too.

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
        old = {
            mark(one["platform"], one["post_id"]) for one in _posts(store) if _is_old(one, before)
        }
        stones = tombstones.add(inner, uuid.uuid4().hex, marks | old)
        with contextlib.closing(Links()) as links:
            return _take_out(store, stones, links)
    finally:
        lock.release()


def _take_out(store: Store, stones: Tombstones, links: Links) -> TakenOut:
    links.remember(kept.outcomes(store))
    links.found(kept.files(store))
    gone = 0
    with tempfile.TemporaryFile() as file:
        for one in _posts(store):
            urls = [address_of(url) for medium in one.get("media", []) if (url := medium["url"])]
            if _is_gone(stones, one):
                gone += 1
                links.leave(urls)
                continue
            for url in urls:
                links.link(url, wanted=False)
            file.write(json.dumps(_without(one, stones), ensure_ascii=False).encode() + b"\n")
        urls_gone = links.take_out()
        kept.write_tables(store, links.outcomes())
        files = kept.tidy(store, links)
        kept.put_changed(store, kept.POSTS, cast("BinaryIO", file))
    former = list(store.former())
    store.erase(former)
    return TakenOut(store.root, gone, urls_gone, files, len(former))


def _posts(store: Store) -> Iterator[dict[str, Any]]:
    """Yield the lines of posts.jsonl: posts and, of another shape, gaps of the dump."""
    with store.open(kept.POSTS) as file:
        for number, line in enumerate(file, 1):
            try:
                yield json.loads(line)
            except ValueError as error:
                raise DatasetError(
                    f"{store.root}/{kept.POSTS}, line {number}: {error}", "Fetch again first."
                ) from error


def _is_old(one: dict[str, Any], before: float | None) -> bool:
    created = one.get("created_at")
    return bool(before and created and datetime.fromisoformat(created).timestamp() < before)


def _is_gone(stones: Tombstones, one: dict[str, Any]) -> bool:
    where = one.get("platform")
    return (
        is_forgotten(stones, where, one.get("post_id"))
        or is_author_forgotten(stones, where, one.get("author_id"))
        or any(was_forgotten(stones, where or "", name, None) for name in former_of(one))
    )


def _without(one: dict[str, Any], stones: Tombstones) -> dict[str, Any]:
    """Return a post that names no forgotten one."""
    where = one.get("platform")
    named = [name for name in REFERENCES if is_forgotten(stones, where, one.get(name))]
    return {**one, **dict.fromkeys(named)} if named else one
