"""Enters: which files are of which posts, by their ids alone. Leaves: the posts with these files.

4CAT's zips of media say so, and not where the posts stand: in a dataset of its own, or in the
export of another collector that 4CAT was given. So whatever format reads a post, it is asked here.

What a zip says is held as it says it, half surrogate pairs too, in bytes as SQLite takes no such
text: it meets posts before their texts are tidied, and two ids that differ in these alone are two.
"""

from __future__ import annotations

import re
import sqlite3
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from msgspec.structs import replace

from imgbatch.platforms import NAMELESS
from imgbatch.sources.dumps._reddit_ids import bare
from imgbatch.sources.dumps.names import ref
from imgbatch.sources.dumps.posts import Media, Post

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Linked:
    """Which files are of which post, in a temporary file of SQLite's: zips may name millions."""

    def __init__(self) -> None:
        self._files = sqlite3.connect("")
        self._files.executescript(
            "CREATE TABLE files (post_id, kind, url, path, status, sha256, name, line, taken);"
            "CREATE INDEX by_post ON files (post_id);"
        )
        self._empty = True

    def add(self, post_id: str, medium: Media, name: str, line: int) -> None:
        """Note that a file is of a post, as a metadata file says on a line."""
        self._empty = False
        self._files.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                _held(post_id),
                medium.kind,
                _held(medium.url),
                _held(medium.path),
                medium.status,
                _held(medium.sha256),
                name,
                line,
            ),
        )

    def give(self, post: Post) -> None:
        """Give a post the files that are its own: by URL where it has none, else as further media.

        The same post may come several times, and has them each time. What a zip could not get, and
        the post has by now, is no medium of its own.
        """
        if self._empty:
            return
        files = self._of(post.post_id)
        own = post.post_id
        if not files and post.platform == "reddit":
            own = bare(post.post_id)  # as 4CAT has it in its dataset and zips
            files = self._of(own)
        if not files:
            return
        self._files.execute("UPDATE files SET taken = 1 WHERE post_id = ?", (_held(own),))
        named = _named(post.media, files)
        media = [
            medium if file is None else replace(medium, path=file.path, status=file.status)
            for medium, file in zip(post.media, named, strict=True)
        ]
        had = {_path(medium.url) for medium in media if medium.url and medium.path}
        # Covers and frames, and what a row does not show of a video with several files.
        media += [
            medium
            for medium in files
            if all(medium is not file for file in named)
            and (medium.path or _path(medium.url or "") not in had)
        ]
        post.media = tuple(replace(medium, index=index) for index, medium in enumerate(media))

    def left(self) -> Iterator[Post]:
        """Yield the posts that nobody read, with nothing but their files."""
        for held, name, line in self._files.execute(
            "SELECT post_id, name, min(line) FROM files WHERE taken = 0 "
            "GROUP BY post_id ORDER BY post_id"
        ):
            post_id = _said(held)
            assert post_id is not None, "files are of posts"
            media = tuple(self._of(post_id))
            yield Post(post_id, NAMELESS, ref(name, line), media=media, linked=True)

    def close(self) -> None:
        """Let go of it."""
        self._files.close()

    def _of(self, post_id: str) -> list[Media]:
        """Return the files of a post, in the order in which they were noted."""
        found = self._files.execute(
            "SELECT kind, url, path, status, sha256 FROM files WHERE post_id = ? ORDER BY rowid",
            (_held(post_id),),
        )
        return [
            Media(
                index,
                kind,
                url=_said(url),
                path=_said(path),
                status=status,
                sha256=_said(sha256),
            )
            for index, (kind, url, path, status, sha256) in enumerate(found)
        ]


def _named(media: Sequence[Media], files: Sequence[Media]) -> list[Media | None]:
    """Return for each medium the file of its address; None: it has its own, or there is none.

    Addresses are signed anew for each export, and then the name that they end in tells.
    """
    by: dict[str, Media] = {}
    paths: defaultdict[str, set[str]] = defaultdict(set)
    for file in files:
        if file.url:
            paths[_last(file.url)].add(_path(file.url))
            for name in (file.url, _last(file.url)):
                # The newest zip comes last; it may have failed where another did not.
                if name not in by or file.path or not by[name].path:
                    by[name] = file
    once = Counter(_last(one.url) for one in media if one.url)
    found: list[Media | None] = []
    for one in media:
        url = "" if one.path else one.url or ""
        last = _last(url)
        sure = once[last] == 1 and len(paths[last]) == 1
        found.append(by.get(url) or (by[last] if sure else None))
    return found


def _path(url: str) -> str:
    """Return the path of an address: what is before it and behind it differs from time to time."""
    return re.split("[?#]", url, maxsplit=1)[0].partition("://")[2].partition("/")[2]


def _last(url: str) -> str:
    """Return the last part of an address; all of it where it ends in none."""
    return _path(url).rpartition("/")[2] or url


def _held(text: str | None) -> bytes | None:
    return None if text is None else text.encode("utf-8", "surrogatepass")


def _said(held: bytes | None) -> str | None:
    return None if held is None else held.decode("utf-8", "surrogatepass")
