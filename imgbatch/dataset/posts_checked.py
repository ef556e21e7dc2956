"""Posts are looked at by verify: the parts against their commits, the tables against each other.

Posts that are older than the manifest are no damage: they are said to be stale. Everything is
counted on the disk, so that memory does not grow with a dump.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from imgbatch.dataset import MANIFEST, damage, posts
from imgbatch.dataset.leftovers import unnamed
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.spill import Spill
from imgbatch.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset import Dataset, Part

AGAIN = "run again"
SOURCES = pa.schema([("source_id", pa.string()), ("version", pa.string())])
# What is counted, and what it means if there are any.
TWICE = "SELECT count(*) FROM (SELECT {0} FROM {1} GROUP BY ALL HAVING count(*) > 1)"
COUNTED = (
    "SELECT count(*) FROM posts p LEFT JOIN (SELECT platform, post_id, count(*) AS n "
    "FROM post_media WHERE status <> 'other-copy' GROUP BY ALL) m USING (platform, post_id) "
    "WHERE p.n_media <> coalesce(m.n, 0)"
)
HALF = (
    "SELECT count(*) FROM post_media "
    "WHERE (status IN ('matched', 'other-copy')) <> (source_id IS NOT NULL) "
    "OR (source_id IS NULL) <> (version IS NULL)"
)
CHECKS = {
    TWICE.format("platform, post_id", "posts"): "posts have two rows",
    TWICE.format("platform, post_id, media_idx", "post_media"): "media have two rows",
    "SELECT count(*) FROM post_media ANTI JOIN posts USING (platform, post_id)": (
        "media are of no post"
    ),
    "SELECT count(*) FROM post_copies ANTI JOIN posts USING (platform, post_id)": (
        "copies are of no post"
    ),
    COUNTED: "posts have not as many media as they say",
    HALF: "media are matched to no source, or not matched to one",
}
UNLISTED = (
    "SELECT count(*) FROM (SELECT platform || ' ' || post_id || ' ' || media_idx AS ref "
    "FROM post_media WHERE source_id IS NULL) FULL JOIN "
    "(SELECT ref FROM post_gaps WHERE kind = 'unmatched-medium') g USING (ref) "
    "WHERE g.ref IS NULL OR ref IS NULL"
)
STRANGE = (
    "SELECT count(*) FROM (FROM post_media WHERE source_id IS NOT NULL) "
    "ANTI JOIN manifest USING (source_id, version)"
)


@dataclass(slots=True)
class Checked:
    """What is known of posts; see `labels.Checked`."""

    rows: dict[str, int] = field(default_factory=dict)
    damaged: list[Part] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)


def check(dataset: Dataset) -> Checked:
    """Read all four tables and check them against their commits, each other and the manifest."""
    found = Checked()
    here = posts.here(dataset)
    made = posts.record(dataset) if here else None
    for name in here:
        found.orphans += unnamed(dataset, dataset.table(name))
    if here and made is None:
        found.problems.append(f"posts: bringing them was interrupted: {AGAIN}")
    if made is None:
        return found
    with contextlib.closing(Spill()) as spill:
        for name in posts.TABLES:
            # Of before version 4 there is none of copies.
            rows = _whole(dataset, name, found) if name in here else iter(())
            spill.fill(name, posts.SCHEMAS[name].remove_metadata(), rows)
        _reconcile(dataset, spill, made, found)
    return found


def _reconcile(dataset: Dataset, spill: Spill, made: dict[str, Any], found: Checked) -> None:
    for query, what in CHECKS.items():
        if count := _one(spill, query):
            found.problems.append(f"posts: {count} {what}: {AGAIN}")
    if count := _one(spill, UNLISTED):
        found.problems.append(f"post_gaps: {count} unmatched media are not listed: {AGAIN}")
    if found.damaged:
        return
    states = posts.states(dataset)
    inputs = made["inputs"].values()
    if all(own["manifest"] != states["manifest"] for own in inputs):
        found.notes.append(f"posts: stale, the sources changed since: {AGAIN}")
        return
    counts = made["counts"]
    media = Counter(counts["media"])
    if found.rows["posts"] != counts["posts"] or found.rows["post_media"] != media.total():
        found.problems.append(f"posts: other rows than their commit counts: {AGAIN}")
    try:
        spill.fill("manifest", SOURCES, dataset.table(MANIFEST).batches(SOURCES.names))
    except DamageError:
        return  # verify names the manifest's damaged part itself
    if count := _one(spill, STRANGE):
        problem = f"post_media: {count} rows are of sources that are not there"
        found.problems.append(f"{problem}: {AGAIN}")


def _whole(dataset: Dataset, name: str, found: Checked) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table whose parts are as they were committed."""
    table = dataset.table(name)
    digests = table.digests()
    schema = posts.SCHEMAS[name].remove_metadata()
    found.rows[name] = 0
    for part in sorted(table.committed().values(), key=lambda p: p.path):
        if not part.is_ours:
            found.problems.append(
                f"{name}: part {part.path}: {damage.STRANGE}: {AGAIN} with --repair"
            )
            found.damaged.append(part)
            continue
        try:
            rows, sha256 = read_part(dataset.store, part)
        except DamageError as error:
            found.problems.append(f"{error}: {AGAIN} with --repair")
            found.damaged.append(part)
            continue
        found.rows[name] += rows.num_rows
        if sha256 != digests.get(part.path) or rows.num_rows != part.rows:
            found.damaged.append(part)
            found.problems.append(f"{name}: part {part.path} is not the one that was committed")
        yield from rows.replace_schema_metadata(None).select(schema.names).cast(schema).to_batches()


def _one(spill: Spill, query: str) -> int:
    found = spill.first(query)
    assert found is not None, "a count is one row"
    return int(found[0])
