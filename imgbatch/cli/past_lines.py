"""What commands that look back found enters; the lines that people read leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imgbatch.report.words import counted, duration
from imgbatch.terminal import aligned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
        if run["status"] not in ("finished", "failed"):
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
