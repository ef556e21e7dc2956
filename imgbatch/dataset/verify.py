"""Counts a dataset again from its parts, and names every shard where something is off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, Dataset, groups, labels, posts_checked
from imgbatch.dataset.leftovers import apart, unnamed
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.seen import Seen, shown
from imgbatch.dataset.strangers import strangers
from imgbatch.errors import DamageError
from imgbatch.records import REGIONS, analyzer_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from imgbatch.dataset.delta import Table
    from imgbatch.dataset.part import Part

KEYS = ["source_id", "version"]
FORMER = (
    "`--repair` takes damaged parts out of it, and does them again only where its recipe fills the "
    "table"
)


@dataclass(slots=True)
class Verified:
    """What verify found.

    Attributes:
        sources, ok, failed, filtered: the reconciliation: the first is the sum of the others.
        rows: rows of each table, counted from its parts.
        problems: one line for each thing that is off, naming table and shard.
        unfinished: how many of these only say that a run has not come to something yet.
        damaged: the committed parts that are not what they should be.
        orphans: files below a table that no commit names, as an interrupted run leaves them.
        foreign: files below a table that no commit names and no run of ours writes.
        notes: what is no damage: labels that are older than their tables, what is of others.
    """

    sources: int = 0
    ok: int = 0
    failed: int = 0
    filtered: int = 0
    shards: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    unfinished: int = 0
    damaged: list[Part] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(dataset: Dataset) -> Verified:
    """Read every committed part and check it against the manifest and its commit.

    Checked: each part's file has the size and SHA-256 of its commit, its pages their checksums,
    its columns the table's; each shard has one outcome per source, with the same versions, and in
    every table that the last run filled one row per picture, or per ok source, and no row is
    double; a table of regions has as many rows of each picture as its main table says; no source
    lies in two shards; the report shows living sources only; labels are as committed, and of
    sources that are there; posts have their media, and media their sources, or a gap. Of a table
    that only former recipes fill, each part is checked by itself: readers still read it.

    Raises:
        DatasetError: there is no manifest.
    """
    found = Verified()
    names = _expected(dataset, found)
    tables = {name: dataset.table(f"tables/{name}") for name in names}
    by_shard = {name: _by_shard(name, table, found) for name, table in tables.items()}
    digests = {name: table.digests() for name, table in tables.items()}
    seen = Seen(shown(dataset))
    manifest = dataset.table(MANIFEST)
    manifest_digests = manifest.digests()
    for part in sorted(manifest.parts().values(), key=lambda p: p.path):
        found.shards += 1
        damaged = len(found.damaged)
        listed = _checked(dataset, manifest, part, manifest_digests, found)
        if listed is None:
            owns = {name: by_shard[name].pop(part.shard, None) for name in tables}
            _check_unlisted(dataset, owns, digests, found)
            continue
        found.sources += listed.num_rows
        seen.add(listed["source_id"])
        rows: dict[str, pa.Table] = {}
        parts: list[Part] = []
        for name, table in tables.items():
            own = by_shard[name].pop(part.shard, None)
            if own is None or own.label != part.label or not _is_of_one_look(own, parts):
                found.problems.append(f"shard {part.label}: unfinished in table {name}")
                found.unfinished += 1
                continue
            read = _checked(dataset, table, own, digests[name], found)
            if read is not None:
                rows[name] = read
                parts.append(own)
                found.rows[name] += read.num_rows
        before = len(found.problems)
        reconcile(part.label, listed, rows, found)
        if len(found.problems) > before and len(found.damaged) == damaged:
            # Each file is as it was committed, and they do not agree: any of them may be wrong.
            found.damaged += parts
    for name, left in by_shard.items():
        found.problems += [f"table {name}: part {p.path} is of no shard" for p in left.values()]
    found.problems += seen.problems()
    former = [dataset.table(f"tables/{name}") for name in dataset.tables() if name not in tables]
    for table in former:
        _check_former(dataset, table, found)
    held = (*tables.values(), manifest, *former)
    beside = [name for table in held for name in unnamed(dataset, table)]
    labelled = labels.check(dataset)
    found.rows.update({groups.path_of(name): rows for name, rows in labelled.rows.items()})
    found.problems += labelled.problems
    found.notes += strangers(dataset, names) + labelled.notes
    brought = posts_checked.check(dataset)
    found.rows.update(brought.rows)
    found.damaged += brought.damaged
    found.problems += brought.problems
    found.notes += brought.notes
    found.orphans, found.foreign = apart([*beside, *labelled.orphans, *brought.orphans])
    return found


def _expected(dataset: Dataset, found: Verified) -> list[str]:
    """Return the tables that must be complete: those of the last run whose record can be read."""
    runs = []
    for name in dataset.run_names():
        try:
            runs.append(dataset.run_record(name))
        except DamageError as error:
            found.problems.append(f"{error}: --repair puts it aside")
    if not runs:
        return dataset.tables()
    return list(max(runs, key=lambda record: int(record["number"]))["tables"])


def _by_shard(name: str, table: Table, found: Verified) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for part in table.parts().values():
        if part.shard in parts:
            found.problems.append(f"table {name}: shard {part.shard} has two parts")
        parts[part.shard] = part
    return parts


def _is_of_one_look(own: Part, parts: Sequence[Part]) -> bool:
    """Say whether a part of regions has the fingerprint of its main table's part in that shard.

    A run with another recipe may have been killed when it had committed one of the two.
    """
    main = analyzer_of(own.table)
    return all(p.fingerprint == own.fingerprint for p in parts if p.table == main)


def _checked(
    dataset: Dataset, table: Table, part: Part, digests: Mapping[str, str], found: Verified
) -> pa.Table | None:
    where = f"shard {part.label}: table {table.name}: part {part.path}"
    try:
        rows, sha256 = read_part(dataset.store, part)
    except DamageError as error:
        found.problems.append(f"{where}: {error}")
        found.damaged.append(part)
        return None
    problems = []
    if sha256 != digests.get(part.path):
        problems.append("the file is not the one that was committed")
    if rows.num_rows != part.rows:
        problems.append(f"{rows.num_rows} rows, its commit says {part.rows}")
    problems += _off(rows.schema, table.schema())
    found.problems += [f"{where}: {problem}" for problem in problems]
    if problems:
        found.damaged.append(part)
    return rows


def _check_unlisted(
    dataset: Dataset,
    owns: Mapping[str, Part | None],
    digests: Mapping[str, Mapping[str, str]],
    found: Verified,
) -> None:
    """Check the parts of a shard whose listing is damaged, by table, each by itself."""
    for name, own in owns.items():
        if own is not None:
            _checked(dataset, dataset.table(f"tables/{name}"), own, digests[name], found)


def _check_former(dataset: Dataset, table: Table, found: Verified) -> None:
    """Check the parts of a table that the last run's recipe does not fill, each by itself."""
    name = table.name.removeprefix("tables/")
    digests = table.digests()
    before = len(found.damaged)
    for _, part in sorted(table.parts().items()):
        read = _checked(dataset, table, part, digests, found)
        found.rows[name] += 0 if read is None else read.num_rows
    if len(found.damaged) > before:
        found.notes.append(f"table {name} is of a former recipe: {FORMER}")


