"""`imgbatch fetch`: the media that a dump only links to."""

from __future__ import annotations

import dataclasses
import json as json_
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from imgbatch import terminal
from imgbatch.terminal import Json, MaxFailed

if TYPE_CHECKING:
    from imgbatch.fetching import Fetched, Progress

LINE_SECONDS = 5.0
AGAIN = "--retry 'link.*'"
WITHDRAWN = "their hosts say now that nobody is to have them, or not for this"
LOST = "posts.jsonl has them no more"
SILENT = "as long as they do, nothing counts as removed (kind suspect-file in posts.jsonl)"
UNLINKED = "no post links to any more; --removed forget deletes them"


def fetch(
    dump_url: Annotated[str, typer.Argument(metavar="DUMP", help="Folder, archive or file.")],
    out: Annotated[str, typer.Argument(metavar="OUT", help="Folder or bucket URL.")],
    *,
    dump: Annotated[str, typer.Option(help="Its format; see `imgbatch dumps`.")] = "auto",
    media_column: Annotated[
        str | None, typer.Option(help="Of a table: the column that holds URLs of media.")
    ] = None,
    id_column: Annotated[
        str | None, typer.Option(help="Of a table: the column that holds the post's id.")
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(help="image, video, audio or other; may be repeated. All but audio."),
    ] = None,
    rate: Annotated[float, typer.Option(help="Requests a second to one host, at most.")] = 10.0,
    per_host: Annotated[int, typer.Option(help="Requests under way to one host.")] = 4,
    at_once: Annotated[int, typer.Option(help="Requests under way in all.")] = 32,
    max_bytes: Annotated[int, typer.Option(help="A larger file is not taken.")] = 256 * 2**20,
    limit: Annotated[int | None, typer.Option(help="Ask for the first N URLs only.")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Ask for what is here too: is it still the same?")
    ] = False,
    retry: Annotated[
        list[str] | None,
        typer.Option(help="Error class to ask for again, such as 'link.*'; may be repeated."),
    ] = None,
    removed: Annotated[
        str, typer.Option(help="Media that no post links to any more: keep or forget (delete).")
    ] = "keep",
    contact: Annotated[
        str, typer.Option(help="Who asks: an address or page, told to every server.")
    ] = "",
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Ask addresses of this network too.")
    ] = False,
    ignore_robots: Annotated[
        bool, typer.Option("--ignore-robots", help="Ask what robots.txt or `noai` forbid.")
    ] = False,
    http2: Annotated[
        bool, typer.Option("--http2", help="Speak HTTP/2 where a server can.")
    ] = False,
    max_failed: MaxFailed = None,
    json: Json = False,
) -> None:
    """Download what DUMP only links to into OUT, a dump of its own; again, only what is missing."""
    from imgbatch import fetching
    from imgbatch.settings import check
    from imgbatch.sources.dumps import Plain

    asked: dict[str, Any] = {
        "allow_private": allow_private,
        "ignore_robots": ignore_robots,
        "rate": rate,
        "per_host": per_host,
        "at_once": at_once,
        "http2": http2,
        "max_bytes": max_bytes,
        "limit": limit,
        "refresh": refresh,
        "retry": tuple(retry or ()),
        "removed": removed,
        "contact": contact,
        **({"kinds": tuple(kind)} if kind else {}),
    }
    wish = fetching.Wish(
        input=dump_url,
        out=out,
        settings=check(fetching.FetchSettings, asked, where="imgbatch fetch"),
        # Who names a column of media has a table.
        dump="table" if dump == "auto" and media_column else dump,
        columns=Plain(media_column, id_column),
        max_failed=terminal.max_failed(max_failed),
    )
    found = fetching.fetch(wish, tell=_Told(as_json=json))
    terminal.say(json, "fetched", dataclasses.asdict(found), _lines(found))


class _Told:
    """Tells how far it is, now and then."""

    def __init__(self, *, as_json: bool) -> None:
        self._json = as_json
        self._started = self._last = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if now - self._last < (1.0 if self._json else LINE_SECONDS):
            return
        self._last = now
        if self._json:
            sys.stdout.write(
                json_.dumps({"event": "progress", **dataclasses.asdict(progress)}) + "\n"
            )
            sys.stdout.flush()
            return
        sys.stderr.write(_line(progress, now - self._started) + "\n")
        sys.stderr.flush()


def _line(progress: Progress, seconds: float) -> str:
    others = [f"{n:,} {name}" for name, n in progress.outcomes.items() if name != "ok"]
    speed = f"{progress.asked / seconds:,.0f}/s, {progress.bytes / seconds / 1e6:,.1f} MB/s"
    told = f"; {', '.join(others)}" if others else ""
    return f"{progress.asked:,} of {progress.of:,} URLs, {speed}{told}"


def _failed(name: str) -> bool:
    """Tell whether the next fetch asks for an outcome's URL only if it is told to."""
    from imgbatch.errors import LinkError
    from imgbatch.fetching.task import UNASKED

    return name not in ("ok", "not-fetched", UNASKED) and not LinkError(name, "").by_rule


def _lines(found: Fetched) -> list[str]:
    kept = ", ".join(f"{count:,} {name}" for name, count in found.kept.items())
    again = any(_failed(name) for name in found.outcomes)
    if not found.asked and not found.adopted:
        first = f"nothing to fetch: {sum(found.outcomes.values()):,} URLs have their outcome"
    else:
        first = f"{found.asked:,} URLs asked, {found.bytes / 1e6:,.1f} MB in {found.seconds:.1f} s"
    return [
        first,
        *([f"{found.adopted:,} files taken as they lay here"] if found.adopted else []),
        *(f"  {count:>9,}  {name}" for name, count in found.outcomes.items()),
        *([f"ask again for what failed: {AGAIN}"] if again else []),
        *([f"{found.withdrawn:,} files were deleted: {WITHDRAWN}"] if found.withdrawn else []),
        *([f"{sum(found.kept.values()):,} files are kept from before: {kept}"] if kept else []),
        f"{found.posts:,} posts of {', '.join(found.formats)}: {found.out}",
        *([f"{found.gaps:,} gaps of the dump are kept in posts.jsonl"] if found.gaps else []),
        *(
            [f"{found.lost:,} posts that OUT had are not in this dump: {LOST}"]
            if found.lost
            else []
        ),
        *(
            [f"{found.silent:,} metadata files gave posts and give none now: {SILENT}"]
            if found.silent
            else []
        ),
        *([f"{found.unlinked:,} files are kept that {UNLINKED}"] if found.unlinked else []),
    ]
