"""Counts a dataset again from its parts, and names every shard where something is off."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from imgbatch.dataset import MANIFEST, SOURCES, Dataset
from imgbatch.dataset.parts import read_part
from imgbatch.errors import DamageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.dataset.delta import Part, Table

KEYS = ["source_id", "version"]


@dataclass(slots=True)
class Verified:
    """What verify found.

    Attributes:
        sources, ok, failed, filtered: the reconciliation: the first is the sum of the others.
        rows: rows of each table, counted from its parts.
        problems: one line for each thing that is off, naming table and shard.
        damaged: the committed parts that are not what they should be.
        orphans: files below a table that no commit names (an interrupted driver leaves some).
    """

    sources: int = 0
    ok: int = 0
    failed: int = 0
    filtered: int = 0
    shards: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    damaged: list[Part] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    def damaged_shard(self, name: str) -> bool:
        """Say whether a part of that shard is damaged."""
        return any(part.shard == name for part in self.damaged)


def verify(dataset: Dataset) -> Verified:
    """Read every committed part and check it against the manifest and its commit.

    Checked: each part's file has the size and SHA-256 of its commit, its pages their checksums,
    its columns the table's; each shard has one outcome per source, with the same versions, and in
    every table that the last run filled one row per picture, or per ok source.

    Raises:
        DatasetError: there is no manifest.
    """
    found = Verified()
    names = _expected(dataset)
    tables = {name: dataset.table(f"tables/{name}") for name in names}
    by_shard = {name: _by_shard(name, table, found) for name, table in tables.items()}
    digests = {name: table.digests() for name, table in tables.items()}
    manifest = dataset.table(MANIFEST)
    manifest_digests = manifest.digests()
    for part in sorted(manifest.parts().values(), key=lambda p: p.path):
        found.shards += 1
        listed = _checked(dataset, manifest, part, manifest_digests, found)
        if listed is None:
            for own_parts in by_shard.values():
                own_parts.pop(part.shard, None)  # nothing tells what they should hold
            continue
        found.sources += listed.num_rows
        rows: dict[str, pa.Table] = {}
        parts: list[Part] = []
        for name, table in tables.items():
            own = by_shard[name].pop(part.shard, None)
            if own is None or own.label != part.label:
                found.problems.append(f"shard {part.label}: unfinished in table {name}")
                continue
            read = _checked(dataset, table, own, digests[name], found)
            if read is not None:
                rows[name] = read
                parts.append(own)
                found.rows[name] += read.num_rows
        before = len(found.problems)
        reconcile(part.label, listed, rows, found)
        if len(found.problems) > before and not found.damaged_shard(part.shard):
            # Each file is as it was committed, and they do not agree: any of them may be wrong.
            found.damaged += parts
    for name, left in by_shard.items():
        found.problems += [f"table {name}: part {p.path} is of no shard" for p in left.values()]
    found.orphans = list(_orphans(dataset, {**tables, MANIFEST: manifest}))
    return found


def _expected(dataset: Dataset) -> list[str]:
    """Return the tables that must be complete: those of the last run's recipe."""
    runs = dataset.runs()
    return list(runs[-1]["tables"]) if runs else dataset.tables()


def _by_shard(name: str, table: Table, found: Verified) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    for part in table.parts().values():
        if part.shard in parts:
            found.problems.append(f"table {name}: shard {part.shard} has two parts")
        parts[part.shard] = part
    return parts


def _checked(
    dataset: Dataset, table: Table, part: Part, digests: dict[str, str], found: Verified
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
    columns = set(rows.schema.names).difference(table.schema().names)
    problems += [f"column {name} is not in the table" for name in sorted(columns)]
    found.problems += [f"{where}: {problem}" for problem in problems]
    if problems:
        found.damaged.append(part)
    return rows


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
        is_picture = "frame" in table.column_names
        wanted = Counter(
            dict(zip(ok["source_id"].to_pylist(), ok["n_pictures"].to_pylist(), strict=True))
            if is_picture
            else dict.fromkeys(ok["source_id"].to_pylist(), 1)
        )
        if Counter(table["source_id"].to_pylist()) != +wanted:
            unit = "picture" if is_picture else "source"
            found.problems.append(f"shard {label}: table {name} has not one row per {unit}")
        if not _ids(table) <= _ids(ok):
            found.problems.append(f"shard {label}: table {name} has rows of other versions")


def _ids(table: pa.Table) -> set[tuple[str, str]]:
    return set(zip(*(table[key].to_pylist() for key in KEYS), strict=True))


def _orphans(dataset: Dataset, tables: dict[str, Table]) -> Iterator[str]:
    for table in tables.values():
        named = set(table.digests())
        for entry in dataset.store.list(table.name):
            name = entry.name.removeprefix(f"{table.name}/")
            if not name.startswith("_delta_log/") and name not in named:
                yield entry.name
