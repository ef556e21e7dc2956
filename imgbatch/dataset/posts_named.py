"""Ids of posts enter; sources whose names hold them leave, but for those that other posts have.

A medium is joined to a source only where one source can be it. What was joined to nothing may be
somebody's picture all the same, and its name says whose: `1500000000000000001_3.jpg`, or the
metadata file `1500000000000000001_1.jpg.json`. Such a source goes with its post, unless

    a post that stays     is joined to it, was read from it, or has its own id in that name too
    an archive            is called so: whose pictures it holds, its members' names say

A metadata file of such posts alone goes too where one of their media lies beside it by its name.
Any other stays: next week's export may come by the same name, and would never be listed again.

Whose an id in a name is, `posts_meant` says.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, posts
from imgbatch.dataset.post_columns import DUPLICATE
from imgbatch.dataset.posts import COPIES, GAPS, MEDIA, POSTS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from imgbatch.dataset import Dataset
    from imgbatch.dataset.posts_meant import Meant

    # Gives rows of `joining.SOURCE_IDS`, the ids that names may hold, for rows of sid and address.
    IdsInNames = Callable[[pa.Table], pa.Table]
    Stays = Callable[[str, str], bool]

# What the name of a metadata file has behind the name of what it tells of.
TELLING = re.compile(r"(\.info)?\.(json|xml|txt)(\.(gz|bz2|xz|zst))?$", re.IGNORECASE)
# What stands between that name and the rest of a medium's.
BESIDE = (".", "_")
LINE = r":[0-9]+$"


def named_sources(
    dataset: Dataset,
    ids: IdsInNames,
    *,
    meant: Meant,
    stays: Stays,
) -> tuple[dict[str, str], dict[str, str]]:
    """Find sources whose names hold ids of posts.

    Args:
        dataset: where to look.
        ids: gives rows of `joining.SOURCE_IDS` for rows of sid and address.
        meant: tells whether an id is one of those.
        stays: tells of a post of the dataset, by platform and id, whether it is none of them.

    Returns:
        those that no present post has which stays, address by source id; and the others, likewise.
    """
    found: dict[str, str] = {}
    words: dict[str, set[str]] = defaultdict(set)
    columns = ["source_id", "address", "input", "verdict_class"]
    for batch in dataset.batches(MANIFEST, columns=columns):
        rows = _numbered(batch)
        sources = list(_pairs(rows.select(["source_id", "address", "input"])))
        told: dict[int, set[str]] = defaultdict(set)
        ours: set[int] = set()
        names = ids(rows.select(["sid", "address"]))
        for sid, word, reach, form in _pairs(names.select(["sid", "post_id", "reach", "dump"])):
            told[sid].add(word)
            if sid not in ours and meant.by(word, reach, form, sources[sid][2]):
                ours.add(sid)
        for sid in ours:
            source_id, address, _ = sources[sid]
            found[source_id] = address
            words[source_id] |= told[sid]
    kept = _of_others(dataset, found, words, stays) if found else set()
    alone = {one: address for one, address in found.items() if one not in kept}
    return alone, {one: found[one] for one in kept}


def beside_sources(dataset: Dataset, files: Collection[str], taken: Collection[str]) -> set[str]:
    """Find metadata files of one post each.

    Args:
        dataset: where to look.
        files: addresses of metadata files of posts that go, and of no other post.
        taken: ids of the sources that go with them.

    Returns:
        ids of those of the files beside which, by its name, one of the sources lies.
    """
    there: dict[str, str] = {}
    near: set[str] = set()
    stems = {address: TELLING.sub("", address) for address in files}
    begun = set(stems.values()) - set(files)
    for batch in dataset.batches(MANIFEST, columns=["source_id", "address"]) if begun else ():
        for source_id, address in _pairs(batch):
            if address in stems:
                there[source_id] = stems[address]
            if source_id in taken:
                near |= {s for s in _starts(address) if s in begun}
    return {source_id for source_id, stem in there.items() if stem in near}


def _starts(address: str) -> Iterator[str]:
    """Yield an address, and what stands before each mark in its last part."""
    yield address
    base = address.rfind("/") + 1
    yield from (address[:at] for at in range(base + 1, len(address)) if address[at] in BESIDE)


def _numbered(batch: pa.RecordBatch) -> pa.Table:
    verdict = pc.fill_null(batch["verdict_class"], "")
    rows = pa.Table.from_batches([batch.filter(pc.invert(pc.starts_with(verdict, "archive")))])
    return rows.append_column("sid", pa.array(range(rows.num_rows), pa.int64()))


def _of_others(
    dataset: Dataset, found: dict[str, str], words: dict[str, set[str]], stays: Stays
) -> set[str]:
    """Return those of some sources that a present post has which stays."""
    here = posts.here(dataset)
    if POSTS not in here:
        return set()
    by_post = defaultdict(set)
    for platform, post_id, source_id in _joined(dataset, found) if MEDIA in here else ():
        by_post[platform, post_id].add(source_id)
    by_word, by_file = defaultdict(set), defaultdict(set)
    for source_id, own in words.items():
        for word in own:
            by_word[word].add(source_id)
    for source_id, (input_, name) in _files(dataset, found):
        by_file[input_, name].add(source_id)
    asked = {post_id for _, post_id in by_post} | by_word.keys()
    names = pa.array(sorted({name for _, name in by_file}), pa.string())
    wanted = pa.array(sorted(asked), pa.string())
    kept: set[str] = set()
    there = pc.field("state") == "present"
    for platform, post_id, name, input_ in _read_from(dataset, POSTS, names, wanted, there):
        if stays(platform, post_id):
            kept.update(by_post.get((platform, post_id), ()), by_word.get(post_id, ()))
            kept.update(by_file.get((input_, name), ()))
    # A file has not only what the newest copy of a post says.
    for platform, post_id, name, input_ in (
        _read_from(dataset, COPIES, names) if COPIES in here else ()
    ):
        if stays(platform, post_id):
            kept.update(by_file.get((input_, name), ()))
    return kept.union(*(by_file.get(one, ()) for one in _with_copies_then(dataset)))


def _with_copies_then(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield input and name of files that had copies of posts when a former version read them."""
    older = set(posts.read_before(dataset)) if GAPS in posts.here(dataset) else set()
    twice = pc.field("kind") == DUPLICATE
    for batch in dataset.table(GAPS).batches(["input", "ref"], twice) if older else ():
        yield from (one for one in _pairs(batch) if one[0] in older)


