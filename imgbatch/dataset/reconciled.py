"""The rows of one shard's tables enter; what does not fit its listing, or each other, leaves."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from imgbatch.dataset import SOURCES
from imgbatch.records import REGIONS, analyzer_of

if TYPE_CHECKING:
    import pyarrow as pa

    from imgbatch.dataset.verify import Verified

KEYS = ["source_id", "version"]


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
