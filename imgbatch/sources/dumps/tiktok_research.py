"""Answers of TikTok's Research API: as they came, or their videos as a list or one a line.

Confirmed in TikTok's pages "Query Videos" and "Codebook" of its Research API (read 2026-11): an
answer is {data: {videos, cursor, has_more, search_id}, error}; `create_time` is in seconds, UTC,
and `video_duration` in seconds; only the fields that were asked for are there; `favorites_count`
is `favourites_count` in an earlier list. An id is an int64, in JSON a number: it is kept as text.

Decision, 2026-11: there is no URL and no file in an answer, so a post's one medium is a video known
by its id only, found by the id in a file's name (yt-dlp: `... [<id>].mp4`, others: `<id>.mp4`).
Drawback: a post of pictures, which the API does not tell apart, counts as a missing video.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import lines
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import ending, ref, stem
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import at, counts, number, text, text_id, unix_time
from imgbatch.sources.dumps.walk import STEP, items, values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked
    from imgbatch.sources.dumps.walk import Path

TITLE = "TikTok Research API"
RECOGNISED = (
    "JSON with data.videos and search_id, or videos with video_description, region_code, ..."
)
YIELDS = "videos as posts; no file and no URL is in them: media are found by the id in their names"

ENDINGS = ("json", "jsonl", "ndjson")
HEAD = 2**16
# A longer first line of a `.json` is a document of many answers.
ANSWER = 2**18
ANSWERED = re.compile(rb'"videos"\s*:')
PAGED = re.compile(rb'"(search_id|has_more)"\s*:')
EMPTY = re.compile(rb'"videos"\s*:\s*(?:\[\s*\]|null)')
OWN = (
    "video_description", "region_code", "hashtag_names", "hashtag_info_list", "voice_to_text",
    "is_stem_verified", "video_mention_list", "effect_ids", "favorites_count", "music_id",
)  # fmt: skip
OWN_LEAST = 2
METRICS = (
    "like_count", "comment_count", "share_count", "view_count", "favorites_count",
    "favourites_count",
)  # fmt: skip
ANSWERS = ("data", "videos", STEP)
WATCH = "https://www.tiktok.com/@{}/video/{}"
BEGINS = re.compile(rb'^(?:\xef\xbb\xbf)?\s*(\[\s*)?\{\s*"(\w+)"')
DIGITS = re.compile(r"(?<!\d)(\d{17,20})(?!\d)")
NO_VIDEOS = "no videos of the Research API in this file"
NO_END = "no video came, and the last answer is an error or says that more follow"

Video = dict[str, Any]
Found = tuple[int, Any]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of a few files."""
    for name in few(dump, *ENDINGS):
        if _is_ours(dump, name):
            return 0.9
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the files whose head names what only this API gives."""
    for name in dump.metadata(*ENDINGS):
        if _is_ours(dump, name):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield the videos of all answers, in order."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        came = False
        for found in _videos(dump, name, counted):
            came = True
            yield found if isinstance(found, Gap) else _post(found[1], name, found[0], counted)
        if not came:
            _note_none(dump, name, counted)
        yield from counted.gaps()


def _note_none(dump: Dump, name: str, counted: Counted) -> None:
    """Note of a file that gave no video whether it says itself that there are none."""
    if not EMPTY.search(dump.head(name, HEAD)):
        counted.note("unread", NO_VIDEOS, name)
    elif _is_end(_last_answer(dump, name)):
        counted.empty(name)
    else:
        counted.no_id(NO_END, name)


def posts_of(name: str) -> str | None:
    """Return the video's id that stands in a file's name."""
    found = DIGITS.findall(stem(name))
    return found[-1] if found else None


def _is_ours(dump: Dump, name: str) -> bool:
    try:
        head = dump.head(name, HEAD)
    except SourceError:
        return False
    if ANSWERED.search(head) and PAGED.search(head):
        return True
    return sum(b'"%s"' % name.encode() in head for name in OWN) >= OWN_LEAST


def _videos(dump: Dump, name: str, counted: Counted) -> Iterator[Found | Gap]:
    if ending(name) != "json" or _is_lines(dump, name):
        yield from _by_line(dump, name, counted)
        return
    head = dump.head(name, HEAD)
    if len(head) < HEAD and _is_last(_answer(head)):
        return
    yield from items(dump, name, _path(head))


def _is_lines(dump: Dump, name: str) -> bool:
    """Tell whether a `.json` begins with a whole object on one line."""
    try:
        with dump.open(name) as file:
            line = file.readline(ANSWER).removeprefix(lines.BOM).strip(b"\0 \t\r\n")
    except SourceError:
        return False
    return line.startswith(b"{") and line.endswith(b"}")


def _path(head: bytes) -> Path:
    """Return where the videos stand in a document, by what it begins with."""
    found = BEGINS.match(head)
    listed, first = (found[1], found[2]) if found else (None, None)
    if listed:
        return (STEP, *ANSWERS) if first in (b"data", b"error") else (STEP,)
    return ANSWERS[1:] if first == b"videos" else ANSWERS


def _by_line(dump: Dump, name: str, counted: Counted) -> Iterator[Found | Gap]:
    for found in lines.objects(dump, name):
        if isinstance(found, Gap):
            yield found
            continue
        line, item = found
        code = at(item, "error", "code")
        if isinstance(code, str) and code != "ok":
            counted.no_id(f"TikTok gave an error instead: {code[:80]}", name, line)
        videos = at(item, "data", "videos") if "data" in item else item.get("videos")
        if isinstance(videos, list):
            yield from ((line, video) for video in videos)
        elif _is_last(item):
            continue
        elif "data" in item or "error" in item:
            counted.no_id("an answer without videos", name, line)
        else:
            yield line, item


def _answer(document: bytes) -> Video:
    """Return the answer that a short document is; an empty one where it is none."""
    try:
        found = json.loads(document.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_answer(dump: Dump, name: str) -> Video:
    """Return the last answer of a file that gave no video, and so holds answers alone.

    An empty one where none is found.
    """
    if ending(name) != "json" or _is_lines(dump, name):
        rows = (found for found in lines.objects(dump, name) if not isinstance(found, Gap))
        answers = (answer for _, answer in rows)
    else:
        found = BEGINS.match(dump.head(name, HEAD))
        where = (STEP,) if found and found[1] else ()
        read = values(dump, name, lambda path: path == where)
        answers = (one.value for one in read if not isinstance(one, Gap) and one.path == where)
    last = {}
    for answer in answers:
        last = answer
    return last if isinstance(last, dict) else {}


def _is_end(answer: Video) -> bool:
    """Tell whether nothing follows an answer: it is there, no error, and speaks of no more."""
    more = at(answer, "data", "has_more") if "data" in answer else answer.get("has_more")
    error = answer.get("error")
    code = error.get("code") if isinstance(error, dict) else error
    return bool(answer) and more in (None, False) and code in (None, "ok")


def _is_last(answer: Video) -> bool:
    """Tell whether an answer without videos is one by its own words: no error, and no more."""
    data = answer.get("data")
    ended = isinstance(data, dict) and data.get("videos") is None and data.get("has_more") is False
    return ended and at(answer, "error", "code") == "ok"


def _post(video: Any, name: str, line: int, counted: Counted) -> Post | Gap:
    post_id = text_id(at(video, "id"))
    if post_id is None:
        return Gap("no-id", name, line, "a video without id")
    for field in ("create_time", "username", "video_description"):
        if video.get(field) is None:
            counted.missing(field, name, line)
    created = unix_time(video.get("create_time"))
    if created is None and video.get("create_time") is not None:
        counted.bad("create_time", name, line)
    author = text(video.get("username"))
    return Post(
        post_id=post_id,
        platform="tiktok",
        raw_ref=ref(name, line),
        author_name=author,
        created_at=created,
        time_source="create_time" if created else "",
        text=text(video.get("video_description")),
        url=WATCH.format(author or "", post_id),
        metrics=counts(video, *METRICS),
        media=(Media(0, "video", key=post_id, duration=number(video.get("video_duration"))),),
    )
