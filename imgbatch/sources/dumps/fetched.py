"""What `imgbatch fetch` writes: posts.jsonl, and beside it media/ and fetched/.

One object a line: a post with the fields of `Post` and `Media`, or a gap of the dump that it was
fetched from. A medium that could not be fetched has its error class as its status.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps import lines
from imgbatch.sources.dumps.names import base, folder, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import count, iso_time, number, objects, text, text_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked, MediaKind

TITLE = "What imgbatch fetch wrote"
RECOGNISED = "posts.jsonl beside fetched/about.json"
YIELDS = "the posts of the dump that was fetched, each medium with its file or why there is none"

ABOUT, POSTS = "fetched/about.json", "posts.jsonl"
OWN = re.compile(
    r"fetched/(about\.json|lock\.json|(outcomes|owners)\.(jsonl|parquet)|journal/\d+\.jsonl"
    r"|forgotten/[0-9a-f]{32}\.parquet)"
)
ENDINGS = ("json", "jsonl", "parquet")
KINDS: tuple[MediaKind, ...] = ("image", "video", "audio", "other")


def recognise(dump: Dump) -> float:
    """Tell how sure it is: nothing else writes these two names beside each other."""
    return 1.0 if next(files(dump), None) else 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield each posts.jsonl that has a fetched/about.json beside it."""
    for name in dump.metadata("jsonl"):
        if base(name) == POSTS and dump.has(folder(name) + ABOUT):
            yield name


def postless(dump: Dump) -> Iterator[str]:
    """Yield what a fetch writes that holds no posts: what it is, outcomes, whose, what is gone."""
    inner = [folder(file) for file in files(dump)]
    for name in dump.metadata(*ENDINGS):
        if any(name.startswith(one) and OWN.fullmatch(name, len(one)) for one in inner):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield posts and gaps, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        for found in lines.objects(dump, name):
            if isinstance(found, Gap):
                yield found
                continue
            line, item = found
            gap = item.get("gap")
            yield (
                _gap(gap, name, line) if isinstance(gap, dict) else _post(item, name, line, counted)
            )
        yield from counted.gaps()


def _gap(gap: dict[str, Any], name: str, line: int) -> Gap:
    return Gap(
        text(gap.get("kind")) or "unread",
        text(gap.get("ref")) or name,
        count(gap.get("line")),
        text(gap.get("message")) or f"line {line} of {name}",
        count(gap.get("count")) or 1,
    )


def _post(item: dict[str, Any], name: str, line: int, counted: Counted) -> Post | Gap:
    post_id = text_id(item.get("post_id"))
    if post_id is None:
        return Gap("no-id", name, line, "a post without id")
    for field in ("platform", "author_id", "created_at", "text", "media"):
        if field not in item:
            counted.missing(field, name, line)
    if text(item.get("platform")) is None:
        counted.no_id("platform", name, line)
    created = iso_time(item.get("created_at"))
    if created is None and item.get("created_at") is not None:
        counted.bad("created_at", name, line)
    metrics = item.get("metrics")
    known = metrics.items() if isinstance(metrics, dict) else ()
    return Post(
        post_id=post_id,
        platform=text(item.get("platform")) or "unknown",
        raw_ref=ref(name, line),
        author_id=text_id(item.get("author_id")),
        author_name=text(item.get("author_name")),
        created_at=created,
        time_source=(text(item.get("time_source")) or "created_at") if created else "",
        text=text(item.get("text")),
        lang=text(item.get("lang")),
        url=text(item.get("url")),
        reply_to=text_id(item.get("reply_to")),
        repost_of=text_id(item.get("repost_of")),
        metrics={key: n for key, value in known if (n := count(value)) is not None},
        media=tuple(_medium(index, m) for index, m in enumerate(objects(item.get("media")))),
        partial=item.get("partial") is True,
        former=former_of(item),
        linked=item.get("linked") is True,
    )


def former_of(item: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """Return what former versions called the post of a line, as `Post.former` has it."""
    told = item.get("former")
    pairs = (one for one in (told if isinstance(told, list) else ()) if isinstance(one, list))
    return tuple((str(one[0]), str(one[1])) for one in pairs if len(one) == 2)  # noqa: PLR2004 - a pair


def _medium(index: int, item: dict[str, Any]) -> Media:
    kind: MediaKind = next((known for known in KINDS if known == item.get("kind")), "other")
    return Media(
        index,
        kind,
        url=text(item.get("url")),
        path=text(item.get("path")),
        key=text(item.get("key")),
        width=count(item.get("width")),
        height=count(item.get("height")),
        duration=number(item.get("duration")),
        alt_text=text(item.get("alt_text")),
        status=text(item.get("status")) or "",
        sha256=text(item.get("sha256")),
    )
