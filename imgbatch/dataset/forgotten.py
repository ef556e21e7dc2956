"""Enters: a dataset, and sources that it should not know. Leaves: proof that it does not, or where.

Every object below the root is read whole, committed or not, and every former version that the store
still keeps: cells of Parquet, strings of JSON, lines of all else. Ids of sources and posts, and
addresses that stand alone, are found by their tombstones; addresses inside sentences, and digests
of contents, only when they are given.

No id of a post is looked for in what living posts say, where the same number may stand by chance;
in names of files only where it means that post (`posts_meant`), and not where a living post has the
file (`posts_named`); numbers of fewer than 8 digits, and anything of fewer than 5 characters,
nowhere else but in tables of posts. `needles` and `post_ids` say it in full.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa

from imgbatch.dataset import MANIFEST, tombstones
from imgbatch.dataset.audit import platforms_of, records
from imgbatch.dataset.needles import Needles
from imgbatch.dataset.post_ids import PostIds
from imgbatch.dataset.post_marks import is_author_forgotten, is_forgotten
from imgbatch.dataset.posts_meant import Meant, of_forgotten
from imgbatch.dataset.posts_named import named_sources

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.given import Given
    from imgbatch.dataset.posts_named import IdsInNames
    from imgbatch.dataset.tombstones import Tombstones
    from imgbatch.storage import Former

READERS = 4
SHOWN = 5
DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(slots=True)
class Proof:
    """What was looked for and found.

    Attributes:
        tombstones: forgotten sources.
        objects: objects, and former versions of them, that were read whole.
        problems: one line for each thing that should not be, naming the object.
    """

    tombstones: int = 0
    objects: int = 0
    problems: list[str] = field(default_factory=list)


def verify_forgotten(
    dataset: Dataset,
    named: Sequence[Given] = (),
    *,
    digests: Sequence[str] = (),
    of_posts: Sequence[tuple[str, str]] = (),
    of_authors: Sequence[tuple[str, str]] = (),
    ids: IdsInNames | None = None,
    plain: Mapping[str, str] | None = None,
) -> Proof:
    """Look through everything that a dataset's store keeps for what was forgotten.

    Args:
        dataset: where to look.
        named: sources to look for by all their names; each must have a tombstone.
        digests: SHA-256 of contents, 64 hex digits. Another source with the same bytes has it too.
        of_posts: posts that must have a tombstone, by platform ("": any) and id. All forgotten ones
            are looked for, whether they are given or not.
        of_authors: authors all of whose posts must have one, by platform and id.
        ids: finds ids of posts in names of sources; without it no source is known by its name.
        plain: what names have for the ids of given posts, by these, where they are pseudonyms.

    Raises:
        DamageError: the tombstones cannot be read.
        StorageError: former versions of objects may not be listed.
    """
    stones = tombstones.read(dataset.store)
    proof = Proof(tombstones=len(stones))
    for one in named:
        if one.source_id not in stones:
            proof.problems.append(f"{one.text} was never forgotten here")
    # Of several forms of an id, each with its pseudonym, any will do.
    said = plain or {}
    forgotten = {(p, said.get(o, o)) for p, o in of_posts if is_forgotten(stones, p, o)}
    unmarked = len({o for _, o in {(p, said.get(o, o)) for p, o in of_posts} - forgotten})
    if unmarked:
        proof.problems.append(f"{unmarked} of the given posts were never forgotten here")
    strangers = sum(not is_author_forgotten(stones, *one) for one in of_authors)
    if strangers:
        proof.problems.append(f"{strangers} of the given authors were never forgotten here")
    told = records(dataset.store)
    for record in told:
        if record["status"] == "begun":
            proof.problems.append(f"the forget {record['run']} is not finished: forget again")
    platforms = platforms_of(told) | stones.platforms | {platform for platform, _ in of_posts}
    posts_gone = PostIds(stones, platforms)
    needles = Needles(
        stones,
        words=frozenset({one.source_id for one in named} | set(digests)),
        addresses=frozenset(one.address for one in named if one.address is not None),
        posts=posts_gone,
    )
    if ids and posts_gone and dataset.table(MANIFEST).exists:
        meant = of_forgotten(stones, posts_gone.platforms, plain)
        _look_at_names(dataset, ids, stones, meant, proof)
    _grep(dataset, needles, proof)
    return proof


def _look_at_names(
    dataset: Dataset, ids: IdsInNames, stones: Tombstones, meant: Meant, proof: Proof
) -> None:
    """Find sources that are called after a forgotten post, and that no other post has."""
    left, _ = named_sources(
        dataset,
        ids,
        meant=meant,
        stays=lambda platform, own: not is_forgotten(stones, platform, own),
    )
    if left:
        shown = sorted(left.values())
        more = f" and {len(shown) - SHOWN:,} more" if len(shown) > SHOWN else ""
        proof.problems.append(
            f"{len(left):,} sources are called after forgotten posts, and no other post has them: "
            f"{', '.join(shown[:SHOWN])}{more}"
        )


def _grep(dataset: Dataset, needles: Needles, proof: Proof) -> None:
    store = dataset.store

    def look(name: str) -> str | None:
        try:
            return _traces(needles, name, name, store.get(name))
        except FileNotFoundError:
            return None  # it went meanwhile

    def look_back(former: Former) -> str | None:
        what = f"{former.name}: the store keeps version {former.version or 'half written'}, which"
        return _traces(needles, former.name, what, store.recall(former))

    names = sorted(entry.name for entry in store.list())
    former = [kept for kept in store.former() if not kept.marker]
    with ThreadPoolExecutor(READERS) as pool:
        found = [*pool.map(look, names), *pool.map(look_back, former)]
    proof.problems += [line for line in found if line is not None]
    proof.objects = len(found)


def _traces(needles: Needles, name: str, what: str, data: bytes) -> str | None:
    try:
        found = needles.in_object(name, data)
    except (pa.ArrowException, OSError) as error:
        return f"{what} cannot be read, so nobody knows what is in it: {error}"
    return f"{what} names a forgotten source or post in {found} places" if found else None
