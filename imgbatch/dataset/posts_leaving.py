"""What was forgotten enters; the tables of posts leave without it, part by part.

A medium whose source is forgotten stays as a row of its post, without what names it, with the
status `forgotten`. Whatever post answers or shares a forgotten one names it no more.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch import __version__
from imgbatch.dataset import posts
from imgbatch.dataset.parts import put_table, read_part
from imgbatch.dataset.post_columns import COPIES, OF_ONE_POST, OTHER_COPY
from imgbatch.dataset.post_marks import FORGOTTEN, is_author_forgotten, is_forgotten
from imgbatch.dataset.posts import GAPS, MEDIA, POSTS, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from imgbatch.dataset import Dataset, Part
    from imgbatch.dataset.tombstones import Tombstones

    # Rows, tombstones and where new gaps are listed enter; the rows that stay leave.
    Without = Callable[[pa.Table, Tombstones, list[dict[str, Any]]], pa.Table]

UNMATCHED_MEDIUM, UNMATCHED_SOURCE = "unmatched-medium", "unmatched-source"
# Gaps that name a post, or its medium.
OF_POSTS = (UNMATCHED_MEDIUM, *OF_ONE_POST)
# Of a medium whose source is forgotten: all that names it, or tells what it shows.
NAMING = ("media_key", "source_url", "local_path", "sha256", "alt_text", "source_id", "version")
REFERENCES = ("reply_to", "repost_of")
LINE = re.compile(r":[0-9]+$")


def leave(dataset: Dataset, stones: Tombstones, *, run: str, number: int) -> dict[str, int]:
    """Write the tables of posts again without what is forgotten; return how many rows left each.

    Args:
        dataset: whose posts.
        stones: of forgotten posts and sources.
        run: who commits.
        number: under which; taken by `take_number`.
    """
    here = posts.here(dataset)
    # None: bringing posts was interrupted, and what is there of them is cut all the same.
    made = posts.record(dataset) if here else None
    without = _without(made)
    gone: dict[str, int] = {}
    listed: list[dict[str, Any]] = []
    changed = False
    # Media first: what they lose has to be listed among the gaps.
    for name in (name for name in (MEDIA, GAPS, COPIES, POSTS) if name in here):
        cut = _cut(dataset, name, without[name], stones, listed)
        gone[name] = cut.gone
        _count(made["counts"] if made else {}, name, cut.counted)
        changed |= bool(cut.adds or cut.removes)
        told = {posts.SAID: json.dumps(made)} if made and name == POSTS else None
        # Posts are committed for what their commit says, too.
        if cut.adds or cut.removes or (told and changed):
            dataset.table(name).commit(cut.adds, cut.removes, fence=number, run=run, said=told)
    return gone


def is_left(dataset: Dataset, stones: Tombstones) -> bool:
    """Tell whether `leave` would change a row."""
    here = posts.here(dataset)
    without = _without(posts.record(dataset) if here else None)
    return any(
        not without[name](rows, stones, []).equals(rows)
        for name in here
        for rows in (_rows(dataset, part) for part in dataset.table(name).parts().values())
    )


def is_of_posts(rows: pa.Table) -> bool:
    """Tell whether a table is one of posts, or a copy of one, wherever it lies."""
    names = set(rows.column_names)
    return {"platform", "post_id"} <= names or set(SCHEMAS[GAPS].names) <= names


def traces(stones: Tombstones, rows: pa.Table) -> int:
    """Return how many rows of a table of posts name a forgotten post."""
    names = set(rows.column_names)
    if {"platform", "post_id"} <= names:
        found = _gone(stones, rows)
        for name in REFERENCES:
            if name in names:
                found = [a or b for a, b in zip(found, _is_gone(stones, rows, name), strict=True)]
        return sum(found)
    if {"kind", "ref"} <= names:
        return sum(_of_forgotten(stones, *one) for one in _pairs(rows.select(["kind", "ref"])))
    return 0


@dataclass(slots=True)
class _Cut:
    """What is to be committed of one table, and what the record counts of all its rows then."""

    adds: list[Part]
    removes: list[Part]
    gone: int
    counted: Counter[str]


def _without(made: Mapping[str, Any] | None) -> dict[str, Without]:
    """Return by table what takes the forgotten out of its rows; `made` is their record."""
    before = {name: own["before"] for name, own in made["inputs"].items()} if made else {}
    return {
        POSTS: _posts,
        MEDIA: _media,
        COPIES: partial(_copies, before=before),
        GAPS: partial(_gaps, before=before),
    }


def _rows(dataset: Dataset, part: Part) -> pa.Table:
    return read_part(dataset.store, part)[0].replace_schema_metadata(None)


def _pairs(rows: pa.Table | pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.to_pylist() for column in rows.columns), strict=True)


def _is_gone(stones: Tombstones, rows: pa.Table, column: str) -> list[bool]:
    pairs = _pairs(rows.select(["platform", column]))
    return [is_forgotten(stones, platform, own) for platform, own in pairs]


def _gone(stones: Tombstones, rows: pa.Table) -> list[bool]:
    """Tell of each row whether its post is forgotten, or its author where the table names one."""
    found = _is_gone(stones, rows, "post_id")
    if "author_id" not in rows.column_names:
        return found
    authors = _pairs(rows.select(["platform", "author_id"]))
    return [
        gone or is_author_forgotten(stones, *author)
        for gone, author in zip(found, authors, strict=True)
    ]


def _of_forgotten(stones: Tombstones, kind: str, ref: str | None) -> bool:
    """Tell whether a gap is of a forgotten post (`PLATFORM ID`), or its medium (and `PLACE`)."""
    if kind not in OF_POSTS or not ref:
        return False
    post = ref.rpartition(" ")[0] if kind == UNMATCHED_MEDIUM else ref
    # What a column calls a platform may have blanks.
    blanks = (at for at, letter in enumerate(post) if letter == " ")
    return any(is_forgotten(stones, post[:at], post[at + 1 :]) for at in blanks)


def _cut(
    dataset: Dataset,
    name: str,
    without: Without,
    stones: Tombstones,
    listed: list[dict[str, Any]],
) -> _Cut:
    """Write those parts of a table again that change."""
    cut = _Cut([], [], 0, Counter())
    fresh = _by_stem(dataset, listed) if name == GAPS else {}
    told = {"format": str(posts.VERSION), "imgbatch": __version__, "table": name}

    def put(stem: str, rows: pa.Table) -> None:
        if rows.num_rows:
            whole = rows.replace_schema_metadata(None).combine_chunks()
            cut.adds.append(put_table(dataset.store, name, stem, whole, told))

    for part in dataset.table(name).parts().values():
        rows = _rows(dataset, part)
        stem = part.path.partition("-")[0]
        kept = without(rows, stones, listed)
        cut.gone += rows.num_rows - kept.num_rows
        kept = _joined(kept, fresh.pop(stem, []))
        cut.counted.update(_counted(name, kept))
        if not kept.equals(rows):
            cut.removes.append(part)
            put(stem, kept)
    for stem, more in fresh.items():
        rows = _joined(SCHEMAS[GAPS].remove_metadata().empty_table(), more)
        cut.counted.update(_counted(name, rows))
        put(stem, rows)
    both = {part.path for part in cut.adds} & {part.path for part in cut.removes}
    cut.adds = [part for part in cut.adds if part.path not in both]
    cut.removes = [part for part in cut.removes if part.path not in both]
    return cut


def _counted(name: str, rows: pa.Table) -> Counter[str]:
    """Return what the record of posts counts of a table's rows."""
    if name == POSTS:
        return Counter({"posts": rows.num_rows})
    if name == MEDIA:
        return Counter(rows["status"].to_pylist())
    found: Counter[str] = Counter()
    if name == COPIES:
        return found
    for kind, count in _pairs(rows.select(["kind", "count"])):
        found[kind] += count
    return found


