"""Enters: ids of sources to be forgotten. Leaves: whether an id, a table's row or a source is one.

    DATASET/forgotten/key              32 random bytes, made once
    DATASET/forgotten/<run>.parquet    keyed BLAKE2b of the ids that this forget named, and in its
                                       metadata the platforms of the posts among them

What is kept of a forgotten source is a keyed hash of its id, which is itself a hash of its address:
enough to know it again, and nothing that names it. A source whose archive is forgotten is, too.

Decision, 2026-11: the key lies in the dataset. The same list must keep a source out on any machine
that runs over this dataset, so whoever can read the dataset can have the key. Drawback: with key
and dataset in hand a guessed address can be confirmed; keep `forgotten/` out of what is published.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from imgbatch.errors import DamageError
from imgbatch.records import source_id_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imgbatch.storage import Store

FOLDER = "forgotten"
KEY = f"{FOLDER}/key"
KEY_BYTES = 32
HASH_BYTES = 16
ID_LENGTH = 32
MEMBER = "!/"
# Columns whose values begin with the id of a source, in any table.
KEYS = ("source_id", "picture_id", "region_id")
SCHEMA = pa.schema([("tombstone", pa.binary(HASH_BYTES))])
PLATFORMS = b"imgbatch.platforms"


@dataclass(frozen=True, slots=True)
class Tombstones:
    """The forgotten sources of a dataset, by keyed hash.

    Attributes:
        key: of the hash; b"" while nothing was ever forgotten.
        platforms: that posts among them are of, as far as their files tell; "": any.
    """

    key: bytes = b""
    hashes: frozenset[bytes] = frozenset()
    platforms: frozenset[str] = frozenset()

    def __contains__(self, source_id: str) -> bool:
        return bool(self.hashes) and self.hash(source_id) in self.hashes

    def __len__(self) -> int:
        return len(self.hashes)

    def hash(self, source_id: str) -> bytes:
        """Return the tombstone of a source."""
        return blake2b(source_id.encode(), digest_size=HASH_BYTES, key=self.key).digest()

    def covers(self, address: str) -> bool:
        """Tell whether the source of an address is forgotten, or the archive that it lies in."""
        within = [address]
        while (place := within[-1].rfind(MEMBER)) >= 0:
            within.append(within[-1][:place])
        return any(source_id_of(part) in self for part in within)

    def among(self, ids: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return for each id, or each text that begins with one, whether it is forgotten."""
        if not self.hashes:
            return pa.chunked_array([pa.array([False] * len(ids), pa.bool_())])
        return pa.chunked_array(
            [
                pa.array(
                    [text is not None and text[:ID_LENGTH] in self for text in chunk.to_pylist()],
                    pa.bool_(),
                )
                for chunk in ids.chunks
            ],
            pa.bool_(),
        )

    def listed(self, rows: pa.Table) -> pa.ChunkedArray:
        """Return for each row of a listing whether its source or its archive is forgotten."""
        archives = [
            address
            for address in pc.unique(rows["container"]).to_pylist()
            if address is not None and self.covers(address)
        ]
        inside = pc.is_in(rows["container"], value_set=pa.array(archives, pa.string()))
        return pc.or_(self.among(rows["source_id"]), inside)

    def of_rows(self, rows: pa.Table) -> pa.ChunkedArray:
        """Return for each row of any table whether one of its keys is of a forgotten source."""
        gone = pa.chunked_array([pa.array([False] * rows.num_rows, pa.bool_())])
        for field in rows.schema:
            if field.name.endswith(KEYS) and pa.types.is_string(field.type):
                gone = pc.or_(gone, self.among(rows[field.name]))
        return gone


def read(store: Store) -> Tombstones:
    """Return the tombstones of a dataset, by its store; none where nothing was forgotten.

    Raises:
        DamageError: they are there and cannot be read.
    """
    names = [name for name in names_below(store, FOLDER) if name.endswith(".parquet")]
    if not names:
        return Tombstones()
    hashes: set[bytes] = set()
    platforms: set[str] = set()
    for name in names:
        data = store.get(name)
        try:
            table = pq.read_table(io.BytesIO(data), schema=SCHEMA)
            told = (pq.read_schema(io.BytesIO(data)).metadata or {}).get(PLATFORMS, b"[]")
            platforms.update(json.loads(told))
        # Bits that flipped show as an OSError of Arrow's own, though nothing is read here.
        except (pa.ArrowException, OSError, ValueError, TypeError) as error:
            raise DamageError(
                f"{store.root}/{name}: {error}",
                "Bring it back from a copy; without one delete it, and before any run name all "
                "that it was made of to `forget` once more.",
            ) from error
        hashes.update(table["tombstone"].to_pylist())
    return Tombstones(_key(store), frozenset(hashes), frozenset(platforms))


def add(store: Store, run: str, ids: Iterable[str], platforms: Iterable[str] = ()) -> Tombstones:
    """Write tombstones for what has none yet; return all that there are now.

    Args:
        store: of the dataset.
        run: that forgets.
        ids: of sources, and what the tombstones of posts are made of.
        platforms: of these posts; "": any. They lie with the tombstones, so that whoever is killed
            before the audit record leaves none of them untold.
    """
    stones = read(store)
    if not stones.key:
        with contextlib.suppress(FileExistsError):
            store.put_once(KEY, secrets.token_bytes(KEY_BYTES))
        stones = dataclasses.replace(stones, key=_key(store))
    theirs = frozenset(platforms)
    # Sorted, so that the file does not even tell the order in which they were named.
    fresh = sorted({stones.hash(source_id) for source_id in ids} - stones.hashes)
    if fresh:
        buffer = io.BytesIO()
        schema = SCHEMA.with_metadata({PLATFORMS: json.dumps(sorted(theirs)).encode()})
        pq.write_table(pa.table([fresh], schema=schema), buffer, compression="zstd")
        store.put(f"{FOLDER}/{run}.parquet", buffer.getvalue())
    return Tombstones(stones.key, stones.hashes.union(fresh), stones.platforms | theirs)


def names_below(store: Store, folder: str) -> list[str]:
    """Return the names of a folder's objects in order; none where there is no such folder."""
    try:
        return sorted(entry.name for entry in store.list(folder))
    except FileNotFoundError:
        return []


def _key(store: Store) -> bytes:
    try:
        key = store.get(KEY)
    except FileNotFoundError:
        raise DamageError(
            f"{KEY} is missing: without it nobody knows what was forgotten",
            "Bring it back from a copy; without one, name every source to `forget` once more.",
        ) from None
    if len(key) != KEY_BYTES:
        raise DamageError(f"{KEY} has {len(key)} bytes instead of {KEY_BYTES}")
    return key