def _off(schema: pa.Schema, expected: pa.Schema) -> Iterator[str]:
    """Tell which columns of a part are not its table's. It may have fewer: a newer one has more."""
    types = {column.name: column.type for column in expected}
    for column in schema:
        if column.name not in types:
            yield f"column {column.name} is not in the table"
        elif column.type != types[column.name]:
            yield f"column {column.name} is {column.type}, and {types[column.name]} in the table"


def reconcile(label: str, listed: pa.Table, rows: dict[str, pa.Table], found: Verified) -> None:
    """Check the rows of one shard's tables against its listing and against each other.

    Args:
        label: of the shard, for messages.
        listed: its rows of the manifest.
        rows: by table; `sources` among them, or nothing is checked.
        found: gets counts and problems.
    """
    outcomes = rows.get(SOURCES)
    if outcomes is None:
        return
    counts = Counter(outcomes["status"].to_pylist())
    found.ok += counts["ok"]
    found.failed += counts["failed"]
    found.filtered += counts["filtered"]
    if sum(counts[s] for s in ("ok", "failed", "filtered")) != listed.num_rows:
        found.problems.append(
            f"shard {label}: {listed.num_rows} sources are listed and their outcomes are {counts}"
        )
    if _ids(listed) != _ids(outcomes):
        found.problems.append(f"shard {label}: outcomes are of other sources than are listed")
    ok = outcomes.filter(pc.equal(outcomes["status"], "ok"))
    for name, table in rows.items():
        if name == SOURCES:
            continue
        if name.endswith(REGIONS):
            _reconcile_regions(label, name, rows, found)
            continue
        is_picture = "frame" in table.column_names
        wanted = Counter(
            dict(zip(ok["source_id"].to_pylist(), ok["n_pictures"].to_pylist(), strict=True))
            if is_picture
            else dict.fromkeys(ok["source_id"].to_pylist(), 1)
        )
        if is_picture and pc.count_distinct(table["picture_id"]).as_py() != table.num_rows:
            found.problems.append(f"shard {label}: table {name} has a picture twice")
        if Counter(table["source_id"].to_pylist()) != +wanted:
            unit = "picture" if is_picture else "source"
            found.problems.append(f"shard {label}: table {name} has not one row per {unit}")
        if not _ids(table) <= _ids(ok):
            found.problems.append(f"shard {label}: table {name} has rows of other versions")


def _reconcile_regions(label: str, name: str, rows: dict[str, pa.Table], found: Verified) -> None:
    """Check the rows of a region table against the counts of its main table."""
    where = f"shard {label}: table {name}"
    table = rows[name]
    if pc.count_distinct(table["region_id"]).as_py() != table.num_rows:
        found.problems.append(f"{where} has a region twice")
    main = rows.get(analyzer_of(name))
    if main is None:
        return  # it is said of that table already
    counts = main["n_regions"].fill_null(0)
    wanted = Counter(dict(zip(_pictures(main), counts.to_pylist(), strict=True)))
    if Counter(_pictures(table)) != +wanted:
        found.problems.append(f"{where} has other regions than table {analyzer_of(name)} counts")


def _pictures(table: pa.Table) -> list[tuple[str, str]]:
    return list(zip(table["picture_id"].to_pylist(), table["version"].to_pylist(), strict=True))


def _ids(table: pa.Table) -> set[tuple[str, str]]:
    return set(zip(*(table[key].to_pylist() for key in KEYS), strict=True))
