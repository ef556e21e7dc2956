"""Enters: rows of a dataset that 4CAT wrote as CSV, by its header. Leaves: Posts.

A row is looked at by place, not by name: there may be hundreds of millions of them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from imgbatch.sources.dumps._reddit_ids import before, whole
from imgbatch.sources.dumps.names import base, ref
from imgbatch.sources.dumps.posts import Gap, Media, Post
from imgbatch.sources.dumps.values import count, is_rounded, iso_time, number, unix_time
from imgbatch.sources.dumps.web import platform_of

if TYPE_CHECKING:
    from datetime import datetime

    from imgbatch.sources.dumps.posts import Counted, MediaKind

# Of each group the first column that is there: newer names first, and what was posted before what
# was only shown for it.
MEDIA: tuple[tuple[tuple[str, ...], MediaKind], ...] = (
    (("images", "media_urls", "media_url", "image_urls", "image_url"), "image"),
    (("videos", "video_urls", "video_url"), "video"),
)
METRICS = re.compile(
    r"^(num_\w+|\w+_count|likes|comments|shares|plays|views|reposts|replies|quotes)$"
)
# A comment has its own address beside that of the post.
LINKS = ("comment_url", "link", "url", "tiktok_url", "post_url")
HOST = re.compile(r"^https?://(?:www\.|m\.)?([^/?#:]+)")
HOSTS = {"bsky.app": "bluesky", "t.me": "telegram", "youtu.be": "youtube"}
SCHEME = len("https://")
URL = re.compile(r"^(?:https?:)?//", re.IGNORECASE)
SPLIT = re.compile(r",\s*(?=https?://)")
VIDEO = re.compile(r"\.(mp4|m4v|mov|webm|m3u8)(?:$|[?#,])", re.IGNORECASE)
ATTACHED: dict[str, MediaKind] = {"photo": "image", "video": "video", "audio": "audio"}


def host_of(url: str) -> str | None:
    """Return the host of a URL without www, None where it is none."""
    found = HOST.match(url)
    return found[1] if found else None


class Rows:
    """Makes posts of the rows of one dataset.

    Args:
        name: of the dataset.
        header: its columns.
        counted: where what a row lacks is noted.
    """

    def __init__(self, name: str, header: list[str], counted: Counted) -> None:
        self._name = name
        self._counted = counted
        place = {column: at for at, column in enumerate(header)}
        # Columns that are not there stand for the empty text which each row gets behind its last.
        self._id, self._unix, self._stamp, self._created, self._body, self._author = (
            place.get(column, len(header))
            for column in ("id", "unix_timestamp", "timestamp", "created_at", "body", "author")
        )
        self._authors = _there(place, "author_id", "author")
        self._languages = _there(place, "language_guess", "languages")
        self._links = _there(place, *LINKS)
        self._metrics = [(column, place[column]) for column in place if METRICS.match(column)]
        self._media = [(_there(place, *group), kind) for group, kind in MEDIA]
        self._thread = place.get("thread_id", len(header))
        self._attached = place.get("attachment_filename", len(header))
        self._attached_type = place.get("attachment_type", len(header))
        # 4CAT names its files after the data source: tiktok-search-....csv
        word, dash, _ = base(name).partition("-")
        self._platform = platform_of(word) if dash else "unknown"

    def post(self, line: int, row: list[str]) -> Post | Gap | None:
        """Return the post of a row; None where its id has lost its digits, which is counted."""
        row.append("")
        post_id = row[self._id].strip()
        if not post_id:
            return Gap("no-id", self._name, line, "a row without id")
        if is_rounded(post_id):
            self._counted.rounded("id", self._name, line)
            return None
        url = _first(row, self._links)
        post = Post(post_id, self._platform_of(row, url), ref(self._name, line))
        if post.platform == "reddit":
            # A thread has its submission's id; what has another than its thread is a comment.
            post.post_id = whole(post_id, comment=row[self._thread].strip() != post_id)
            post.former = before(post_id, post.post_id)
        # Where a platform's rows have no id of the author, the name is what tells authors apart.
        post.author_id = _first(row, self._authors)
        if post.author_id is None:
            self._counted.missing("author", self._name, line)
        elif is_rounded(post.author_id):
            post.author_id = None
            self._counted.bad("author_id", self._name, line)
        post.author_name = row[self._author] or None
        post.created_at, post.time_source = self._time(row, line)
        post.text = row[self._body] or None
        post.lang = _first(row, self._languages)
        post.url = url
        metrics = {}
        for column, at in self._metrics:
            told = row[at]
            if told and (number_told := count(told)) is not None:
                metrics[column] = number_told
        post.metrics = metrics
        post.media = self._media_of(row, line)
        return post

    def _time(self, row: list[str], line: int) -> tuple[datetime | None, str]:
        """Return when a row was posted, and by which column.

        4CAT formats `timestamp` on its server, in UTC unless that is set up otherwise.
        """
        found = unix_time(row[self._unix])
        if found is not None:
            return found, "unix_timestamp"
        stamp = row[self._stamp]
        if number(stamp) is not None:
            found, told = unix_time(stamp), "timestamp (unix)"
        else:
            found, told = iso_time(stamp), "timestamp (no zone, taken as UTC)"
        if found is None:
            found, told = iso_time(row[self._created]), "created_at"
        if found is not None:
            return found, told
        if stamp:
            self._counted.bad("timestamp", self._name, line)
        else:
            self._counted.missing("timestamp", self._name, line)
        return None, ""

    def _platform_of(self, row: list[str], url: str | None) -> str:
        if url is None:
            return self._platform
        for at in self._links:
            link = row[at]
            end = link.find("/", SCHEME)
            found = _of_site(link if end < 0 else link[:end])
            if found:
                return found
        return self._platform

    def _media_of(self, row: list[str], line: int) -> tuple[Media, ...]:
        """Return the media of a row; what fills a column where there are none is no medium."""
        found: list[Media] = []
        seen: list[str] = []
        for places, kind in self._media:
            told = _first(row, places)
            if told is not None and not URL.match(told):
                # Defaults fill gaps: what stands in another column of the group is no less true.
                self._counted.bad(f"{kind}: {told[:20]} is no URL", self._name, line)
                told = next((row[at] for at in places if URL.match(row[at])), None)
            if told is None:
                continue
            videos = VIDEO.search(told)
            for url in SPLIT.split(told) if "," in told else (told,):
                if url and url not in seen:
                    shows = "video" if videos and VIDEO.search(url) else kind
                    found.append(Media(len(found), shows, url))
                    seen.append(url)
        if row[self._attached]:
            kind = ATTACHED.get(row[self._attached_type], "other")
            found.append(Media(len(found), kind, key=row[self._attached]))
        return tuple(found)


def _there(place: dict[str, int], *columns: str) -> list[int]:
    return [place[column] for column in columns if column in place]


def _first(row: list[str], places: list[int]) -> str | None:
    """Return what stands at the first of some places where anything does."""
    for at in places:
        if row[at]:
            return row[at]
    return None


@lru_cache(maxsize=1024)
def _of_site(site: str) -> str:
    host = host_of(site)
    return HOSTS.get(host, platform_of(host)) if host else ""
