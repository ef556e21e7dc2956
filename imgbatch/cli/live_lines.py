"""What is going on in a dataset enters; the lines that people read leave."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

from imgbatch.observe.bound import WRITING, grouped, meaning
from imgbatch.observe.life import DIED, ENDED, SILENT, age_of
from imgbatch.observe.progress import clock
from imgbatch.report.words import counted, data_size, number

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.observe.lines import Line

BAR = 30
# Of a line: what stands in front of its other values, or is the same in all lines.
FRONT = ("timestamp", "level", "worker", "event", "run", "error")
COLORS = {"warning": "yellow", "error": "red", "critical": "red"}
LONG = 160
STAGES_SHOWN = 3


def status(record: Mapping[str, Any]) -> list[str]:
    """Return the state of a dataset as lines."""
    lines = [f"{record['dataset']}: {record['sources']:,} sources in {record['shards']:,} shards"]
    for state, classes in record["outcomes"].items():
        lines += [
            f"  {count:>9,}  {state if name == state else f'{state}: {name}'}"
            for name, count in classes.items()
        ]
    lines += [
        f"  table {name}: {table['rows']:,} rows, {table['shards_done']:,} of "
        f"{table['shards']:,} shards"
        for name, table in record["tables"].items()
    ]
    lines += [_labels(name, made) for name, made in record["groups"].items()]
    if brought := record.get("posts"):
        from imgbatch.dataset.post_columns import OTHER_COPY

        media = {name: n for name, n in brought["media"].items() if name != OTHER_COPY}
        said = f"{media.get('matched', 0):,} of {sum(media.values()):,} media matched"
        lines.append(f"  posts: {brought['posts']:,}, {said}")
    if now := record["grouping"]:
        lines.append(f"grouping {now['name']}: at work on {now['host']} since {now['since']}")
    run, last = record["run"], record["last_run"]
    if run and run["state"] not in ENDED:
        lines += going(run)
    elif last:
        lines.append(f"last run {last['run']}: {last['status']}, {last.get('seconds', 0):.1f} s")
        lines += _stages(record["stages"])
        if run and run["progress"] and run["progress"]["bound"]:
            lines.append(_bound(run["progress"]))
        if last.get("cost") is not None:
            lines.append(f"  cost {number(last['cost'])}")
    return lines


def _labels(name: str, made: Mapping[str, Any]) -> str:
    """Return what labels there are as a line."""
    said = f"  groups {name}: {counted(made['groups'], 'group')} of {made['grouped']:,} rows"
    gone = f", made of {made['left']:,} rows too that were forgotten" if made["left"] else ""
    old = f", older than {' and '.join(made['stale'])}" if made["stale"] else ""
    return said + gone + old + (": group again" if gone or old else "")


def going(run: Mapping[str, Any]) -> list[str]:
    """Return a run that is at work, or died at it, as lines."""
    progress = run["progress"]
    head = f"run {run['run']}: {run['state']}"
    if run["why"]:
        head += f" ({run['why']})"
    lines = [head]
    if run["state"] in (DIED, SILENT):
        lines.append("  nothing committed is lost: run again to go on")
    if progress is None:
        return lines
    ago = f"{age_of(progress):,.0f} s ago"
    lines.append(f"  on {progress['host']}, process {progress['pid']}, told {ago}")
    if not progress["of"]:
        return [*lines, f"  {progress['listed']:,} sources listed so far"]
    return [*lines, *_advance(progress), *(_work(progress) if progress["stages"] else [])]


def _advance(progress: Mapping[str, Any]) -> list[str]:
    done, total = progress["sources"], progress["of"]
    filled = BAR * done // total
    eta = progress["eta_seconds"]
    left = f", {clock(eta)} left" if eta is not None and done < total else ""
    bar = f"[{'#' * filled}{'.' * (BAR - filled)}]"
    shards = f"{progress['shards']:,} of {counted(progress['of_shards'], 'shard')}"
    rate = f"{number(progress['pictures_per_second'])} pictures/s"
    lines = [
        f"  {bar} {done / total:.0%}: {done:,} of {total:,} sources, {shards}",
        f"  {progress['pictures']:,} pictures, {rate}{left}",
    ]
    classes = sorted(progress["outcomes"].items(), key=lambda item: -item[1])
    return lines + [f"  {count:>9,}  {name}" for name, count in classes]


def _work(progress: Mapping[str, Any]) -> list[str]:
    workers = progress["workers"]
    lost = f" ({workers['lost']} lost)" if workers["lost"] else ""
    alive = f"{counted(workers['alive'], 'worker')}{lost}, " if workers["alive"] or lost else ""
    rate = f"{data_size(progress['bytes_per_second'])}/s"
    cost = "" if progress["cost"] is None else f", cost {number(progress['cost'])} so far"
    lines = [f"  {alive}{data_size(progress['bytes'])} read at {rate}{cost}"]
    lines += _stages(progress["stages"])
    if progress["bound"]:
        lines.append(_bound(progress))
    if progress["missed"]:
        lines.append(f"  the store failed {progress['missed']} times to take this")
    return lines


def _bound(progress: Mapping[str, Any]) -> str:
    """Return what bounds a run, and how much of their time the decoding threads are at work."""
    # Runs of before say nothing of GPUs.
    said = f"  bound by {meaning(progress['bound'], progress.get('gpu', ()))}"
    groups = grouped(progress["stages"])
    spent = sum(seconds for name, seconds in groups.items() if name != WRITING)
    if not progress["threads"]:
        return said
    return f"{said}; decoding threads busy {min(1.0, spent / progress['threads']):.0%}"


def _stages(stages: Mapping[str, float]) -> list[str]:
    total = sum(stages.values())
    return [
        f"  {seconds:>9.2f} s  {seconds / total:>4.0%}  {stage}"
        for stage, seconds in stages.items()
        if total
    ]


def short(run: Mapping[str, Any]) -> str:
    """Return a run that is at work as one line."""
    progress = run["progress"]
    if progress is None or not progress["of"]:
        listed = f", {progress['listed']:,} sources listed" if progress else ""
        return f"{run['state']}{listed}"
    eta = progress["eta_seconds"]
    left = f", {clock(eta)} left" if eta is not None else ""
    rate = f"{number(progress['pictures_per_second'])} pictures/s"
    return f"{run['state']}: {progress['sources']:,} of {progress['of']:,} sources, {rate}{left}"


def log_line(line: Line) -> tuple[str, str | None]:
    """Return a line of a log for people, and its color."""
    said = line.said
    level = str(said.get("level", ""))
    event, error = str(said.get("event", "")), str(said.get("error", ""))
    rest = {key: value for key, value in said.items() if key not in FRONT}
    words = [_time(line.time), f"{level:<7}", f"{said.get('worker', '')!s:<8}", event, error]
    words += [f"{key}={_shown(key, value)}" for key, value in rest.items()]
    return " ".join(word for word in words if word), COLORS.get(level)


def _time(text: str) -> str:
    try:
        return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}Z"
    except ValueError:
        return "-"


def _shown(key: str, value: Any) -> str:
    if key == "stages" and isinstance(value, dict):
        # All of them are in the line itself (--json).
        value = dict(sorted(value.items(), key=lambda item: -item[1])[:STAGES_SHOWN])
    elif key == "tables" and isinstance(value, list):
        value = len(value)
    elif key == "bytes" and isinstance(value, int):
        return data_size(value).replace(" ", "")
    return _value(value)


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{_value(inner)}" for key, inner in value.items())
    if isinstance(value, list):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return number(value)
    text = value if isinstance(value, str) else json.dumps(value)
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= LONG else f"{text[:LONG]}..."
