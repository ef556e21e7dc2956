"""The state of a dataset and of the run that is at work on it, read back from the dataset alone.

Quick however large it is: what a run does is told by its progress, what came of sources by the
driver's own counts (`imgbatch.dataset.counts`); rows are read only of parts that it did not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.dataset import MANIFEST, counts, groups, lock, posts
from imgbatch.observe import life as lives

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.dataset import Dataset
    from imgbatch.observe.life import Life

# Ids begin with the time by the clock of the machine that ran it. Of so many that began last, the
# one with the largest number is the last.
RECENT = 4


def status(dataset: Dataset) -> dict[str, Any]:
    """Return what is there, what is done, what is going on, and where the time went.

    Returns:
        dataset, sources and shards of the manifest, outcomes by status and class, tables (rows,
        parts done of all shards), groups: of each table of labels what it was made of and which
        tables have changed since; grouping: the one that is at work; posts: what bringing them
        came to, where a dump's were; runs: how many; run: the run
        that is at work or began last, its state and progress; last_run: the record of the last run
        that has one; and its stages: seconds summed over threads, slowest first.
    """
    parts = dataset.table(MANIFEST).committed()
    labels = {part.label for part in parts.values()}
    tables = {}
    for name in dataset.tables():
        own = dataset.table(f"tables/{name}").committed().values()
        done = {part.label for part in own}
        tables[name] = {
            "rows": sum(part.rows for part in own),
            "shards_done": len(done & labels),
            "shards": len(labels),
        }
    names = dataset.run_names()
    brought = posts.here(dataset) and posts.record(dataset)
    life = lives.last(dataset)
    last = last_record(dataset, names)
    return {
        "dataset": dataset.url,
        "sources": sum(part.rows for part in parts.values()),
        "shards": len(labels),
        "outcomes": outcomes(dataset),
        "tables": tables,
        "groups": labelled(dataset),
        "grouping": grouping(dataset),
        **({"posts": brought["counts"]} if brought else {}),
        "runs": len(names),
        "run": life.told() if life else None,
        "last_run": last,
        "stages": stages(life, last),
    }


def grouping(dataset: Dataset) -> dict[str, str] | None:
    """Return which labels are being made just now: run, name, host and since."""
    holder = lock.holder(dataset.store)
    made = groups.groupings(dataset).get(holder.run) if holder else None
    if holder is None or made is None or holder.gone or holder.silent:
        return None
    told = {"run": holder.run, "name": str(made["name"])}
    return {**told, "host": holder.host, "since": holder.since}


def labelled(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Return what labels there are: rows, groups, settings, and what they are older than.

    `left` are the rows that they were made of and a takedown took out since.
    """
    found = {}
    for name in groups.names(dataset):
        made = groups.record(dataset.table(groups.path_of(name))) or {}
        told = {key: made[key] for key in ("grouper", "settings", "groups", "grouped", "finished")}
        parts = dataset.table(groups.path_of(name)).committed().values()
        rows = sum(part.rows for part in parts)
        told |= {"rows": rows, "left": made.get("left", 0)}
        found[name] = {**told, "stale": groups.stale(dataset, made)}
    return found


def last_record(dataset: Dataset, names: list[str]) -> dict[str, Any] | None:
    """Return the record of the last run that has one, by the names of all."""
    records = [dataset.run_record(name) for name in names[-RECENT:]]
    return max(records, key=lambda record: int(record["number"]), default=None)


def outcomes(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return committed sources by status and class: {"failed": {"decode.corrupt": 2}}."""
    if not dataset.table(counts.OUTCOMES).exists:
        return {}
    found: dict[str, dict[str, int]] = {}
    for (state, error_class), count in counts.outcomes(dataset).most_common():
        found.setdefault(state, {})[error_class or "ok"] = count
    return found


def stages(life: Life | None, last: Mapping[str, Any] | None) -> dict[str, float]:
    """Return seconds by stage of the run that began last, the slowest first."""
    if life and life.progress and not (last and last["run"] == life.run and "stages" in last):
        found = life.progress["stages"]
    else:
        found = last.get("stages", {}) if last else {}
    return dict(sorted(found.items(), key=lambda item: -item[1]))
