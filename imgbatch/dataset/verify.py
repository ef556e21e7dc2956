"""Counts a dataset again from its parts, and names every shard where something is off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from imgbatch.dataset import MANIFEST, Dataset, groups, labels, posts_checked
from imgbatch.dataset.damage import STRANGE
from imgbatch.dataset.leftovers import apart, unnamed
from imgbatch.dataset.parts import read_part
from imgbatch.dataset.reconciled import reconcile
from imgbatch.dataset.seen import Seen, shown
from imgbatch.dataset.strangers import strangers
from imgbatch.errors import DamageError
from imgbatch.records import analyzer_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa

    from imgbatch.dataset.delta import Table
    from imgbatch.dataset.part import Part

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
        by_hand: those of them that no repair mends; each says itself what to do.
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
    by_hand: list[str] = field(default_factory=list)
    damaged: list[Part] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def verify(dataset: Dataset) -> Verified:
    """Read every committed part and check it against the manifest and its commit.

    Checked: each part's file has the size and SHA-256 of its commit, its pages their checksums, its
    columns the table's; each shard has one outcome per source, with the same versions, and in every
    table that the last run filled one row per picture, or per ok source, and no row is double; a
    table of regions has as many rows of each picture as its main table says; no source lies in two
    shards; labels are as committed, and of sources that are there; posts have their media, and
    media their sources, or a gap. Of a table that only former recipes fill, each part is checked by
    itself: readers still read it. So is each part of all tables where the manifest's log cannot be
    read.

    Labels of sources that left in a run since are no problem, nor is a report that shows these:
    they are stale, and a note says so and counts them, until they are made again. Of forgotten
    sources there are none: `forget` takes them out of labels too, and `verify_forgotten` proves it.
    """
    found = Verified()
    names = _expected(dataset, found)
    former = [name for name in dataset.tables() if name not in names]
    logs = dict(_logs(dataset, [MANIFEST, *(f"tables/{n}" for n in (*names, *former))], found))
    filled = {name: log for name in names if (log := logs.get(f"tables/{name}"))}
    if MANIFEST in logs:
        _check_shards(dataset, logs[MANIFEST], filled, found)
    else:
        for log in filled.values():
            _check_alone(dataset, log, found)
    for log in (logs[path] for name in former if (path := f"tables/{name}") in logs):
        before = len(found.damaged)
        _check_alone(dataset, log, found)
        if len(found.damaged) > before:
            name = log.table.name.removeprefix("tables/")
            found.notes.append(f"table {name} is of a former recipe: {FORMER}")
    beside = [name for log in logs.values() for name in unnamed(dataset, log.table)]
    labelled = labels.check(dataset)
    found.rows.update({groups.path_of(name): rows for name, rows in labelled.rows.items()})
    found.problems += labelled.problems
    found.by_hand += labelled.problems
    found.notes += strangers(dataset, names) + labelled.notes
    try:
        brought = posts_checked.check(dataset)
    except DamageError as error:
        _by_hand(error, found)
        brought = posts_checked.Checked()
    found.rows.update(brought.rows)
    found.damaged += brought.damaged
    found.problems += brought.problems
    found.notes += brought.notes
    found.orphans, found.foreign = apart([*beside, *labelled.orphans, *brought.orphans])
    return found


@dataclass(frozen=True, slots=True)
class _Log:
    """What the log of a table says: the table, and the digests of its parts."""

    table: Table
    digests: Mapping[str, str]


def _logs(dataset: Dataset, paths: Iterable[str], found: Verified) -> Iterator[tuple[str, _Log]]:
    """Yield the logs that can be read, by table; the others are problems."""
    for path in paths:
        try:
            table = dataset.table(path)
            log = _Log(table, table.digests())
        except DamageError as error:
            _by_hand(error, found)
        else:
            yield path, log


def _by_hand(error: DamageError, found: Verified) -> None:
    """Take down, once, what only its reader can mend."""
    said = f"{error}: {error.remedy}"
    if said not in found.problems:
        found.problems.append(said)
        found.by_hand.append(said)


def _check_shards(
    dataset: Dataset, manifest: _Log, tables: Mapping[str, _Log], found: Verified
) -> None:
    """Check each shard's listing, its parts of the tables that are to be complete, and both."""
    by_shard = {name: _by_shard(name, log.table, found) for name, log in tables.items()}
    seen = Seen(shown(dataset))
    for part in sorted(manifest.table.committed().values(), key=lambda p: p.path):
        found.shards += 1
        damaged = len(found.damaged)
        listed = _checked(dataset, manifest, part, found)
        owns = {name: by_shard[name].pop(part.shard, None) for name in tables}
        if listed is None:
            _check_unlisted(dataset, owns, tables, found)
            continue
        found.sources += listed.num_rows
        seen.add(listed["source_id"])
        rows: dict[str, pa.Table] = {}
        parts: list[Part] = []
        for name, own in owns.items():
            if own is None or own.label != part.label or not _is_of_one_look(own, parts):
                found.problems.append(f"shard {part.label}: unfinished in table {name}")
                found.unfinished += 1
                continue
            read = _checked(dataset, tables[name], own, found)
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
    found.notes += seen.notes()


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
    for part in table.committed().values():
        if not part.is_ours:
            found.problems.append(f"table {name}: part {part.path}: {STRANGE}")
            found.damaged.append(part)
            continue
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


def _checked(dataset: Dataset, log: _Log, part: Part, found: Verified) -> pa.Table | None:
    table = log.table
    where = f"shard {part.label}: table {table.name}: part {part.path}"
    if not part.is_ours:
        found.problems.append(f"{where}: {STRANGE}")
        found.damaged.append(part)
        return None
    try:
        rows, sha256 = read_part(dataset.store, part)
    except DamageError as error:
        found.problems.append(f"{where}: {error}")
        found.damaged.append(part)
        return None
    problems = []
    if sha256 != log.digests.get(part.path):
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
    tables: Mapping[str, _Log],
    found: Verified,
) -> None:
    """Check the parts of a shard whose listing is damaged, by table, each by itself."""
    for name, own in owns.items():
        if own is not None:
            _checked(dataset, tables[name], own, found)


def _check_alone(dataset: Dataset, log: _Log, found: Verified) -> None:
    """Check the parts of a table each by itself: nothing says what they should hold together."""
    name = log.table.name.removeprefix("tables/")
    for _, part in sorted(log.table.committed().items()):
        read = _checked(dataset, log, part, found)
        found.rows[name] += 0 if read is None else read.num_rows


def _off(schema: pa.Schema, expected: pa.Schema) -> Iterator[str]:
    """Tell which columns of a part are not its table's. It may have fewer: a newer one has more."""
    types = {column.name: column.type for column in expected}
    for column in schema:
        if column.name not in types:
            yield f"column {column.name} is not in the table"
        elif column.type != types[column.name]:
            yield f"column {column.name} is {column.type}, and {types[column.name]} in the table"