def _read_from(
    dataset: Dataset,
    table: str,
    names: pa.Array,
    ids: pa.Array | None = None,
    where: pc.Expression | None = None,
) -> Iterator[tuple[str, str, str, str]]:
    """Yield platform, id, metadata file and input of rows of some files, or with some ids."""
    columns = ["platform", "post_id", "raw_ref", "input"]
    for batch in dataset.table(table).batches(columns, where):
        file = pc.replace_substring_regex(batch["raw_ref"], LINE, "")
        near = pc.is_in(file, value_set=names)
        if ids is not None:
            near = pc.or_(near, pc.is_in(batch["post_id"], value_set=ids))
        yield from _pairs(
            pa.Table.from_batches([batch]).set_column(2, "raw_ref", file).filter(near)
        )


def _joined(dataset: Dataset, found: Collection[str]) -> Iterator[tuple[str, str, str]]:
    wanted = pa.array(sorted(found), pa.string())
    for batch in dataset.table(MEDIA).batches(["platform", "post_id", "source_id"]):
        yield from _pairs(batch.filter(pc.is_in(batch["source_id"], value_set=wanted)))


def _files(dataset: Dataset, found: dict[str, str]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield of each source what it would be called as a metadata file of each input."""
    made = posts.record(dataset)
    for input_, own in made["inputs"].items() if made else ():
        for source_id, address in found.items():
            if address.startswith(own["before"]):
                yield source_id, (input_, address.removeprefix(own["before"]))


def _pairs(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)
