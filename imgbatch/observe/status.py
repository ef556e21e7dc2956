"""The state of a dataset, read back from its tables, runs and logs alone."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

from imgbatch.dataset import MANIFEST, SOURCES

if TYPE_CHECKING:
    from imgbatch.dataset import Dataset


def status(dataset: Dataset) -> dict[str, Any]:
    """Return what is there, what is done, and where the time went.

    Returns:
        dataset, sources and shards of the manifest, outcomes by status and class, tables (rows,
        parts done of all shards), the last run's record, and its stages: seconds summed over
        threads, slowest first, as far as its logs tell.
    """
    parts = dataset.table(MANIFEST).parts()
    labels = {part.label for part in parts.values()}
    runs = dataset.runs()
    tables = {}
    for name in dataset.tables():
        own = dataset.table(f"tables/{name}").parts().values()
        done = {part.label for part in own}
        tables[name] = {
            "rows": sum(part.rows for part in own),
            "shards_done": len(done & labels),
            "shards": len(labels),
        }
    return {
        "dataset": dataset.url,
        "sources": sum(part.rows for part in parts.values()),
        "shards": len(labels),
        "outcomes": outcomes(dataset),
        "tables": tables,
        "runs": len(runs),
        "last_run": runs[-1] if runs else None,
        "stages": stages(dataset, runs[-1]["run"]) if runs else {},
    }


def outcomes(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return committed sources by status and class: {"failed": {"decode.corrupt": 2}}."""
    if SOURCES not in dataset.tables():
        return {}
    counts: Counter[tuple[str, str | None]] = Counter()
    for batch in dataset.batches(SOURCES, columns=["status", "error_class"]):
        counts.update(zip(*(column.to_pylist() for column in batch.columns), strict=True))
    found: dict[str, dict[str, int]] = {}
    for (state, error_class), count in counts.most_common():
        found.setdefault(state, {})[error_class or "ok"] = count
    return found


def log_lines(dataset: Dataset, run: str) -> list[dict[str, Any]]:
    """Return all log lines of a run so far, by time."""
    lines = [
        json.loads(line)
        for entry in dataset.store.list(f"logs/{run}")
        for line in dataset.store.get(entry.name).splitlines()
    ]
    return sorted(lines, key=lambda line: str(line["timestamp"]))


def stages(dataset: Dataset, run: str) -> dict[str, float]:
    """Return seconds by stage over a run's finished shards, the bottleneck first."""
    total: Counter[str] = Counter()
    try:
        lines = log_lines(dataset, run)
    except FileNotFoundError:
        return {}
    for line in lines:
        if line["event"] == "shard.finished":
            total.update(line["stages"])
    return {name: round(seconds, 3) for name, seconds in total.most_common()}
