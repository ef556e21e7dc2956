"""What commands that look back found enters; the lines that people read leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.observe.history import GROUPED
from imgbatch.report.words import counted, data_size, duration, number, shown
from imgbatch.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KINDS_SHOWN = 6
VALUE_LENGTH = 40
ADDRESS_LENGTH = 400
ROWS_SHOWN = 5
STAGES_SHOWN = 4


def history(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return runs as lines: a table, and below it what changed between them."""
    if not runs:
        return ["no run has changed anything here yet"]
    head = ["run", "status", "took", "engine", "sources", "new", "changed", "removed"]
    head += ["computed", "failed", "taken"]
    lines = aligned([head, *(_run(run) for run in runs)])
    for run in runs:
        lines += [f"{run['run']}: recipe: {line}" for line in run["recipe"]]
        lines += [f"{run['run']}: version: {line}" for line in run["versions"]]
        lines += [
            f"{run['run']}: failed: {n:,} {name}" for name, n in run.get("failed", {}).items()
        ]
        if run["status"] not in ("finished", "failed") and not run["status"].startswith(GROUPED):
            parts = sum(run["parts"].values())
            lines.append(f"{run['run']}: {run['status']}; it committed {counted(parts, 'part')}")
    return lines


def _run(run: Mapping[str, Any]) -> list[str]:
    counts = [run.get(name) for name in ("new", "changed", "removed", "sources")]
    failed = sum(run["failed"].values()) if "failed" in run else None
    return [
        run["run"],
        run["status"],
        "-" if run["seconds"] is None else duration(run["seconds"]),
        run.get("engine", "-"),
        f"{run['sources_after']:,}",
        *("-" if count is None else f"{count:,}" for count in (*counts, failed)),
        f"{run['adopted']:,}" if "adopted" in run else "-",
    ]


def compare(found: Mapping[str, Any]) -> list[str]:
    """Return a comparison as lines: sources, outcomes, then each table."""
    earlier, later = found["runs"]
    sources = found["sources"]
    counts = ", ".join(f"{sources[name]:,} {name}" for name in ("added", "removed", "changed"))
    lines = [
        f"from the state after {earlier} to the state after {later}",
        f"{sources['before']:,} -> {sources['after']:,} sources: {counts}",
    ]
    outcomes = [
        [f"{status}: {name}" if name != status else name, *map(number, pair)]
        for status, classes in found["outcomes"].items()
        for name, pair in classes.items()
    ]
    if outcomes:
        lines += ["", *aligned([["outcomes", "before", "after"], *outcomes])]
    same = []
    for name, table in found["tables"].items():
        if table["added"] or table["removed"] or table["changed"]:
            lines += ["", *_table(name, table)]
        else:
            same.append(name)
    return [*lines, "", f"the same in every row: {', '.join(same)}"] if same else lines


