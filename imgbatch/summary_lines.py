"""A summary enters; the lines that people read at the end of a run leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from imgbatch.summary import Summary

# So many files are named on the terminal; the record of the run has more, `post_gaps` all.
NAMED = 3


def retried_lines(summary: Summary) -> list[str]:
    """Return what doing failed sources again came to."""
    if not summary.changed:
        return [f"nothing to do again: no source of {summary.dataset} failed with such a class"]
    lines = [f"{summary.changed:,} sources were done again in {summary.seconds:.1f} s"]
    return [*lines, *(f"  {count:>9,}  {name}" for name, count in summary.outcomes.most_common())]


def run_lines(summary: Summary) -> list[str]:
    """Return what a run came to."""
    brought = [
        *(_posts(summary.posts) if summary.posts else []),
        *unread_lines(summary.unread),
        *retention_lines(summary.retention),
        *_left(summary),
    ]
    if not (summary.shards or summary.adopted):
        removed = f", {summary.removed:,} removed" if summary.removed else ""
        listed = f"{summary.listed:,} sources are listed, all are up to date"
        other = summary.by_hand or summary.retention
        what = "nothing to compute" if other else "nothing to do"
        nothing = f"{what}: {listed}{removed} ({summary.seconds:.1f} s)"
        told = [*_mended(summary), *_lessened(summary), *_forgotten(summary)]
        return [nothing, *told, *brought]
    rate = summary.pictures / max(summary.work_seconds, 1e-9)
    changes = [
        f"{summary.new:,} new",
        f"{summary.changed:,} changed",
        f"{summary.removed:,} removed",
    ]
    did = f"{summary.sources:,} sources in {summary.shards:,} shards"
    speed = f"{summary.seconds:.1f} s ({rate:,.0f}/s once workers were up)"
    lines = [
        f"{summary.listed:,} sources listed: {', '.join(changes)}",
        *_mended(summary),
        *_lessened(summary),
        *_forgotten(summary),
        *([f"{summary.adopted:,} parts taken as they lay written"] if summary.adopted else []),
        f"{did} gave {summary.pictures:,} pictures in {speed}",
    ]
    lines += [f"  {count:>9,}  {name}" for name, count in summary.outcomes.most_common()]
    return [*lines, *brought, f"dataset: {summary.dataset}"]


def _mended(summary: Summary) -> list[str]:
    """Return what a repair came to as lines."""
    others = "of tables that this recipe does not fill were taken out, and not done again"
    told = (
        (summary.repaired, "damaged parts were taken out and done again"),
        (summary.dropped, f"damaged parts {others}"),
        (summary.aside, "files were put aside, below set-aside/"),
    )
    counts = [f"{count:,} {what}" for count, what in told if count]
    return [*counts, *(f"still damaged: {line}" for line in summary.by_hand)]


def _lessened(summary: Summary) -> list[str]:
    if not summary.lessened:
        return []
    tables = ", ".join(summary.lessened)
    return [
        f"{tables}: the recipe keeps less than a former one did",
        "  what that one kept stays in files, labels and the report of earlier states, until",
        "  `imgbatch forget DATASET --former` takes it out for good",
    ]


def _posts(brought: Mapping[str, Any]) -> list[str]:
    """Return what bringing posts came to as lines."""
    from imgbatch.dataset.post_columns import OTHER_COPY  # noqa: PLC0415 - help loads no pyarrow

    formats = " and ".join(brought["formats"]) or "no metadata is left"
    counts = ", ".join(f"{brought[word]:,} {word}" for word in ("new", "changed", "removed"))
    gone = f", {brought['absent']:,} are no longer in it" if brought["absent"] else ""
    media = {name: count for name, count in brought["media"].items() if name != OTHER_COPY}
    more = brought["media"].get(OTHER_COPY, 0)
    matched = media.get("matched", 0)
    others = [f"{count:,} {name}" for name, count in media.items() if name != "matched"]
    lines = [
        f"posts ({formats}): {brought['posts']:,}, {counts}{gone} ({brought['seconds']:.1f} s)",
        f"  {matched:>9,}  of {sum(media.values()):,} media are matched to sources",
    ]
    if others:
        lines.append(f"             not matched: {', '.join(others)}")
    if more:
        lines.append(f"  {more:>9,}  files more are named by other copies of posts alone")
    if brought["sources"]:
        lines.append(f"  {brought['sources']:>9,}  media sources belong to no post")
    told = ("unmatched-medium", "unmatched-source")
    gaps = [f"{count:,} {kind}" for kind, count in brought["gaps"].items() if kind not in told]
    if gaps:
        lines.append(f"             gaps: {', '.join(gaps)}")
    return [*lines, *_suspects(brought)]


def _suspects(brought: Mapping[str, Any]) -> list[str]:
    """Return the files for whose sake no post counts as removed."""
    suspects = brought.get("suspects")
    if not suspects:
        return []
    named = suspects["files"][:NAMED]
    more = suspects["count"] - len(named)
    return [
        f"  {suspects['count']:>9,}  metadata files may hold posts that were not read",
        "             no post counts as removed until they are whole or gone (suspect-file):",
        *(f"             {address}" for address in named),
        *([f"             and {more:,} more: see post_gaps"] if more else []),
    ]


def unread_lines(unread: Mapping[str, int]) -> list[str]:
    """Return what may hold posts and is of no format that is recognised, as lines."""
    if not unread:
        return []
    files = ", ".join(f"{count:,} {form}" for form, count in unread.items())
    return [
        f"posts: none, as no dump is recognised; files that may hold some: {files}",
        "  `imgbatch dumps` lists the formats: --dump FORMAT reads it as one, --dump none as none",
    ]


def retention_lines(retention: Mapping[str, int | None] | None) -> list[str]:
    """Return for how long posts are kept, where a run changes that, as a line."""
    if retention is None:
        return []
    now, before = (
        "without end" if days is None else f"for {days:,} days"
        for days in (retention["days"], retention["before"])
    )
    return [f"posts are kept {now} from this run on, {before} before: see `imgbatch retain`"]


def _left(summary: Summary) -> list[str]:
    if summary.forgot is None:
        return []
    rows = ", ".join(f"{count:,} of {name}" for name, count in summary.forgot.items())
    whose = "that the export lacks, or that were forgotten before,"
    return [f"posts {whose} left for good{rows and f'; rows left: {rows}'}"]


def _forgotten(summary: Summary) -> list[str]:
    count = summary.forgotten
    return [f"{count:,} forgotten sources of the input were left out"] if count else []
