"""Media of posts whose sources are forgotten enter; what their tombstones are made of leaves.

What joined a medium to its source, the last part of its address say, is to name the source no more
when that is gone. So the medium is known again by what it is told by (`imgbatch.dataset.
medium_words`), in any copy of its post and at any place there: each word has a tombstone, of
`medium PLATFORM ID WORD`, and the post one of `media PLATFORM ID`, which spares the readers of all
other posts the rest.

No word is marked that another medium of the post has too, whose source stays or is not known: a
file that a takedown of the post is to find would belong to nothing. Nor is any where a source that
stays has the same bytes: the medium is of that one then.

Datasets of before have marks of the place alone, `medium PLATFORM ID PLACE`, as it was in the
newest copy of the post: see `imgbatch.dataset.places_then`.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import SOURCES, posts
from imgbatch.dataset.medium_words import Words, file_word, path_word, words_of
from imgbatch.dataset.post_columns import OTHER_COPY
from imgbatch.dataset.post_marks import called
from imgbatch.dataset.posts import MEDIA, POSTS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.tombstones import Tombstones

LINE = re.compile(r":[0-9]+$")
# A path that means a name of the dump wherever it is said.
EXACT = "//"
TOLD = ("platform", "post_id", "media_idx", "kind", "media_key", "source_url", "local_path")
ROW = (*TOLD, "sha256", "status", "source_id", "input")


def _post_mark(platform: str, post_id: str) -> str:
    return f"media {platform} {post_id}"


def _mark(platform: str, post_id: str, word: str) -> str:
    return f"medium {platform} {post_id} {word}"


def has_marks(stones: Tombstones, platform: str, post_id: str) -> bool:
    """Tell whether the source of some medium of a post is forgotten."""
    return any(_post_mark(*one) in stones for one in called(platform, post_id))


def is_marked(stones: Tombstones, platform: str, post_id: str, words: Iterable[str]) -> bool:
    """Tell whether the source is forgotten of a medium that some words are of."""
    whose = list(called(platform, post_id))
    return any(_mark(*one, word) in stones for word in words for one in whose)


def is_place_marked(stones: Tombstones, platform: str, post_id: str, place: int) -> bool:
    """Tell whether a dataset of before has the mark of a place in the newest copy of a post."""
    return any(_mark(*one, str(place)) in stones for one in called(platform, post_id))


@dataclass(frozen=True, slots=True)
class Row:
    """A medium as the tables have it."""

    platform: str
    post_id: str
    status: str
    source_id: str | None
    words: Words

    @property
    def post(self) -> tuple[str, str]:
        """Platform and id of its post."""
        return self.platform, self.post_id


def media_marks(dataset: Dataset, sources: Iterable[str]) -> frozenset[str]:
    """Return what the tombstones of the media are made of that are joined to some sources.

    Args:
        dataset: before they leave it.
        sources: their ids.
    """
    wanted = pa.array(sorted(sources), pa.string())
    if not len(wanted) or MEDIA not in posts.here(dataset):
        return frozenset()
    told: set[tuple[str, str]] = set()
    for batch in dataset.table(MEDIA).batches(["platform", "post_id", "source_id"]):
        ours = batch.filter(pc.is_in(batch.column("source_id"), value_set=wanted))
        told.update(zip(*(ours.column(at).to_pylist() for at in range(2)), strict=True))
    if not told:
        return frozenset()
    going = set(wanted.to_pylist()) - _with_twins(dataset, wanted)
    theirs: dict[tuple[str, str], set[str]] = defaultdict(set)
    others: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows_of(dataset, told):
        # What has no word stands behind a post's own media at a place that no reading knows.
        if not (row.status == OTHER_COPY and not row.words.told):
            (theirs if row.source_id in going else others)[row.post] |= row.words.all
    return frozenset(
        one
        for post, words in theirs.items()
        for one in (_post_mark(*post), *(_mark(*post, word) for word in words - others[post]))
    )


def _with_twins(dataset: Dataset, wanted: pa.Array) -> set[str]:
    """Return those of some sources whose bytes another source has too, which is none of them."""
    table = dataset.table(f"tables/{SOURCES}")
    if not table.exists:
        return set()
    columns = ["source_id", "sha256"]
    own: dict[str, str] = {}
    for batch in table.batches(columns, pc.field("sha256").is_valid()):
        ours = batch.filter(pc.is_in(batch.column("source_id"), value_set=wanted))
        own.update(zip(*(ours.column(name).to_pylist() for name in columns), strict=True))
    digests = pa.array(sorted(set(own.values())), pa.string())
    twins: set[str] = set()
    for batch in table.batches(columns, pc.field("sha256").is_valid()):
        same = batch.filter(pc.is_in(batch.column("sha256"), value_set=digests))
        other = same.filter(pc.invert(pc.is_in(same.column("source_id"), value_set=wanted)))
        twins.update(other.column("sha256").to_pylist())
    return {source for source, digest in own.items() if digest in twins}


def rows_of(dataset: Dataset, wanted: Collection[tuple[str, str]]) -> Iterator[Row]:
    """Yield the media of some posts."""
    made = posts.record(dataset)
    before = {name: own["before"] for name, own in made["inputs"].items()} if made else {}
    files = {post: LINE.sub("", ref) for post, (_, ref) in read_from(dataset, wanted).items()}
    for one in _of_posts(dataset, MEDIA, ROW, wanted):
        post = one["platform"], one["post_id"]
        root, path = before.get(one["input"], f"{one['input']}/"), one["local_path"]
        paths = []
        if path and path.startswith(EXACT):
            paths = [file_word(root + path[len(EXACT) :])]
        elif path:
            paths = [path_word(root, files.get(post, ""), path)]
        words = words_of(
            place=one["media_idx"],
            kind=one["kind"],
            key=one["media_key"],
            url=one["source_url"],
            paths=paths,
            sha256=one["sha256"],
        )
        yield Row(*post, one["status"], one["source_id"], words)


def read_from(
    dataset: Dataset, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], tuple[str, str]]:
    """Return of some posts which input they were read from, and where in it."""
    if POSTS not in posts.here(dataset):
        return {}
    columns = ("platform", "post_id", "input", "raw_ref")
    found = _of_posts(dataset, POSTS, columns, wanted)
    return {(one["platform"], one["post_id"]): (one["input"], one["raw_ref"]) for one in found}


def _of_posts(
    dataset: Dataset,
    table: str,
    columns: Iterable[str],
    wanted: Collection[tuple[str, str]],
) -> Iterator[dict[str, Any]]:
    ids = pa.array(sorted({own for _, own in wanted}), pa.string())
    for batch in dataset.table(table).batches(list(columns)):
        theirs = batch.filter(pc.is_in(batch.column("post_id"), value_set=ids))
        for one in theirs.to_pylist():
            if (one["platform"], one["post_id"]) in wanted:
                yield one
