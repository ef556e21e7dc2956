"""Enters: the .metadata.json of 4CAT's media zips. Leaves: the files of each post.

An image zip says {url: {filename, success, post_ids[]}}, a video zip {url: {files[], success,
post_ids[], error}}, unique images {hash: {filename, hash_type, ...}}; a zip of frames holds the
metadata of its videos, and the frames of VIDEO.mp4 in frames/VIDEO/.
"""

from __future__ import annotations

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
    from imgbatch.sources.dumps.linked import Linked
    from imgbatch.sources.dumps.posts import MediaKind

FAILED = "unavailable"
OUTSIDE = "outside"  # of the dump: its name climbs out
SHA256 = ("sha256", "sha-256")

Entry = dict[str, Any]


def link(dump: Dump, name: str, files: Linked) -> Iterator[Gap]:
    """Read a .metadata.json into `files`; yield what of it cannot be read."""
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
                files.add(post_id, medium, name, line)


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
