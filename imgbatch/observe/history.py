"""A dataset enters; its runs leave, oldest first: what each was, did and came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.dataset import MANIFEST, audit, groups
from imgbatch.dataset.causes import differences
from imgbatch.dataset.past import Past, added_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset

COUNTS = ("listed", "new", "changed", "removed", "adopted", "shards", "sources", "pictures")
# What a run is without its record: it changed the manifest and had nothing to compute, or it was
# killed before it began to.
UNRECORDED = "no record"
DIED = "died"
FORGOT = "forgot"
GROUPED = "grouped"
RUNNING = "running or died"


def history(dataset: Dataset) -> list[dict[str, Any]]:
    """Return the runs that changed anything, oldest first.

    Returns:
        for each: run, started, seconds, engine, input, status (finished, failed, died: it began
        and a later one came before it ended; forgot N: it was a `forget`; grouped NAME: it was a
        grouping), the counts of its
        summary as far as it wrote them, failed: sources that failed in it, sources_before and
        sources_after of the manifest, parts: how many it committed by table, recipe: what differs
        from the run before, and versions: the same of packages.
    """
    past = Past(dataset)
    records = {record["run"]: record for record in dataset.runs()}
    forgets = {record["run"]: record for record in audit.records(dataset.store)}
    groupings = groups.groupings(dataset)
    runs: list[dict[str, Any]] = []
    former: Mapping[str, Any] | None = None
    before = 0
    tables = dataset.tables()
    for run in past.runs:
        record = records.get(run)
        after = _sources(past, run)
        runs.append(
            {
                "run": run,
                **(
                    _grouped(groupings[run])
                    if run in groupings
                    else _told(record, forgets.get(run), last=run == past.runs[-1])
                ),
                "sources_before": before,
                "sources_after": after,
                "parts": {
                    name: count
                    for name in tables
                    if (count := len(added_by(past.commits(f"tables/{name}"), run)))
                },
                **_differences(former, record),
            }
        )
        before = after
        former = record or former
    return runs


def _sources(past: Past, run: str) -> int:
    table = past.after(MANIFEST, run)
    return sum(part.rows for part in table.parts().values()) if table else 0


def _grouped(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a grouping was; one that was killed as it committed has said no more."""
    status = f"{GROUPED} {record['name']}"
    told = {name: record.get(name) for name in ("started", "seconds", "engine")}
    return {"status": status, **{k: v for k, v in told.items() if v or k != "engine"}}


def _told(
    record: Mapping[str, Any] | None, forgotten: Mapping[str, Any] | None, *, last: bool
) -> dict[str, Any]:
    if forgotten is not None:
        status = f"{FORGOT} {forgotten['named']:,}"
        return {"status": status, "started": forgotten["started"], "seconds": None}
    if record is None:
        return {"status": UNRECORDED, "started": None, "seconds": None}
    status = record["status"]
    if status == "running":
        status = RUNNING if last else DIED
    asked = {name: record[name] for name in ("input", "engine", "limit", "share")}
    told = {name: record[name] for name in COUNTS if name in record}
    outcomes = record.get("outcomes", {})
    return {
        "status": status,
        "started": record["started"],
        "seconds": record.get("seconds"),
        **asked,
        **told,
        # The class of a failure has its stage before a dot; a filtered source's has none.
        "failed": {name: count for name, count in outcomes.items() if "." in name},
    }


def _differences(
    former: Mapping[str, Any] | None, record: Mapping[str, Any] | None
) -> dict[str, list[str]]:
    if former is None or record is None:
        return {"recipe": [], "versions": []}
    return {key: differences(former[key], record[key]) for key in ("recipe", "versions")}
