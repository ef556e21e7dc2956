"""A plan enters; the lines that people read leave."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from imgbatch.dataset.causes import CAUSES
from imgbatch.ready import PACKAGE
from imgbatch.report.words import counted, data_size, duration
from imgbatch.summary_lines import retention_lines, unread_lines
from imgbatch.terminal import aligned

if TYPE_CHECKING:
    from imgbatch.planned import Plan

FAILED = "failed before"
WEIGHTS = {
    "there": "is on this machine",
    "mirror": "comes from the mirror",
    "url": "is downloaded first",
}


def lines(found: Plan) -> list[str]:
    """Return a plan as lines."""
    same = found.listed - found.new - found.changed
    counts = f"{found.new:,} new, {found.changed:,} changed, {found.removed:,} removed"
    told = [f"{found.listed:,} sources listed: {counts}, {same:,} as they were"]
    if found.nothing:
        told.append("nothing to do: all are up to date")
    else:
        told += ["", *_table(found), *_why(found), "", *_cost(found), *_weights(found)]
    told += [*_posts(found), *unread_lines(found.unread), *retention_lines(found.retention)]
    return [*told, *_failed(found)]


def _failed(found: Plan) -> list[str]:
    if not found.failed:
        return []
    lines = [
        f"  {name}: " + ", ".join(f"{count:,} {error}" for error, count in classes.items())
        for name, classes in found.failed.items()
    ]
    retry = "`imgbatch retry DATASET --class CLASS`"
    return [f"{FAILED}, not read again unless by {retry}:", *lines]


def _posts(found: Plan) -> list[str]:
    """Return what becomes of posts as a line; media are joined when all have their outcomes."""
    posts = found.posts
    if posts is None:
        return []
    formats = " and ".join(posts.formats) or "no metadata is left"
    counts = f"{posts.new:,} new, {posts.changed:,} changed, {posts.removed:,} removed"
    gone = f", {posts.absent:,} are no longer in it and stay" if posts.absent else ""
    return [f"posts ({formats}): {posts.read:,} read: {counts}{gone}"]


def _table(found: Plan) -> list[str]:
    causes = [cause for cause in CAUSES if any(c[cause] for c in found.tables.values())]
    columns = {cause: {name: c[cause] for name, c in found.tables.items()} for cause in causes}
    if found.failed:
        columns[FAILED] = {name: sum(counts.values()) for name, counts in found.failed.items()}
    if found.adopted:
        columns["parts as written"] = found.adopted
    rows = [
        [name, *(f"{counts[name]:,}" if counts.get(name) else "" for counts in columns.values())]
        for name in found.tables
    ]
    head = ["sources by table and cause", *columns]
    return aligned([head, *(row for row in rows if any(row[1:]))])


def _why(found: Plan) -> list[str]:
    if not found.why:
        return []
    tables = defaultdict(list)
    for name, counts in found.why.items():
        for difference, count in counts.items():
            tables[difference, count].append(name)
    lines = [
        f"  {', '.join(names)}: {difference} ({counted(count, 'source')})"
        for (difference, count), names in tables.items()
    ]
    return ["", "what changed in the analyzers:", *lines]


def _cost(found: Plan) -> list[str]:
    lines = []
    if found.adopted:
        total = sum(found.adopted.values())
        lines.append(f"to take as they lie written: {counted(total, 'part')}, without computing")
    if found.gone:
        lines.append(f"to leave every table: {counted(found.gone, 'shard')}")
    read = f"{counted(found.sources, 'source')} ({data_size(found.bytes)})"
    work = f"{read} for {counted(found.shards, 'shard')}"
    return [*lines, f"to read: {work}", f"expected time: {_time(found)}"]


def _weights(found: Plan) -> list[str]:
    lines = []
    for each in found.weights:
        who = "" if each.name == PACKAGE else f"weights of {', '.join(each.analyzers)}: "
        head = f"{who}{each.name} "
        if each.how == "lacking":
            lines += [f"{head}is missing, and a run would end at once: {each.error}"]
            lines += [f"  to do: {each.remedy}"]
        else:
            lines.append(f"{head}{WEIGHTS[each.how]}")
    return lines


def _time(found: Plan) -> str:
    if found.seconds is None:
        return "unknown (no run here has told one yet)"
    if found.pace is None or not found.shards:
        return "only that of the commits"
    low, high = found.seconds
    count = len(found.pace.runs)
    last = "the last run" if count == 1 else f"the last {count} runs"
    tables = "" if found.pace.alike else ", which filled other tables"
    engines = " and ".join(found.pace.engines)
    span = " to ".join(dict.fromkeys((duration(low), duration(high))))
    return f"about {span}, at the pace of {last} here ({engines}{tables})"
