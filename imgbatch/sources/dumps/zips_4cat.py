"""Enters: the .metadata.json of 4CAT's media zips. Leaves: the files of each post.

An image zip says {url: {filename, success, post_ids[]}}, a video zip {url: {files[], success,
post_ids[], error}}, unique images {hash: {filename, hash_type, ...}}; a zip of frames holds the
metadata of its videos, and the frames of VIDEO.mp4 in frames/VIDEO/.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any

from imgbatch.sources.dumps.names import URL, exact, folder, resolve, stem
from imgbatch.sources.dumps.posts import Gap, Media
from imgbatch.sources.dumps.values import at, listed, objects, text, text_id
from imgbatch.sources.dumps.walk import pairs
from imgbatch.sources.names import claims_video
from imgbatch.storage.addresses import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import MediaKind

FAILED = "unavailable"
OUTSIDE = "outside"  # of the dump: its name climbs out
SHA256 = ("sha256", "sha-256")

Entry = dict[str, Any]


class Linked:
    """Which files are of which post, in a temporary file of SQLite's: zips may name millions.

    Attributes:
        empty: none is noted.
    """

    def __init__(self) -> None:
        self._files = sqlite3.connect("")
        self._files.executescript(
            "CREATE TABLE files (post_id, kind, url, path, status, sha256, name, line, taken);"
            "CREATE INDEX by_post ON files (post_id);"
        )
        self.empty = True

    def add(self, post_id: str, medium: Media, name: str, line: int) -> None:
        """Note that a file is of a post, as a metadata file says on a line."""
        self.empty = False
        self._files.execute(
            "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0)",
            (
                post_id,
                medium.kind,
                medium.url,
                medium.path,
                medium.status,
                medium.sha256,
                name,
                line,
            ),
        )

    def files(self, post_id: str) -> list[Media]:
        """Return the files of a post, in the order in which they were noted."""
        found = self._files.execute(
            "SELECT kind, url, path, status, sha256 FROM files WHERE post_id = ? ORDER BY rowid",
            (post_id,),
        )
        return [
            Media(index, kind, url=url, path=path, status=status, sha256=sha256)
            for index, (kind, url, path, status, sha256) in enumerate(found)
        ]

    def take(self, post_id: str) -> list[Media]:
        """Return the files of a post that there is."""
        found = self.files(post_id)
        if found:
            self._files.execute("UPDATE files SET taken = 1 WHERE post_id = ?", (post_id,))
        return found

    def left(self) -> Iterator[tuple[str, str, int]]:
        """Yield the posts that nobody took, and where they are named."""
        yield from self._files.execute(
            "SELECT post_id, name, min(line) FROM files WHERE taken = 0 "
            "GROUP BY post_id ORDER BY post_id"
        )

    def close(self) -> None:
        """Let go of it."""
        self._files.close()


def linked(dump: Dump, name: str, zips: Linked) -> Iterator[Gap]:
    """Read a .metadata.json into `zips`; yield what of it cannot be read."""
    for found in pairs(dump, name):
        if isinstance(found, Gap):
            yield found
            continue
        line, (key, entry) = found
        posts = [text_id(each) for each in listed(at(entry, "post_ids"))]
        if not any(posts):
            yield Gap("no-id", name, line, "post_ids")
            continue
        media = _media(dump, name, key, entry)
        for post_id in dict.fromkeys(each for each in posts if each):
            for medium in media:
                zips.add(post_id, medium, name, line)


def _media(dump: Dump, name: str, key: str, entry: Entry) -> list[Media]:
    """Return the files of an entry; frames stand for a video that itself is not in the zip."""
    url = key if URL.match(key) else text(entry.get("url"))
    said = objects(entry.get("files")) or [entry]
    names = [file for each in said if (file := text(each.get("filename")))]
    if not names or entry.get("success") is False:
        return [Media(0, "other", url=url, status=FAILED)]
    found = []
    sha256 = text(entry.get("hash")) if entry.get("hash_type") in SHA256 else None
    for file in names:
        there = resolve(file, name)
        if there is None:
            found.append(Media(0, "other", url=url, status=OUTSIDE))
            continue
        frames = [] if dump.has(there) else _frames(dump, name, file)
        if frames:
            found += [Media(0, "image", path=exact(frame)) for frame in frames]
        else:
            kind: MediaKind = "video" if claims_video(file) else "image"
            found.append(Media(0, kind, url=url, path=exact(there), sha256=sha256))
    return found


def _frames(dump: Dump, name: str, file: str) -> list[str]:
    """Return the frames of a video that itself is not in the zip."""
    for where in ("frames/", ""):
        prefix = f"{folder(name)}{where}{quote(stem(file))}/"
        found = list(dump.starting(prefix))
        if found:
            return found
    return []