def _count(counts: dict[str, Any], name: str, own: Counter[str]) -> None:
    """Put what a table holds now into what its commit says; of all rows, whoever was killed before.

    Args:
        counts: of the record.
        name: of the table.
        own: as `_counted` gave it.
    """
    if name == POSTS:
        counts["posts"] = own["posts"]
    elif name == MEDIA:
        counts["media"] = dict(own.most_common())
    elif name == GAPS:
        counts["gaps"] = dict(own.most_common())
        counts["sources"] = own[UNMATCHED_SOURCE]


def _posts(rows: pa.Table, stones: Tombstones, _: list[dict[str, Any]]) -> pa.Table:
    gone = pa.array(_gone(stones, rows), pa.bool_())
    kept = rows.filter(pc.invert(gone))
    for name in REFERENCES:
        bad = pa.array(_is_gone(stones, kept, name), pa.bool_())
        kept = _blank(kept, name, bad)
    return kept


def _media(rows: pa.Table, stones: Tombstones, listed: list[dict[str, Any]]) -> pa.Table:
    """Return media of posts that stay; those of forgotten sources without what names them."""
    gone = pa.array(_is_gone(stones, rows, "post_id"), pa.bool_())
    kept = rows.filter(pc.invert(gone))
    bad = stones.among(kept["source_id"]).combine_chunks()
    # A file that only other copies of a post name is no medium that would be missed.
    missed = pc.invert(pc.and_(bad, pc.equal(kept["status"], OTHER_COPY)))
    kept = kept.filter(missed)
    bad = bad.filter(missed.combine_chunks())
    for name in NAMING:
        kept = _blank(kept, name, bad)
    for name, word in (("status", FORGOTTEN), ("joined_by", "")):
        at = kept.schema.get_field_index(name)
        kept = kept.set_column(at, kept.schema.field(at), pc.if_else(bad, word, kept[name]))
    listed += [
        {
            "kind": UNMATCHED_MEDIUM,
            "ref": f"{one['platform']} {one['post_id']} {one['media_idx']}",
            "line": None,
            "message": FORGOTTEN,
            "count": 1,
            "input": one["input"],
        }
        for one in kept.filter(pc.equal(kept["status"], FORGOTTEN)).to_pylist()
    ]
    return kept


