"""Enters: which post links to which URL. OUT keeps it, also when a later export drops the post.

    OUT/fetched/owners.parquet    per URL and post: the URL's key, the post's marks, its date

A post that was deleted or edited where it came from is not in the next export, nor is its id then
anywhere in posts.jsonl; its media lie in OUT still, and whoever asks for them to be taken out names
the post. Its marks are all that a tombstone of it or its author may be made of, hashed as
tombstones are with the key in `fetched/forgotten`: enough to know a post again that is named, and
nothing that names one. What is taken out leaves here too.

Decision, 2026-11: all posts are kept so, not only former ones: a fetch that is killed before it
writes posts.jsonl leaves media too. Drawback: about 80 bytes for each URL of each post.
"""

from __future__ import annotations

import contextlib
import dataclasses
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from imgbatch.dataset import tombstones
from imgbatch.dataset.post_marks import mark, marks_of, posts_in
from imgbatch.dataset.tombstones import HASH_BYTES, Tombstones
from imgbatch.errors import DamageError, DatasetError
from imgbatch.fetching import kept
from imgbatch.fetching.posts import urls_of
from imgbatch.fetching.urls import key_of
from imgbatch.sources.dumps.fetched import former_of
from imgbatch.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from imgbatch.storage import Store

    # A URL's key, the hashes of a post's marks one after the other, seconds since 1970 or None.
    Owner = tuple[str, bytes, float | None]

TABLE = f"{kept.FOLDER}/owners.parquet"
SCHEMA = pa.schema([("url", pa.binary(16)), ("marks", pa.binary()), ("created", pa.float64())])
# Stands for any platform in marks of posts that zips of 4CAT alone name.
LINKED = "linked"
LOST = "table: whatever no post links to is then taken out with the next post that is."
# The hash of a text that is no mark: whether the key is the one that the table was made with.
SAMPLE, SAMPLE_OF = b"imgbatch.sample", "sample"


def hashes(stones: Tombstones, post: Any) -> bytes:
    """Return the hashes of a post's marks.

    Args:
        stones: their key.
        post: a `Post`, or a line of posts.jsonl.
    """
    names = ("post_id", "author_id")
    if isinstance(post, dict):
        own, author = (post.get(name) for name in names)
        former = former_of(post)
    else:
        own, author = (getattr(post, name) for name in names)
        former = post.former
    marks = {one for where in platforms(post) for one in marks_of(where, str(own), author, former)}
    return b"".join(stones.hash(one) for one in sorted(marks))


def platforms(post: Any) -> list[str | None]:
    """Return by what platforms tombstones may mean a post: a `Post`, or a line of posts.jsonl."""
    if isinstance(post, dict):
        where, linked = post.get("platform"), post.get("linked") is True
    else:
        where, linked = post.platform, post.linked
    return [where, LINKED] if linked else [where]


def with_given(stones: Tombstones, marks: frozenset[str]) -> Tombstones:
    """Return tombstones as they are where posts and authors of these marks have theirs.

    What a zip of 4CAT alone says is of an id is of that id on any platform.
    """
    linked = {mark(LINKED, own) for _, own in posts_in(marks)}
    given = {stones.hash(one) for one in marks | linked}
    return dataclasses.replace(stones, hashes=stones.hashes | given)


def of_line(stones: Tombstones, one: dict[str, Any]) -> Iterator[Owner]:
    """Yield what is kept of a post, by its line of posts.jsonl."""
    marks, at = hashes(stones, one), created(one)
    for url in urls_of(one):
        yield key_of(url), marks, at


def is_gone(stones: Tombstones, marks: bytes) -> bool:
    """Tell whether a post, by the hashes of its marks, has a tombstone, or its author has."""
    parts = (marks[at : at + HASH_BYTES] for at in range(0, len(marks), HASH_BYTES))
    return any(part in stones.hashes for part in parts)


def created(post: Any) -> float | None:
    """Return when a post was made, of a `Post` or a line of posts.jsonl, in seconds since 1970."""
    at = post.get("created_at") if isinstance(post, dict) else post.created_at
    if not at:
        return None
    return (datetime.fromisoformat(at) if isinstance(at, str) else at).timestamp()


def stones(store: Store) -> Tombstones:
    """Return the tombstones of OUT, with their key also where nothing was forgotten yet.

    Raises:
        DamageError: they cannot be read.
    """
    inner = open_store(f"{store.root}/{kept.FOLDER}")
    found = tombstones.read(inner)
    if not found.key:
        with contextlib.suppress(FileNotFoundError):
            found = dataclasses.replace(found, key=inner.get(tombstones.KEY))
    return found


def read(store: Store, stones: Tombstones) -> Iterator[Owner]:
    """Yield what OUT has; nothing of one that an earlier version wrote.

    Raises:
        DatasetError: it is damaged, or was made with another key.
    """
    with contextlib.suppress(FileNotFoundError), store.open(TABLE) as file:
        try:
            table = pq.ParquetFile(file)
            said = (table.schema_arrow.metadata or {}).get(SAMPLE)
            if said != stones.hash(SAMPLE_OF):
                raise DatasetError(
                    f"{store.root}/{TABLE} was made with another key than {kept.FOLDER}/"
                    f"{tombstones.KEY}, so nobody can tell whose media lie here",
                    f"Bring that key back from a copy; without one delete the {LOST}",
                )
            for batch in table.iter_batches(kept.ROW_GROUP):
                columns = (batch.column(name).to_pylist() for name in SCHEMA.names)
                for url, marks, at in zip(*columns, strict=True):
                    yield url.hex(), marks, at
        except (pa.ArrowException, OSError, KeyError) as error:
            raise DatasetError(
                f"{store.root}/{TABLE} is damaged: {error}",
                f"Delete that {LOST}",
            ) from error


def write(store: Store, stones: Tombstones, owners: Iterable[Owner]) -> None:
    """Write all, unless OUT has the same."""
    schema = SCHEMA.with_metadata({SAMPLE: stones.hash(SAMPLE_OF)})
    with kept.partial() as file:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            batch: list[dict[str, Any]] = []
            for url, marks, at in owners:
                batch.append({"url": bytes.fromhex(url), "marks": marks, "created": at})
                if len(batch) == kept.ROW_GROUP:
                    writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                    batch = []
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
        kept.put_changed(store, TABLE, file)


def with_key(store: Store) -> Tombstones:
    """Return the tombstones of OUT, with a key that is made where there is none.

    Raises:
        DamageError: they cannot be read, or the key is gone that whose media lie here is kept by.
    """
    if not stones(store).key:
        with contextlib.suppress(FileNotFoundError):
            store.head(TABLE)
            raise DamageError(
                f"{store.root}/{kept.FOLDER}/{tombstones.KEY} is missing, and {TABLE} needs it",
                f"Bring it back from a copy; without one delete the {LOST}",
            )
    return tombstones.add(open_store(f"{store.root}/{kept.FOLDER}"), "", ())
