"""instaloader's folders: one .json.xz or .json a post or story, with its files of the same stem.

Confirmed in instaloader's structures.py and instaloader.py (4.15, 2026-04): {node, instaloader:
{version, node_type}}, node_type Post, StoryItem, Profile, Hashtag or FrozenNodeIterator; the .xz is
without check sums; a JSON of version 3 is the bare node; posts taken from the telephone's interface
have `date`, `caption` and `comments` where those of the web have `taken_at_timestamp`,
`edge_media_to_caption` and counts. Files are STEM.EXT for one medium, STEM_1.EXT, STEM_2.EXT for a
carousel, and a video's first frame is a STEM.jpg beside its STEM.mp4; how a stem is made is the
user's choice, so only the metadata file's own stem is relied on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from imgbatch.errors import SourceError
from imgbatch.sources.dumps import documents
from imgbatch.sources.dumps.beside import Beside, beside, together
from imgbatch.sources.dumps.few import few
from imgbatch.sources.dumps.names import ref
from imgbatch.sources.dumps.posts import Counted, Gap, Media, Post
from imgbatch.sources.dumps.values import at, count, number, objects, text, text_id, unix_time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from imgbatch.sources.dumps.dump import Dump
    from imgbatch.sources.dumps.posts import Asked

TITLE = "instaloader"
RECOGNISED = "files of one JSON object with node and instaloader, often STEM_UTC.json.xz"
YIELDS = (
    "posts and stories with all pictures and videos of a carousel, by the stem of their metadata "
    "file; likes, comments and views counted"
)

HEAD = 2**13
NAMED = re.compile(r"(\.json\.xz|_UTC\.json)$")
OURS = re.compile(rb'^(\xef\xbb\xbf)?\s*\{\s*"(node|instaloader)"\s*:\s*\{')
# Version 3 wrote the bare node.
BARE = re.compile(rb'^\s*\{.*"(shortcode|code)"\s*:', re.DOTALL)
COMMENTS = re.compile(r"_comments\.json(\.xz)?$")
PLACE = re.compile(r"_(\d{1,3})$")
OTHER = re.compile(r"_(\d{1,3})\.json(\.xz)?$")
ENDING = re.compile(r"\.json(\.(xz|gz|bz2|zst))?$")
SINGLE = ("GraphImage", "GraphVideo", "GraphStoryImage", "GraphStoryVideo")
POSTS = ("Post", "StoryItem")

Node = dict[str, Any]
# The metadata file, and it with its like, for gaps.
Where = tuple[str, str, Counted]


def recognise(dump: Dump) -> float:
    """Tell how sure it is: by the heads of a few JSON files."""
    for name in few(dump, "json", own=_may_be_ours):
        if _is_ours(dump, name):
            return 0.95
    return 0.0


def files(dump: Dump) -> Iterator[str]:
    """Yield the metadata files: by their names, else by how they begin."""
    for name in _candidates(dump):
        if name.endswith(".json.xz") or _is_ours(dump, name):
            yield name


def read(dump: Dump, asked: Asked) -> Iterator[Post | Gap]:
    """Yield one post a metadata file, in the order of the names."""
    del asked  # nothing to choose
    counted = Counted()
    for name in files(dump):
        try:
            item = documents.whole(dump, name, counted)
        except SourceError as error:
            yield Gap(error.code, name, None, str(error)[:400])
            continue
        yield from _file(dump, name, item, counted)
    yield from counted.gaps()


def _candidates(dump: Dump) -> Iterator[str]:
    return filter(_may_be_ours, dump.metadata("json"))


def _may_be_ours(name: str) -> bool:
    return not COMMENTS.search(name)


def _is_ours(dump: Dump, name: str) -> bool:
    try:
        head = dump.head(name, HEAD)
    except SourceError:
        return False
    return bool(OURS.match(head) or (NAMED.search(name) and BARE.match(head)))


def _file(dump: Dump, name: str, item: Any, counted: Counted) -> Iterator[Post | Gap]:
    kind = text(at(item, "instaloader", "node_type"))
    node = at(item, "node") if kind or at(item, "node") else item
    if not isinstance(node, dict):
        yield Gap("no-id", name, None, "no node: not instaloader's, or not whole")
        return
    place = together(name, "json")
    if kind is None:
        counted.missing("instaloader.node_type", place)
    elif kind not in POSTS:
        counted.note("unread", f"of the type {kind[:40]}, which is no post", place)
        return
    post_id = _id(node)
    if post_id is None:
        yield Gap("no-id", name, None, "a node without shortcode or id")
    else:
        # A story may have none: then neither key is there.
        told = [key for key in ("shortcode", "code") if key in node]
        if told and all(text_id(node[key]) is None for key in told):
            counted.no_id("shortcode: the post goes by another id", place)
        yield _post(dump, node, post_id, (name, place, counted))


def _id(node: Node) -> str | None:
    return (
        text_id(node.get("shortcode"))
        or text_id(node.get("code"))
        or text_id(node.get("id"))
        or text_id(at(node, "iphone_struct", "code"))
    )


def _post(dump: Dump, node: Node, post_id: str, where: Where) -> Post:
    name, place, counted = where
    created, source = _time(node, where)
    author_id = text_id(at(node, "owner", "id")) or text_id(at(node, "iphone_struct", "user", "pk"))
    author_name = text(at(node, "owner", "username"))
    author_name = author_name or text(at(node, "iphone_struct", "user", "username"))
    for field, value in (("owner.id", author_id), ("owner.username", author_name)):
        if value is None:
            counted.missing(field, place)
    story = str(node.get("__typename")).startswith("GraphStory")
    if not story and not any(key in node for key in CAPTIONS):
        counted.missing("edge_media_to_caption", place)
    shortcode = text_id(node.get("shortcode")) or text_id(node.get("code"))
    return Post(
        post_id=post_id,
        platform="instagram",
        raw_ref=ref(name, 1),
        author_id=author_id,
        author_name=author_name,
        created_at=created,
        time_source=source,
        text=_caption(node),
        url=f"https://www.instagram.com/p/{shortcode}/" if shortcode else None,
        metrics=_metrics(node),
        media=tuple(_media(dump, node, where)),
    )


def _time(node: Node, where: Where) -> tuple[Any, str]:
    _, place, counted = where
    taken = at(node, "iphone_struct", "taken_at")
    for field, value in (
        ("taken_at_timestamp", node.get("taken_at_timestamp")),
        ("date", node.get("date")),
        ("iphone_struct.taken_at", taken),
    ):
        created = unix_time(value)
        if created is not None:
            return created, field
        if value is not None:
            counted.bad(field, place)
    counted.missing("taken_at_timestamp", place)
    return None, ""


# One of them is there even where nobody wrote anything.
CAPTIONS = ("edge_media_to_caption", "caption", "iphone_struct")


def _caption(node: Node) -> str | None:
    edges = objects(at(node, "edge_media_to_caption", "edges"))
    caption = node.get("caption")
    return (
        text(at(edges, 0, "node", "text"))
        or text(caption)
        or text(at(caption, "text"))
        or text(at(node, "iphone_struct", "caption", "text"))
    )


def _metrics(node: Node) -> dict[str, int]:
    comments = ("edge_media_to_parent_comment", "edge_media_to_comment")
    found = {
        "likes": count(at(node, "edge_media_preview_like", "count")),
        "comments": next(
            (value for key in comments if (value := count(at(node, key, "count"))) is not None),
            count(node.get("comments")),
        ),
        "video_views": count(node.get("video_view_count")),
        "video_plays": count(node.get("video_play_count")),
    }
    return {key: value for key, value in found.items() if value is not None}


def _media(dump: Dump, node: Node, where: Where) -> Iterator[Media]:
    """Yield the media in the post's order, a video's first frame after it."""
    name, place, counted = where
    lie = _numbered(dump, ENDING.sub("", name))
    slides = {0: node}
    if node.get("__typename") not in SINGLE:
        children = [
            child
            for edge in objects(at(node, "edge_sidecar_to_children", "edges"))
            if isinstance(child := edge.get("node"), dict)
        ]
        slides = dict(enumerate(children, 1))
        # Of a medium that the metadata do not know, the file is known.
        slides |= {spot: {} for spot in lie if spot and spot not in slides}
        if not children and node.get("__typename") == "GraphSidecar":
            counted.missing("edge_sidecar_to_children", place)
    index = 0
    for spot, slide in sorted((slides or {0: node}).items()):
        for medium in _slide(index, slide, lie.get(spot, [])):
            yield medium
            index += 1


def _numbered(dump: Dump, stem: str) -> dict[int, list[Beside]]:
    """Return the media that lie beside by their place in the carousel from 1; 0 for one without."""
    found: dict[int, list[Beside]] = {}
    # What has a metadata file STEM_2.json.xz of its own is another post's.
    others = {
        match[1] for file in dump.starting(f"{stem}_") if (match := OTHER.match(file, len(stem)))
    }
    for lying in beside(dump, stem):
        match = PLACE.match(lying.more)
        if lying.kind == "other" or (lying.more and not match) or (match and match[1] in others):
            continue
        found.setdefault(int(match[1]) if match else 0, []).append(lying)
    return found


def _slide(index: int, node: Node, lie: list[Beside]) -> Iterator[Media]:
    video = node.get("is_video") is True or any(file.kind == "video" for file in lie)
    kind = "video" if video else "image"
    own = next((file for file in lie if file.kind == kind), None)
    yield Media(
        index,
        "video" if video else "image",
        url=_url(node, video=video),
        path=own.path if own else None,
        key=text_id(node.get("id")),
        width=count(at(node, "dimensions", "width")),
        height=count(at(node, "dimensions", "height")),
        duration=number(node.get("video_duration")),
        alt_text=text(node.get("accessibility_caption")),
    )
    for file in lie:
        if file is not own:
            thumbnail = file.kind == "image"
            key = "thumbnail" if thumbnail else None
            index += 1
            yield Media(index, file.kind, path=file.path, key=key)


def _url(node: Node, *, video: bool) -> str | None:
    """Return where a medium was; a story item has a list of sizes, the largest last."""
    if video:
        return text(node.get("video_url")) or text(at(node, "video_resources", -1, "src"))
    return (
        text(node.get("display_url"))
        or text(node.get("display_src"))
        or text(at(node, "display_resources", -1, "src"))
        or text(at(node, "iphone_struct", "image_versions2", "candidates", 0, "url"))
    )
