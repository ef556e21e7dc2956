"""yt-dlp's folders: one STEM.info.json a video, with its files of the same stem.

Confirmed in yt-dlp's YoutubeDL.py and extractor/common.py (2026-08): unless it is told otherwise
it drops what is null and `entries`, `original_url`, `requested_downloads`, `filepath`, `_filename`
from what it writes, so a playlist's file holds no videos and the stem is all that pairs a file with
its metadata; `ext` is that before merging; `upload_date` is the day in UTC, `timestamp` seconds;
whether `uploader_id` is a handle or a number is up to the site. youtube-dl, which this grew from,
writes the same keys.

Which post a video is of, `_yt_dlp_ids` says. Several videos of one post are pieces of it. Drawback:
of pieces in several folders (a file name of the user's own, by title or number) the last one stays.

Comments and an uncleaned playlist's entries are walked, so however many, they take no memory.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps._yt_dlp_ids import author_of, former_of, platform_of, post_id_of
from imgbatch.sources.dumps.beside import Beside, beside, together
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import base, folder, ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import (
    at,
    count,
    number,
    text,
    text_id,
    unix_time,
    written_time,
)
from imgbatch.sources.dumps.walk import STEP, values
from imgbatch.storage.addresses import unquote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked
    from imgbatch.sources.dumps.walk import Path

TITLE = "yt-dlp (and youtube-dl)"
RECOGNISED = "files named STEM.info.json that begin with an id or tell of an extractor"
YIELDS = (
    "videos with their file and thumbnail by stem, title and description, views, likes and "
    "comments counted; an uncleaned playlist by its entries where nothing else lies beside it"
)

PIECES = True

ENDING = ".info.json"
HEAD = 2**13
OURS = re.compile(
    rb'"(extractor|extractor_key|webpage_url|_version|_type|formats|thumbnails|uploader)"\s*:'
    rb'|^(\xef\xbb\xbf)?\s*\{\s*"id"\s*:'
)
# "TITLE [ID].EXT", as yt-dlp names files, and "TITLE-ID.EXT" of youtube-dl for YouTube's ids.
BRACKETED = re.compile(r"\[([^\[\]]+)\]$")
DASHED = re.compile(r"-([0-9A-Za-z_-]{11})$")
PART = re.compile(r"(\.f[\w-]+)\.(\w+)$")
FORMAT = re.compile(r"\.f[\w-]+$")
METRICS = (
    "view_count", "like_count", "dislike_count", "comment_count", "repost_count", "save_count",
    "concurrent_view_count",
)  # fmt: skip
# What an info.json has many of: walked through, none of it kept but the entries.
LONG = ("comments", "entries", "heatmap", "formats", "requested_entries", "fragments")

Info = dict[str, Any]
# The metadata file, the line, it with its like for gaps.
Where = tuple[str, int, str, Counted]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of a few files named *.info.json."""
    for name in few(dump, "json", own=_is_named):
        try:
            head = dump.head(name, HEAD)
        except SourceError:
            continue
        if OURS.search(head):
            return 0.9
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the files named *.info.json."""
    yield from filter(_is_named, dump.metadata("json"))


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield one post a video, in the order of the names."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        yield from _file(dump, name, counted)
    yield from counted.gaps()


def posts_of(name: str) -> str | None:
    """Return the video's id in a file's name, as yt-dlp or youtube-dl put it there."""
    stem = FORMAT.sub("", base(name).rpartition(".")[0])
    found = BRACKETED.search(stem) or DASHED.search(stem)
    return found[1] if found else None


def _is_named(name: str) -> bool:
    return name.endswith(ENDING)


def _whole(path: Path) -> bool:
    if path[0] in LONG if path else False:
        return len(path) > 1
    return len(path) == 1


def _file(dump: Dump, name: str, counted: Counted) -> Iterator[Post | Gap]:
    place = together(name, "info.json")
    info: Info = {}
    entries = broken = 0
    # A playlist's entries lie beside it, unless nothing of them was downloaded.
    others = any(other != name for other in dump.starting(folder(name)) if other.endswith(ENDING))
    for found in values(dump, name, _whole):
        if isinstance(found, Gap):
            broken += 1
            yield found
        elif found.path == ("entries", STEP):
            entries += 1
            if others:
                counted.note("unread", "entries of playlists, whose videos have files", place)
            elif isinstance(found.value, dict):
                yield from _video(dump, found.value, (name, found.line, place, counted), None)
        elif len(found.path) == 1:
            info[found.path[0]] = found.value
    if info.get("_type") in ("playlist", "multi_video"):
        if not entries:
            counted.note("unread", "playlists without entries are no posts", place)
    elif info or not broken:
        yield from _video(dump, info, (name, 1, place, counted), name.removesuffix(ENDING))


def _video(dump: Dump, info: Info, where: Where, stem: str | None) -> Iterator[Post | Gap]:
    name, line, place, counted = where
    platform = platform_of(info)
    post_id = post_id_of(info, platform)
    if post_id is None:
        yield Gap("no-id", name, line, "a video without id")
        return
    created, source = _time(info, place, counted)
    author_id, author_name = author_of(info, platform)
    extractor = text(info.get("extractor_key")) or text(info.get("ie_key"))
    for field, value in (
        ("title", info.get("title")),
        ("extractor_key", extractor),
        ("channel_id, uploader_id", author_id),
    ):
        if value is None:
            counted.missing(field, place)
    if extractor is None and text(info.get("extractor")) is None:
        counted.no_id("extractor: from where the video is", place)
    yield Post(
        post_id=post_id,
        platform=platform,
        raw_ref=ref(name, line),
        author_id=author_id,
        author_name=author_name,
        created_at=created,
        time_source=source,
        text=_text(info, platform),
        lang=text(info.get("language")),
        url=text(info.get("webpage_url")) or text(info.get("original_url")),
        metrics={key: found for key in METRICS if (found := count(info.get(key))) is not None},
        media=tuple(_media(dump, info, stem)),
        former=former_of(info, platform, post_id),
    )


def _time(info: Info, place: str, counted: Counted) -> tuple[Any, str]:
    created = unix_time(info.get("timestamp"))
    if created is not None:
        return created, "timestamp"
    for key in ("upload_date", "release_date"):
        created = written_time(info.get(key), "%Y%m%d")
        if created is not None:
            return created, f"{key}: the day only, in UTC"
        if info.get(key) is not None:
            counted.bad(key, place)
    counted.missing("timestamp", place)
    return None, ""


def _text(info: Info, platform: str) -> str | None:
    """Return title and description; a title that is the description's beginning says nothing.

    Nor does what is made of the author's name, the description and the video's number, as on X.
    """
    title, description = text(info.get("title")), text(info.get("description"))
    if platform == "x" and description is not None:
        return description
    if title is None or description is None:
        return title or description
    begun = " ".join(title.rstrip(".\u2026 ").split())
    begins = " ".join(description.split()).startswith(begun)
    return description if begins else f"{title}\n\n{description}"


def _media(dump: Dump, info: Info, stem: str | None) -> Iterator[Media]:
    """Yield the video or sound, then its thumbnail, if one lies beside."""
    lie = list(_beside(dump, stem)) if stem is not None else []
    ending = text(info.get("ext"))
    played = [file for file in lie if file.kind in ("video", "audio")]
    # The whole file before parts that were not merged, its own ending, a video before a sound.
    played.sort(key=lambda file: (bool(file.more), file.ending != ending, file.kind != "video"))
    sound = info.get("vcodec") == "none"
    yield Media(
        0,
        played[0].kind if played else ("audio" if sound else "video"),
        url=text(info.get("url")) or text(at(info, "requested_downloads", 0, "url")),
        path=played[0].path if played else None,
        key=text_id(info.get("id")),
        width=count(info.get("width")),
        height=count(info.get("height")),
        duration=number(info.get("duration")),
    )
    others = [*played[1:], *(file for file in lie if file.kind == "image")]
    for index, file in enumerate(others, 1):
        key = "thumbnail" if file.kind == "image" else None
        yield Media(index, file.kind, path=file.path, key=key)


def _beside(dump: Dump, stem: str) -> Iterator[Beside]:
    """Yield the files of the video's stem; of parts that were not merged, STEM.f137.mp4, too."""
    yield from (file for file in beside(dump, stem) if not file.more)
    for name in dump.starting(f"{stem}.f"):
        match = PART.match(name, len(stem))
        if match:
            yield Beside(name, unquote(base(name)), match[1], match[2].lower())