def _copies(
    rows: pa.Table, stones: Tombstones, _: list[dict[str, Any]], before: Mapping[str, str]
) -> pa.Table:
    """Return copies of posts that stay, read from files that do."""
    files = _pairs(rows.select(["input", "raw_ref"]))
    gone = [
        went or stones.covers(before.get(input_, f"{input_}/") + LINE.sub("", raw_ref))
        for went, (input_, raw_ref) in zip(_gone(stones, rows), files, strict=True)
    ]
    return rows.filter(pc.invert(pa.array(gone, pa.bool_())))


def _gaps(
    rows: pa.Table, stones: Tombstones, _: list[dict[str, Any]], before: Mapping[str, str]
) -> pa.Table:
    def goes(kind: str, ref: str | None, input_: str) -> bool:
        if not ref:
            return False
        if kind == UNMATCHED_SOURCE:
            return stones.covers(ref)
        if kind in OF_POSTS:
            return _of_forgotten(stones, kind, ref)
        return stones.covers(before.get(input_, f"{input_}/") + ref)  # a metadata file

    gone = [goes(*one) for one in _pairs(rows.select(["kind", "ref", "input"]))]
    return rows.filter(pc.invert(pa.array(gone, pa.bool_())))


def _blank(rows: pa.Table, name: str, bad: pa.Array | pa.ChunkedArray) -> pa.Table:
    at = rows.schema.get_field_index(name)
    field = rows.schema.field(at)
    blanked = pc.if_else(bad, pa.scalar(None, field.type), rows[name])
    return rows.set_column(at, field, blanked)


def _joined(rows: pa.Table, more: list[dict[str, Any]]) -> pa.Table:
    there = set(_pairs(rows.select(["kind", "ref"]))) if more else set()
    more = [one for one in more if (one["kind"], one["ref"]) not in there]
    if not more:
        return rows
    added = pa.Table.from_pylist(more, schema=rows.schema)
    names = ("kind", "ref", "line", "message", "input")
    return pa.concat_tables([rows, added]).sort_by([(name, "ascending") for name in names])


def _by_stem(dataset: Dataset, listed: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return new gaps by what the name of their part begins with, as `Gathered.rows` cuts them."""
    digits = posts.digits_of(dataset, GAPS)
    found: dict[str, list[dict[str, Any]]] = {}
    for one in listed:
        hashed = hashlib.md5(f"{one['kind']}{one['ref']}".encode(), usedforsecurity=False)
        stem = posts.stem_of(hashed.hexdigest()[:digits])
        found.setdefault(stem, []).append(one)
    return found
