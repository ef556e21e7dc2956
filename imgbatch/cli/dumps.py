"""The command that tells of dumps: which formats are known, and what an INPUT is taken for."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch.terminal import Json, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from imgbatch.sources.dumps import Dump

SHOWN = 10


def dumps(
    input: Annotated[  # noqa: A002 - the word that users see
        str | None,
        typer.Argument(metavar="[INPUT]", help="Folder, archive, file or bucket URL."),
    ] = None,
    *,
    dump: Annotated[
        str, typer.Option("--dump", help="Take INPUT for this format instead of looking.")
    ] = "auto",
    read: Annotated[
        bool, typer.Option("--read", help="Read it to its end: count posts, media and gaps.")
    ] = False,
    json: Json = False,
) -> None:
    """Show the dump formats that are known or, with INPUT, what it is taken for; writes nothing."""
    from imgbatch.settings import read_limits
    from imgbatch.sources.dumps import Dump, formats, load

    if input is None:
        for name in formats():
            form = load(name)
            lines = [
                f"{name}: {form.TITLE}",
                f"  recognised by {form.RECOGNISED}",
                f"  yields {form.YIELDS}",
            ]
            record = {"recognised": form.RECOGNISED, "yields": form.YIELDS, "title": form.TITLE}
            say(json, "format", {"name": name, **record}, lines)
        return
    found = Dump.at(input, read_limits())
    try:
        _tell(found, dump, read=read, json=json)
    finally:
        found.close()


def _tell(found: Dump, asked: str, *, read: bool, json: bool) -> None:
    """Print what a dump may be, then what it is read as.

    Raises:
        DumpError: it is of no format, or of several at once.
    """
    from imgbatch.errors import DumpError
    from imgbatch.sources.dumps import choose, closed, sniff

    for name, sure in sniff(found):
        say(json, "sniffed", {"name": name, "sure": sure}, [f"{name}: {sure:.0%} sure"])
    names = choose(found, asked)
    if not names:
        raise DumpError(
            f"{found.root} is no dump of a known format{closed(found)}",
            "`imgbatch dumps` lists the formats; --dump NAME takes it for one of them. Without "
            "any, `imgbatch run` takes its media as they are.",
        )
    for name in names:
        _files(found, name, json=json)
    if read:
        _read(found, names, json=json)


def _files(found: Dump, name: str, *, json: bool) -> None:
    from imgbatch.sources.dumps import load

    files = load(name).files(found)
    first = list(islice(files, SHOWN))
    count = len(first) + sum(1 for _ in files)
    more = [f"  and {count - SHOWN} more"] if count > SHOWN else []
    lines = [f"{found.root} is read as {name}; metadata in {count} files:"]
    lines += [f"  {file}" for file in first] + more
    say(json, "taken", {"name": name, "root": found.root, "files": count, "first": first}, lines)


def _read(found: Dump, names: Sequence[str], *, json: bool) -> None:
    from imgbatch.sources.dumps import Gap, exported, read_all

    posts = media = 0
    gaps: Counter[tuple[str, str, str]] = Counter()
    for _, each in exported(read_all(found, names), found, names):
        if isinstance(each, Gap):
            detail = each.message if each.kind in ("missing-field", "bad-field") else ""
            gaps[each.kind, each.ref, detail] += each.count
        else:
            posts += 1
            media += len(each.media)
    record: dict[str, Any] = {"posts": posts, "media": media, "gaps": sum(gaps.values())}
    lines = [f"{posts:,} posts with {media:,} media, {record['gaps']:,} gaps"]
    for (kind, ref, detail), count in gaps.most_common(SHOWN):
        lines.append(f"  {count:,} {kind} {detail}".rstrip() + f" in {ref or 'several files'}")
    if len(gaps) > SHOWN:
        lines.append(f"  and {len(gaps) - SHOWN} kinds more")
    record["kinds"] = [
        {"kind": kind, "ref": ref, "message": detail, "count": count}
        for (kind, ref, detail), count in gaps.most_common()
    ]
    say(json, "read", record, lines)