def _table(name: str, table: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(f"{table[key]:,} {key}" for key in ("added", "removed", "changed"))
    of = f" ({table['of_changed']:,} of changed sources)" if table["of_changed"] else ""
    lines = [f"{name}: {table['before']:,} -> {table['after']:,} rows: {counts}{of}"]
    for column, flips in table["columns"].items():
        lines.append(f"  {column}: {counted(flips['rows'], 'row')} changed")
        kinds = flips["kinds"] or []
        # Where rows flip in their own way each (hashes, messages) there is nothing to be seen.
        if kinds and kinds[0]["rows"] > len(kinds) // KINDS_SHOWN and _short(kinds[0]):
            lines += [
                f"    {kind['rows']:>7,}  {_value(kind['from'])} -> {_value(kind['to'])}"
                for kind in kinds[:KINDS_SHOWN]
            ]
            more = kinds[KINDS_SHOWN:]
            if more:
                rows = counted(sum(kind["rows"] for kind in more), "row")
                lines.append(f"    {rows} in {counted(len(more), 'other way')}")
    if table["drift"]:
        lines += [f"  {line}" for line in _drift(table["drift"])]
    return lines


def _short(kind: Mapping[str, Any]) -> bool:
    return all(len(str(kind[side])) <= VALUE_LENGTH for side in ("from", "to"))


def _value(value: object) -> str:
    return "null" if value is None else shown(value, VALUE_LENGTH)


def _drift(drift: Mapping[str, Any]) -> list[str]:
    rows = [["over all rows", "mean", "5%", "median", "95%"]]
    for column, told in drift.items():
        quantiles = [side or [None] * 3 for side in told["quantiles"]]
        pairs = [told["mean"], *zip(*quantiles, strict=True)]
        if any(before != after for before, after in pairs):
            rows.append([column, *(_pair(*pair) for pair in pairs)])
    return aligned(rows) if len(rows) > 1 else []


def _pair(before: float | None, after: float | None) -> str:
    return " -> ".join(dict.fromkeys((number(before), number(after))))


def explain(found: Mapping[str, Any]) -> list[str]:
    """Return all that is known about one source as lines."""
    row = found["manifest"]
    lines = [shown(found["address"], ADDRESS_LENGTH), f"  source_id {found['source_id']}"]
    if row:
        size, place = data_size(row["size"]), f"{row['shard']}@{row['generation']}"
        lines.append(f"  version {row['version']}, {size}, in shard {place}")
        lines.append(f"now: {_outcome(found['outcome'])}")
    else:
        lines.append("now: it is not in the dataset any more")
    lines += ["", "listed in its shard, by generation:", *map(_generation, found["listed"])]
    lines += ["", "outcomes in the parts of its shard:", *map(_attempt, found["outcomes"])]
    for name, rows in found["rows"].items():
        lines += ["", f"{name}: {counted(len(rows), 'row')}", *map(_values, rows[:ROWS_SHOWN])]
        if len(rows) > ROWS_SHOWN:
            lines.append(f"  and {len(rows) - ROWS_SHOWN:,} more, in --json and in the table")
    if found["shard"]:
        lines += ["", "its shard at work:", *map(_work, found["shard"])]
    if found["log"]:
        lines += ["", "log lines that name it:", *map(_log, found["log"])]
    return lines


def _outcome(row: Mapping[str, Any] | None) -> str:
    if row is None:
        return "no outcome yet: its shard is not done"
    if "missing" in row:
        return f"not known: {row['missing']}"
    words = [row["status"], *([row["error_class"]] if row["error_class"] else [])]
    pictures = f", {counted(row['n_pictures'], 'picture')}" if row["n_pictures"] else ""
    return ": ".join(words) + pictures + (f" ({shown(row['message'])})" if row["message"] else "")


def _generation(entry: Mapping[str, Any]) -> str:
    told = f"  {entry['generation']}  {entry['when']}  run {entry['run']}"
    if "missing" in entry:
        return f"{told}: {entry['missing']}"
    fresh = "" if entry["touched"] == entry["generation"] else ", as before"
    return f"{told}: version {entry['version']}{fresh}"


def _attempt(entry: Mapping[str, Any]) -> str:
    carried = ", carried over" if entry["carried"] else ""
    told = f"  {entry['generation']}  {entry['when']}  run {entry['run']}"
    return f"{told}: {_outcome(entry)}{carried}"


def _values(row: Mapping[str, Any]) -> str:
    keys = ("source_id", "version", "picture_id", "region_id")
    told = {name: value for name, value in row.items() if name not in keys and value is not None}
    return "  " + ", ".join(f"{name} {_plain(value)}" for name, value in told.items())


def _plain(value: object) -> str:
    return number(value) if isinstance(value, float) else shown(value)


def _work(line: Mapping[str, Any]) -> str:
    if "seconds" not in line:
        return _log(line)
    sources = counted(sum(line["outcomes"].values()), "source")
    took = f"{duration(line['seconds'])} ({_slowest(line['stages'])})"
    return f"  run {line['run']}: {sources} in {took}"


def _slowest(stages: Mapping[str, float]) -> str:
    slowest = sorted(stages.items(), key=lambda item: -item[1])[:STAGES_SHOWN]
    return ", ".join(f"{name} {duration(seconds)}" for name, seconds in slowest)


def _log(line: Mapping[str, Any]) -> str:
    known = ("timestamp", "run", "event", "level", "worker", "source", "stack", "stages")
    told = [f"{key} {shown(value)}" for key, value in line.items() if key not in known]
    if stages := line.get("stages"):
        told.append(f"took {duration(sum(stages.values()))} ({_slowest(stages)})")
    said = ", ".join(told)
    return f"  {line['timestamp']}  run {line['run']}: {line['level']} {line['event']}: {said}"
